"""Reading files: which format a path has, and the texts of a file to classify."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING

from pgkd.errors import DataError
from pgkd.task.cells import text_of
from pgkd.task.formats import READERS, dataset_folder, decode
from pgkd.task.problems import Problems
from pgkd.task.table import Table

if TYPE_CHECKING:
    from pathlib import Path

_READABLE = ".csv, .tsv, .jsonl, .parquet (each also .gz), or a folder saved by `datasets`"


def read_table(path: Path, problems: Problems) -> Table:
    """All rows of a file that can be read.

    Args:
        path: the file, or a folder of Hugging Face `datasets`.
        problems: takes what cannot be read.

    Raises:
        DataError: there is no such file, it is damaged, or its format is unknown.
        MissingExtraError: Parquet and `datasets` folders need the extra ``data``.
    """
    if path.is_dir():
        return dataset_folder(path)
    kind = _kind(path)
    if path.is_file() and kind not in READERS:
        raise DataError(f"{path} has no format that pgkd reads: {_READABLE}.")
    data = _bytes(path)
    return READERS[kind](data, path, problems)


def read_texts(path: Path, text_column: str = "text") -> list[str]:
    """The texts of a file, in order; labels are not looked at.

    Args:
        path: any readable format, or ``.txt`` (also ``.txt.gz``): one text a line, blank lines
            left out.
        text_column: column of the text; ``.txt`` has none.

    Raises:
        DataError: lists every row that cannot be read or has no text.
    """
    problems = Problems()
    plain = not path.is_dir() and _kind(path) == ".txt"
    table = _lines(path, text_column, problems) if plain else read_table(path, problems)
    texts: list[str | None] = []
    if table.has([text_column], path, problems):
        texts = [text_of(cell, f"row {n}", problems) for n, cell in table.cells(text_column)]
    if not texts and not problems:
        problems.add("empty files", f"{path} has no rows")
    problems.raise_if_any(f"{path} cannot be used as it is:")
    return [text for text in texts if text is not None]


def _lines(path: Path, column: str, problems: Problems) -> Table:
    lines = decode(_bytes(path), path, problems).split("\n")
    records = ((n, {column: line}) for n, line in enumerate(lines, start=1) if line.strip())
    return Table((column,), tuple(records))


def _kind(path: Path) -> str:
    """The suffix that tells the format, in lower case, whether the file is gzipped or not."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    try:
        if path.suffix.lower() != ".gz":
            return path.read_bytes()
        with gzip.open(path) as file:
            return file.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
