"""Files of rows and of texts, read row by row; every problem is noted with its row."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from pgkd.data.cells import Problems, parse_text
from pgkd.data.formats import (
    READERS,
    TEXT_READERS,
    Table,
    dataset_folder,
    find_encoding,
    with_head,
)
from pgkd.errors import DataError
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_READABLE = ".csv, .tsv, .jsonl, .parquet (each also .gz), .json, or a folder saved by `datasets`"
_JSON = re.compile(r"\{\s*\"|\[\s*\{")
_SIGNS = {
    b"PAR1": ("a Parquet file", ".parquet"),
    b"\x1f\x8b": ("a gzip file", "….gz"),
    b"PK\x03\x04": ("a workbook or a ZIP archive", ""),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", ""),
}


@contextmanager
def open_table(
    path: Path,
    columns: Sequence[str],
    problems: Problems,
    *,
    readers: Mapping[str, Any] = READERS,
    kind: str | None = None,
    stream: BinaryIO | None = None,
) -> Iterator[Table]:
    """The rows of a file that can be read, as long as it is open.

    Args:
        path: the file, or a folder of Hugging Face `datasets`.
        columns: in demand; formats that can do so leave the others out.
        problems: takes what cannot be read.
        readers: the formats to choose from.
        kind: suffix that tells the format; None takes the path's.
        stream: what to read in the file's stead.

    Raises:
        DataError: there is no such file, it is damaged, or its format is unknown. While the rows
            are used, this is raised too.
        MissingExtraError: Parquet and `datasets` folders need the extra ``data``.
    """
    if stream is None and path.is_dir():
        yield dataset_folder(path)
        return
    kind = kind or _kind(path)
    if (stream or path.is_file()) and kind not in readers:
        raise DataError(f"{path} has no format that pgkd reads: {_READABLE}.")
    with stream or _opened(path) as file:
        with _damage_told(path):
            file, head = with_head(file)
            if other := _other_kind(kind, head):
                problems.add("files of another format", f"{path} {other}")
                table = Table(tuple(columns), iter(()))
            else:
                table = readers[kind](file, path, problems, tuple(columns))
        yield Table(table.columns, _guarded(table.records, path))


def stream_texts(path: Path, text_column: str, problems: Problems) -> Iterator[str]:
    """The texts of a file, one by one and in order; see `stream_inputs`."""
    return stream_inputs(path, (text_column,), problems)


def stream_inputs(
    path: Path,
    columns: tuple[str, ...],
    problems: Problems,
    *,
    kind: str | None = None,
    stream: BinaryIO | None = None,
) -> Iterator[Any]:
    """The inputs of a file, one by one and in order; labels are not looked at.

    Args:
        path: any readable format, or ``.txt`` (also ``.txt.gz``): one text a line, blank lines
            left out.
        columns: of the texts of an input; ``.txt`` has none, and one text.
        problems: takes every row that cannot be read or has no text. Whoever uses the texts has to
            look there in the end.
        kind: suffix that tells the format; None takes the path's.
        stream: what to read in the file's stead.

    Yields:
        A text, or a tuple of texts where there are several columns.

    Raises:
        DataError: as `open_table`.
    """
    found = False
    before = len(problems)
    with open_table(
        path, columns, problems, readers=TEXT_READERS, kind=kind, stream=stream
    ) as table:
        if table.has(columns, path, problems):
            for number, *cells in table.cells(*columns):
                found = True
                texts = [parse_text(cell, f"row {number}", problems) for cell in cells]
                if None not in texts:
                    yield texts[0] if len(texts) == 1 else tuple(texts)
    if not found and len(problems) == before:
        problems.add("empty files", f"{path} has no rows")


def read_texts(path: Path, text_column: str = "text") -> list[str]:
    """All texts of a file, as `stream_texts` reads them.

    Raises:
        DataError: lists every row that cannot be read or has no text.
    """
    problems = Problems()
    texts = list(stream_texts(path, text_column, problems))
    raise_unusable(path, problems)
    return texts


def raise_unusable(path: Path, problems: Problems) -> None:
    """Tell what is wrong with a file.

    Raises:
        DataError: there is at least one problem.
    """
    problems.raise_if_any(f"{path} cannot be used as it is:")


def _kind(path: Path) -> str:
    """The suffix that tells the format, in lower case, whether the file is gzipped or not."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _other_kind(kind: str, head: bytes) -> str:
    """What a file is if it is of another format than its suffix says, and what to do; or empty."""
    for sign, (what, suffix) in _SIGNS.items():
        if head.startswith(sign) and kind != ".parquet":
            todo = f"name it {suffix}" if suffix else "save its rows as CSV (UTF-8)"
            return f"is {what}, not what its name says: {todo}"
    if not head and kind in (".csv", ".tsv"):
        return "has no rows, not even a header"
    start = head.decode(find_encoding(head), "replace").lstrip("\ufeff \t\r\n")
    if kind in (".csv", ".tsv") and _JSON.match(start):
        return "holds JSON, not what its name says: name it .json (predict: --data-format jsonl)"
    if kind in (".jsonl", ".ndjson", ".json") and start and start[0] not in "[{":
        return f"holds no JSON, but begins with '{shown(start, 40)}': name it .csv if it is CSV"
    return ""


def _opened(path: Path) -> Any:
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    try:
        return gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb")
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error


def _guarded(records: Iterator[Any], path: Path) -> Iterator[Any]:
    """The records; what goes wrong while they are read is told. What their user does is not."""
    with _damage_told(path):
        yield from records


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error}") from error
