"""`pgkd predict`: classify one text, or a file of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.serving import Predictor
    from pgkd.student import Student

Option = typer.Option
_BATCH = 1024  # texts between two updates of the bar


def predict(
    run: Annotated[
        Path, typer.Argument(help="Run folder, an export, or the folder of a saved student.")
    ],
    text: Annotated[str | None, typer.Argument(help="One text to classify.")] = None,
    data: Annotated[Path | None, Option(help="File of texts; labels are not needed.")] = None,
    out: Annotated[Path | None, Option(help="CSV or JSONL file to write.")] = None,
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    which: Annotated[str, Option(help="Student of the run: best, last, first or alone.")] = "best",
    top: Annotated[int, Option(min=1, help="Classes to tell for one text.")] = 3,
    as_json: Annotated[bool, Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Classify one text, or every text of a file into another file."""
    if (text is None) == (data is None):
        raise ConfigError("Give either one text or --data FILE.")
    student = load(run, which)
    if text is not None:
        _one(student, text, top, as_json=as_json)
        return
    assert data is not None
    if out is None:
        raise ConfigError("Give --out FILE (.csv or .jsonl) for the answers.")
    from pgkd.cli.answers import check_suffix
    from pgkd.task import read_texts

    _file(student, read_texts(data, text_column), check_suffix(out))


def load(path: Path, which: str) -> Student | Predictor:
    """The student of a run folder, of an export, or of a folder that was saved alone."""
    from pgkd import serving
    from pgkd.distill import RunFolder
    from pgkd.serving import manifest
    from pgkd.student import load_student

    if (path / manifest.FILE).is_file():
        return serving.load(path, threads=None)
    if (path / "student.json").is_file():
        return load_student(path)
    return RunFolder.open(path).student(which)


def _one(student: Student | Predictor, text: str, top: int, *, as_json: bool) -> None:
    from pgkd.cli.console import print_json, print_rows

    probabilities = student.predict_proba([text])[0]
    best = probabilities.argsort(kind="stable")[::-1][:top]
    ranked = [(student.classes[i], round(float(probabilities[i]), 6)) for i in best]
    if as_json:
        print_json([{"label": name, "probability": p} for name, p in ranked])
    else:
        print_rows("", ("class", "probability"), [(name, f"{p:.3f}") for name, p in ranked])


def _file(student: Student | Predictor, texts: Sequence[str], out: Path) -> None:
    """Answers to a file that appears only when it is whole."""
    from rich.progress import Progress

    from pgkd.cli.answers import answers_file
    from pgkd.cli.console import console

    shell = console(stderr=True)
    with (
        answers_file(out, ("text", "label", "probability")) as write,
        Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress,
    ):
        bar = progress.add_task("classifying", total=len(texts))
        for answers in _answers(student, texts):
            for answer in answers:
                write(answer)
            progress.advance(bar, len(answers))
    shell.print(f"{len(texts)} texts classified into {out}")


def _answers(
    student: Student | Predictor, texts: Sequence[str]
) -> Iterator[list[tuple[str, str, float]]]:
    for start in range(0, len(texts), _BATCH):
        batch = texts[start : start + _BATCH]
        probabilities = student.predict_proba(batch)
        yield [
            (text, student.classes[int(row.argmax())], round(float(row.max()), 6))
            for text, row in zip(batch, probabilities, strict=True)
        ]
