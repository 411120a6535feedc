"""`pgkd predict`: answer one text, or a file of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO, get_args

from typer import Argument, Option

from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, print_json, print_rows
from pgkd.errors import ConfigError
from pgkd.task import rounded

if TYPE_CHECKING:
    from pgkd.apps.bulk.predicting import BulkJob
    from pgkd.task import Answer, Input

_STREAM = Path("-")


def predict(
    run: Path = Argument(help="Run folder, export, or folder of a saved student."),
    text: list[str] | None = Argument(None, help="One text, or the texts of one input."),
    data: Path | None = Option(
        None, help="File of texts, of any size; labels are not needed. - is standard input."
    ),
    out: Path | None = Option(
        None, help="CSV or JSONL file to write. - is standard output (JSONL)."
    ),
    text_column: options.TextColumn = "text",
    data_format: str | None = Option(
        None, help="csv, tsv, jsonl, txt or parquet; default: by the file's name."
    ),
    engine: str = Option("here", help="here, or ray: the same on a cluster (extra 'ray')."),
    restart: bool = Option(False, "--restart", help="Start an interrupted file over."),
    which: options.Which = "best",
    top: int = Option(3, min=1, help="Number of classes to print for one text."),
    abstain_below: options.AbstainBelow = None,
    as_json: options.Json = False,
) -> None:
    """Answer one text, or every text of a file into another file.

    After an interruption, the same command resumes.
    """
    from pgkd.apps.bulk import BulkJob, Source, check_out, find_model, load_model
    from pgkd.apps.bulk.predicting import find_task

    if bool(text) == (data is not None):
        raise ConfigError("Give either one text or --data FILE.")
    model = find_model(run, which)
    inputs = find_task(model).inputs
    if data is None:
        assert text is not None
        if len(text) != len(inputs):
            wanted = "one text" if len(inputs) == 1 else " and ".join(inputs)
            raise ConfigError(
                f"Give {wanted}: an input has {len(inputs)}, and you gave {len(text)}."
            )
        given = text[0] if len(text) == 1 else tuple(text)
        _one(load_model(model), given, top, abstain_below, as_json=as_json)
        return
    if out is None:
        raise ConfigError("Give --out FILE (.csv or .jsonl) for the answers.")
    kind = f".{data_format.lower().lstrip('.')}" if data_format else None
    name = Path("standard input") if data == _STREAM else data
    columns = (text_column, *inputs[1:])
    source = Source(name, columns, kind or (".txt" if data == _STREAM else None))
    suffix = ".jsonl" if out == _STREAM else check_out(out).suffix
    job = BulkJob(source, model, suffix, abstain_below, inputs)
    if _STREAM in (data, out):
        _stream(job, data, out, engine, restart=restart)
    else:
        _file(job, out, engine, restart=restart)


def _one(model: Any, given: Input, top: int, abstain_below: float | None, *, as_json: bool) -> None:
    from pgkd.tasks.classification.exporting import ranked

    answers: list[Answer] = model.answers([given])
    probability = answers[0].get("probability", 1.0)
    if answers[0].keys() == {"label", "probability"}:  # a classifier knows the others, too
        best = ranked(model.predict_proba([given])[0], model.classes, top)
        answers = [{"label": n, "probability": p} for n, p in best]
    unsure = abstain_below is not None and probability < abstain_below
    if as_json:
        if abstain_below is not None:
            answers[0]["abstain"] = unsure  # the first is the answer
        print_json([rounded(answer) for answer in answers])
        return
    if "label" in answers[0]:
        rows = [(each["label"], f"{each.get('probability', 1):.3f}") for each in answers]
        print_rows("", ("class", "probability"), rows)
    else:
        print_rows("", ("", ""), [(name, _shown(value, top)) for name, value in answers[0].items()])
    if unsure:
        console().print(f"Unsure: abstain, for {probability:.6g} is below {abstain_below:g}.")


def _shown(value: Any, top: int) -> str:
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, dict) and all(isinstance(each, float) for each in value.values()):
        best = sorted(value.items(), key=lambda item: -item[1])[:top]
        return ", ".join(f"{name} {number:.3f}" for name, number in best)
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value) or "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _file(job: BulkJob, out: Path, engine: str, *, restart: bool) -> None:
    from pgkd.apps.bulk import Engine, predict_file
    from pgkd.apps.cli.progress import RowsProgress

    options.check_choice("engine", engine, get_args(Engine))
    shell = console(stderr=True)
    with RowsProgress(shell) as progress:
        rows = predict_file(
            job,
            out,
            engine=engine,  # type: ignore[arg-type]  # checked above
            restart=restart,
            watcher=progress,
        )
    shell.print(f"{rows} texts answered in {out}")


def _stream(job: BulkJob, data: Path, out: Path, engine: str, *, restart: bool) -> None:
    """As a filter, which cannot resume."""
    from pgkd.apps.bulk import predict_stream
    from pgkd.apps.bulk.answers import partial_path
    from pgkd.apps.cli.progress import RowsProgress

    if engine != "here" or restart:
        raise ConfigError("--engine ray and --restart need files: a stream cannot be read again.")
    stream = _open_bytes(sys.stdin, "input") if data == _STREAM else None
    with RowsProgress(console(stderr=True)) as progress:
        if out == _STREAM:
            predict_stream(job, stream, _open_bytes(sys.stdout, "output"), progress)
            return
        partial = partial_path(out)
        with partial.open("wb") as target:
            predict_stream(job, stream, target, progress)
        partial.replace(out)


def _open_bytes(stream: TextIO | None, name: str) -> BinaryIO:
    if stream is None:
        raise ConfigError(f"Standard {name} is closed: give a file.")
    return stream.buffer
