"""Files of answers: one line a text, CSV or JSON lines."""

from __future__ import annotations

import csv
import io
import json
import os
from typing import TYPE_CHECKING, Any

from pgkd.data.formulas import disarmed
from pgkd.errors import ConfigError
from pgkd.files import with_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

SUFFIXES = (".csv", ".jsonl")


def check_out(path: Path) -> Path:
    """The path, if answers can be written there.

    Raises:
        ConfigError: they are written as .csv or .jsonl only, into a folder that is there and can
            be written to.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: answers are written as .csv or .jsonl.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}. Make it first.")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path}: {path.parent} cannot be written to. Choose another folder.")
    return path


def partial_of(path: Path) -> Path:
    """Where a file of answers grows until it is whole."""
    return path.with_name(path.name + ".partial")


def write_answers(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a file of answers, a value for each column; it appears only when it is whole."""
    partial = partial_of(path)
    try:
        with partial.open("wb") as file:
            file.write(header(path.suffix, columns))
            for row in rows:
                file.write(lines(path.suffix, columns, [row]))
        partial.replace(path)
    except OSError as error:
        raise with_name(error, path) from None


def header(suffix: str, columns: Sequence[str]) -> bytes:
    """What a file begins with."""
    return _table([columns]) if suffix == ".csv" else b""


def lines(suffix: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Some answers, as they stand in a file."""
    if suffix == ".csv":
        return _table([_cell(value) for value in row] for row in rows)
    records = (dict(zip(columns, row, strict=True)) for row in rows)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _table(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula; truth as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return disarmed(value) if isinstance(value, str) else value
