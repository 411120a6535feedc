"""Classifying a file of any size into another one, or a stream of texts."""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import pgkd
from pgkd.apps.bulk.job import Piece, answer_here
from pgkd.apps.bulk.models import digest, load_model
from pgkd.apps.bulk.partial import PartialFile
from pgkd.apps.bulk.source import CHUNK_CHARACTERS, CHUNK_ROWS, Survey
from pgkd.errors import ConfigError, DataError
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path
    from typing import BinaryIO

    from pgkd.apps.bulk.job import Job

Engine = Literal["here", "ray"]
"""Where the model runs: in this process, or on the machines of a cluster."""


class Watcher:
    """Is told how far the work is; this one does not care."""

    def on_read(self, rows: int) -> None:
        """So many rows have been looked at, before the first one is classified."""

    def on_start(self, done: int, total: int | None) -> None:
        """Classification begins; `done` rows were classified before it was cut off."""

    def on_rows(self, done: int) -> None:
        """So many rows are classified and written."""


def classify_file(
    job: Job,
    out: Path,
    *,
    engine: Engine = "here",
    restart: bool = False,
    watcher: Watcher | None = None,
) -> int:
    """Write an answer for every text of a file, in their order; go on where it was cut off.

    All texts are read once before the first is classified: what is wrong with them is told at once,
    and whether they are those that the work was begun with.

    Args:
        job: what to answer.
        out: file of answers; it appears when it is whole, and replaces one that is there.
        engine: ``"here"`` is this process, ``"ray"`` a cluster of Ray.
        restart: forget what an earlier call has done.
        watcher: is told how far it is.

    Returns:
        How many rows the file has.

    Raises:
        DataError: the texts cannot be read, or change while they are.
        ResumeError: the work was begun with other texts, another model or other settings; it cannot
            be written, or another process is writing it.
        EngineError: the cluster fails.
        MissingExtraError: an engine or format needs an extra.
    """
    watcher = watcher or Watcher()
    if job.source.path.exists() and out.exists() and out.samefile(job.source.path):
        raise ConfigError(f"{out} holds the texts: give another file for the answers.")
    before = _stamp(job.source.path)
    survey = job.source.survey(watcher.on_read)
    made_of = _made_of(job, survey, engine)
    with PartialFile.begin_or_resume(out, made_of, survey.rows, restart=restart) as file:
        watcher.on_start(file.rows, survey.rows)
        if not file.size:
            file.append(job.header(), 0)
        if file.rows < survey.rows:
            with closing(_pieces(job, file.rows, engine)) as pieces:
                for piece in pieces:
                    file.append(piece.data, piece.rows)
                    watcher.on_rows(file.rows)
        if file.rows != survey.rows or _stamp(job.source.path) != before:
            raise DataError(
                f"{job.source.path} has changed while it was read, so the answers are of no use. "
                "Begin again with --restart when nothing writes to it."
            )
        file.finish()
    return survey.rows


def classify_stream(
    job: Job, source: BinaryIO | None, target: BinaryIO, watcher: Watcher | None = None
) -> int:
    """Write an answer for every text as they come; what is cut off has to begin again.

    Args:
        job: what to answer.
        source: the texts; None reads the job's file.
        target: takes the answers.
        watcher: is told how far it is.

    Returns:
        How many answers were written.

    Raises:
        DataError: a row cannot be read; those of the chunks before it are answered.
    """
    watcher = watcher or Watcher()
    watcher.on_start(0, None)
    target.write(job.header())
    rows = 0
    for piece in answer_here(job, load_model(job.model), stream=source):
        target.write(piece.data)
        target.flush()
        rows += piece.rows
        watcher.on_rows(rows)
    return rows


def _pieces(job: Job, skip: int, engine: Engine) -> Generator[Piece, None, None]:
    if engine == "ray":
        require("ray", extra="ray", job="--engine ray")
        from pgkd.apps.bulk.ray_engine import answer_on_cluster

        yield from answer_on_cluster(job, skip)
    else:
        yield from answer_here(job, load_model(job.model), skip)


def _made_of(job: Job, survey: Survey, engine: Engine) -> dict[str, Any]:
    """What the bytes of the answers follow from."""
    return {
        **asdict(survey),
        "text column": job.source.text_column,
        "abstain below": job.abstain_below,
        "model": digest(job.model),
        "engine": engine,
        "pgkd": pgkd.__version__,
        "chunk": [CHUNK_ROWS, CHUNK_CHARACTERS],
    }


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written; None where there is none, which its reader tells."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns
