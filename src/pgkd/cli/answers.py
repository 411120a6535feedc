"""Files of answers: one line a text, CSV or JSON lines."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path
    from typing import TextIO

_SUFFIXES = (".csv", ".jsonl")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def check_suffix(path: Path) -> Path:
    """The path, if answers can be written there.

    Raises:
        ConfigError: they are written as .csv or .jsonl only.
    """
    if path.suffix not in _SUFFIXES:
        raise ConfigError(f"{path}: answers are written as .csv or .jsonl.")
    return path


@contextmanager
def answers_file(path: Path, columns: Sequence[str]) -> Iterator[Callable[[Sequence[Any]], object]]:
    """What writes one answer, a value for each column; the file appears only when it is whole."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("w", encoding="utf-8", newline="") as file:
        yield _lines(file, columns) if path.suffix == ".jsonl" else _table(file, columns)
    partial.replace(path)


def _lines(file: TextIO, columns: Sequence[str]) -> Callable[[Sequence[Any]], object]:
    def write(values: Sequence[Any]) -> object:
        record = dict(zip(columns, values, strict=True))
        return file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return write


def _table(file: TextIO, columns: Sequence[str]) -> Callable[[Sequence[Any]], object]:
    table = csv.writer(file)
    table.writerow(columns)
    return lambda values: table.writerow([_harmless(value) for value in values])


def _harmless(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula (OWASP: CSV injection)."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
