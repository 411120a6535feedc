"""`pgkd predict`: classify one text, or a file of them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, TextIO, get_args

import typer

from pgkd.apps.cli.cascade import AbstainOption
from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from pgkd.apps.bulk.job import Job
    from pgkd.apps.bulk.models import Classifier

Option = typer.Option
_STREAM = Path("-")


def predict(
    run: Annotated[
        Path, typer.Argument(help="Run folder, an export, or the folder of a saved student.")
    ],
    text: Annotated[str | None, typer.Argument(help="One text to classify.")] = None,
    data: Annotated[
        Path | None,
        Option(help="File of texts, of any size; labels are not needed. - is standard input."),
    ] = None,
    out: Annotated[
        Path | None, Option(help="CSV or JSONL file to write. - is standard output (JSONL).")
    ] = None,
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    data_format: Annotated[
        str | None, Option(help="csv, tsv, jsonl, txt or parquet; default: by the file's name.")
    ] = None,
    engine: Annotated[
        str, Option(help="here, or ray: the same on a cluster (extra 'ray').")
    ] = "here",
    restart: Annotated[
        bool, Option("--restart", help="Begin a file again that was cut off.")
    ] = False,
    which: Annotated[
        str, Option(help="Student of the run: best, reviewed, last or first.")
    ] = "best",
    top: Annotated[int, Option(min=1, help="Classes to tell for one text.")] = 3,
    abstain_below: AbstainOption = None,
    as_json: Annotated[bool, Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Classify one text, or every text of a file into another file.

    Run it again with the same arguments after it was cut off: it goes on where it stopped.
    """
    from pgkd.apps.bulk.answers import check_out
    from pgkd.apps.bulk.job import Job
    from pgkd.apps.bulk.models import find_model, load_model
    from pgkd.apps.bulk.source import Source

    if (text is None) == (data is None):
        raise ConfigError("Give either one text or --data FILE.")
    if text is not None:
        _one(load_model(find_model(run, which)), text, top, abstain_below, as_json=as_json)
        return
    assert data is not None
    if out is None:
        raise ConfigError("Give --out FILE (.csv or .jsonl) for the answers.")
    kind = f".{data_format.lower().lstrip('.')}" if data_format else None
    name = Path("standard input") if data == _STREAM else data
    source = Source(name, text_column, kind or (".txt" if data == _STREAM else None))
    suffix = ".jsonl" if out == _STREAM else check_out(out).suffix
    job = Job(source, find_model(run, which), suffix, abstain_below)
    if _STREAM in (data, out):
        _stream(job, data, out, engine, restart=restart)
    else:
        _file(job, out, engine, restart=restart)


def _one(
    model: Classifier, text: str, top: int, abstain_below: float | None, *, as_json: bool
) -> None:
    from pgkd.apps.cli.console import console, print_json, print_rows
    from pgkd.export.predictor import ranked

    best = ranked(model.predict_proba([text])[0], model.classes, top)
    sure = best[0][1]
    unsure = abstain_below is not None and sure < abstain_below
    if as_json:
        told: list[dict[str, Any]] = [{"label": n, "probability": round(p, 6)} for n, p in best]
        if abstain_below is not None:
            told[0]["abstain"] = unsure  # of the answer; the others are what it might have been
        print_json(told)
        return
    print_rows("", ("class", "probability"), [(name, f"{p:.3f}") for name, p in best])
    if unsure:
        console().print(f"Unsure: abstain, for {sure:.6g} is below {abstain_below:g}.")


def _file(job: Job, out: Path, engine: str, *, restart: bool) -> None:
    from pgkd.apps.bulk.classify import Engine, classify_file
    from pgkd.apps.cli.console import console
    from pgkd.apps.cli.rows_progress import RowsProgress

    if engine not in get_args(Engine):
        known = ", ".join(get_args(Engine))
        raise ConfigError(f"There is no engine '{engine}'. There are: {known}.")
    shell = console(stderr=True)
    with RowsProgress(shell) as progress:
        rows = classify_file(
            job,
            out,
            engine=engine,  # type: ignore[arg-type]  # one of the two
            restart=restart,
            watcher=progress,
        )
    shell.print(f"{rows} texts classified into {out}")


def _stream(job: Job, data: Path, out: Path, engine: str, *, restart: bool) -> None:
    """As a filter: nothing is resumed, and nothing needs to be told on standard output."""
    from pgkd.apps.bulk.answers import partial_of
    from pgkd.apps.bulk.classify import classify_stream
    from pgkd.apps.cli.console import console
    from pgkd.apps.cli.rows_progress import RowsProgress

    if engine != "here" or restart:
        raise ConfigError("--engine ray and --restart need files: what flows by is gone.")
    stream = _bytes(sys.stdin, "input") if data == _STREAM else None
    with RowsProgress(console(stderr=True)) as progress:
        if out == _STREAM:
            classify_stream(job, stream, _bytes(sys.stdout, "output"), progress)
            return
        with partial_of(out).open("wb") as target:
            classify_stream(job, stream, target, progress)
        partial_of(out).replace(out)


def _bytes(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:
        raise ConfigError(f"Standard {name} is closed: give a file.")
    return stream.buffer
