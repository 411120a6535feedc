"""Answers to a file of any size in another one, or to a stream of inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Literal

import pgkd
from pgkd import export
from pgkd.apps.bulk.answers import ResumableFile, format_header, format_rows
from pgkd.data.cells import Problems
from pgkd.data.reading import raise_unusable, stream_inputs
from pgkd.errors import ConfigError, DataError
from pgkd.export import predictor
from pgkd.extras import require
from pgkd.runs.folder import RunFolder
from pgkd.runs.own_rows import run_around
from pgkd.task import Answer, Answering, Input, Task, rounded
from pgkd.tasks import DEFAULT, make_task

Engine = Literal["here", "ray"]
"""Where the model runs: in this process, or on the machines of a cluster."""

# Thousands of rows, so that sorting them by length pays off; and bounded text, for a tokenizer
# needs a hundred bytes per character.
CHUNK_ROWS = 4096
CHUNK_CHARACTERS = 2**20


class Watcher:
    """Follows the progress; this one ignores it."""

    def on_read(self, rows: int) -> None:
        """So many rows were checked, before the first one is answered."""

    def on_start(self, done: int, total: int | None) -> None:
        """It starts; `done` rows were answered before an interruption."""

    def on_rows(self, done: int) -> None:
        """So many rows are answered and written."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where inputs come from. Where a chunk ends depends on the texts alone.

    Attributes:
        path: a file, or the name of a stream in messages.
        columns: of the texts of an input.
        kind: suffix that names the format; None takes the path's.
    """

    path: Path
    columns: tuple[str, ...] = ("text",)
    kind: str | None = None

    def chunks(self, skip: int = 0, stream: BinaryIO | None = None) -> Iterator[list[Input]]:
        """The inputs after the first `skip`, in lists of thousands.

        Args:
            skip: texts to pass over: as many as some first chunks had.
            stream: what to read instead of the file.

        Raises:
            DataError: the file cannot be read, or a row has no text. Chunks of the rows before it
                have been yielded by then.
        """
        problems = Problems()
        for chunk in _in_chunks(islice(self._texts(problems, stream), skip, None)):
            raise_unusable(self.path, problems)
            yield chunk
        raise_unusable(self.path, problems)

    def survey(self, on_rows: Callable[[int], object] = lambda rows: None) -> tuple[int, str]:
        """Read the whole file once.

        Args:
            on_rows: called after each chunk with the number of rows read.

        Returns:
            How many texts it has, and the SHA-256 of the texts in order.

        Raises:
            DataError: lists every row that cannot be read or has no text.
        """
        problems, digest, rows = Problems(), hashlib.sha256(), 0
        for chunk in _in_chunks(self._texts(problems)):
            # UTF-8 never has the byte 255, so no text is mistaken for two.
            digest.update(
                b"".join(t.encode() + b"\xff" for given in chunk for t in texts_of(given))
            )
            rows += len(chunk)
            on_rows(rows)
        raise_unusable(self.path, problems)
        return rows, digest.hexdigest()

    def _texts(self, problems: Problems, stream: BinaryIO | None = None) -> Iterator[Input]:
        return stream_inputs(self.path, self.columns, problems, kind=self.kind, stream=stream)


def texts_of(given: Input) -> tuple[str, ...]:
    """The texts of an input."""
    return (given,) if isinstance(given, str) else tuple(given)


def _in_chunks(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    chunk: list[Input] = []
    characters = 0
    for given in inputs:
        chunk.append(given)
        characters += sum(map(len, texts_of(given)))
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


@dataclass(frozen=True, slots=True)
class BulkJob:
    """Everything that the answers depend on; it can be sent to another machine.

    Attributes:
        source: of the inputs.
        model: folder of the model.
        suffix: format of the answers: ``.csv`` or ``.jsonl``.
        abstain_below: probability below which an answer is flagged, in a column of its own; None
            writes no such column.
        inputs: what the texts of an input are called in the answers.

    Raises:
        ConfigError: `abstain_below` is no probability.
    """

    source: Source
    model: Path
    suffix: str
    abstain_below: float | None = None
    inputs: tuple[str, ...] = ("text",)

    def __post_init__(self) -> None:
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise ConfigError(
                f"abstain_below is {self.abstain_below}: give a probability from 0 to 1."
            )

    def answer(self, model: Answering, given: Sequence[Input], *, first: bool) -> bytes:
        """The answers to a chunk, as the file has them, under a header if it is the first one."""
        answers = model.answers([t if isinstance(t, str) else tuple(t) for t in given])
        rows = [
            {
                **dict(zip(self.inputs, texts_of(texts), strict=True)),
                **rounded(answer),
                **self._flag(answer),
            }
            for texts, answer in zip(given, answers, strict=True)
        ]
        if forget := getattr(model, "forget", None):
            forget()  # else a student's cache would grow with the file
        columns = tuple(rows[0])
        data = format_rows(self.suffix, columns, [tuple(row.values()) for row in rows])
        return (format_header(self.suffix, columns) if first else b"") + data

    def _flag(self, answer: Answer) -> dict[str, bool]:
        if self.abstain_below is None:
            return {}
        return {"abstain": answer.get("probability", 1.0) < self.abstain_below}


def find_model(path: Path, which: str = "best") -> Path:
    """The folder of the model at a path.

    Args:
        path: an export, the folder of a saved student, or a run.
        which: student of the run.

    Raises:
        RunError: it is none of the three, or the run has no such student.
    """
    if (path / predictor.FILE).is_file() or (path / "student.json").is_file():
        return path
    return RunFolder.open(path).student_folder(which)


def load_model(folder: Path, *, threads: int | None = None) -> Answering:
    """Load what `find_model` found.

    Args:
        folder: of an export or a student.
        threads: CPU threads of an export; None takes all cores.

    Raises:
        ExportError: an export is damaged, or is for other libraries.
        StudentError: a student is damaged.
        MissingExtraError: it needs an extra.
    """
    if (folder / predictor.FILE).is_file():
        model: Answering = export.load(folder, threads=threads)
        return model
    student: Answering = find_task(folder).load_student(folder)
    return student


def find_task(folder: Path) -> Task:
    """The kind of task of what `find_model` found."""
    if (folder / predictor.FILE).is_file():
        return make_task(predictor.Manifest.read(folder).task)
    run = run_around(folder)
    return RunFolder.open(run).task if run else make_task(DEFAULT)


def predict_file(
    job: BulkJob,
    out: Path,
    *,
    engine: Engine = "here",
    restart: bool = False,
    watcher: Watcher | None = None,
) -> int:
    """Write an answer for every text of a file, in order; resume where it was interrupted.

    All texts are read once before the first is answered, to report all data problems at once and
    to see whether they are the same as before an interruption.

    Args:
        job: what to answer.
        out: file of answers; it appears once it is complete, and replaces an older one.
        engine: ``"here"`` is this process, ``"ray"`` a Ray cluster.
        restart: discard what an earlier call has done.
        watcher: follows the progress.

    Returns:
        How many rows the file has.

    Raises:
        DataError: the texts cannot be read, or change while they are.
        ResumeError: the work was started with other texts, another model or other settings; the
            answers cannot be written, or another process is writing them.
        EngineError: the cluster fails.
        MissingExtraError: an engine or format needs an extra.
    """
    watcher, texts = watcher or Watcher(), job.source.path
    if texts.exists() and out.exists() and out.samefile(texts):
        raise ConfigError(f"{out} holds the texts: give another file for the answers.")
    before = _stamp(texts)
    rows, digest = job.source.survey(watcher.on_read)
    content = {
        "rows": rows,
        "digest": digest,
        "columns": list(job.source.columns),
        "abstain below": job.abstain_below,
        "model": _digest(job.model),
        "engine": engine,
        "pgkd": pgkd.__version__,
        "chunk": [CHUNK_ROWS, CHUNK_CHARACTERS],
    }
    with ResumableFile.open(out, content, rows, restart=restart) as file:
        watcher.on_start(file.rows, rows)
        if file.rows < rows:
            with closing(_answer(job, file.rows, engine, first=not file.size)) as chunks:
                for n, data in chunks:
                    file.append(data, n)
                    watcher.on_rows(file.rows)
        if file.rows != rows or _stamp(texts) != before:
            raise DataError(
                f"{texts} has changed while it was read, so the answers are of no use. Start over "
                "with --restart when nothing writes to it."
            )
        file.finish()
    return rows


def predict_stream(
    job: BulkJob, source: BinaryIO | None, target: BinaryIO, watcher: Watcher | None = None
) -> int:
    """Write an answer for every text as they arrive; an interrupted stream has to start over.

    Args:
        job: what to answer.
        source: the texts; None reads the job's file.
        target: takes the answers.
        watcher: follows the progress.

    Returns:
        How many answers were written.

    Raises:
        DataError: a row cannot be read; those of the chunks before it are answered.
    """
    watcher = watcher or Watcher()
    watcher.on_start(0, None)
    rows, model = 0, load_model(job.model)
    for texts in job.source.chunks(stream=source):
        target.write(job.answer(model, texts, first=not rows))
        target.flush()
        rows += len(texts)
        watcher.on_rows(rows)
    return rows


def _answer(
    job: BulkJob, skip: int, engine: Engine, *, first: bool
) -> Generator[tuple[int, bytes], None, None]:
    """Rows and answers of all chunks after the first `skip` texts, in order."""
    if engine == "ray":
        require("ray", extra="ray", job="--engine ray")
        from pgkd.apps.bulk.ray_engine import answer_on_cluster

        yield from answer_on_cluster(job, skip, first=first)
    else:
        model = load_model(job.model)
        for texts in job.source.chunks(skip):
            yield len(texts), job.answer(model, texts, first=first)
            first = False


def _digest(folder: Path) -> str:
    """SHA-256 of all files of a model and their names."""
    total = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        total.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return total.hexdigest()


def _stamp(path: Path) -> tuple[int, int] | None:
    """Changes when a file is written; None for a missing file, which its reader reports."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_size, status.st_mtime_ns
