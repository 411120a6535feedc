"""Reading rows: CSV, TSV, JSONL and Parquet, plain or gzipped, and `datasets` folders.

Every reader yields ``(row number, record)``, rows numbered from 1 without the header. What cannot
be read is noted as a problem with its row or line, and reading goes on where that is possible.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from typing import TYPE_CHECKING, Any

from pgkd.errors import DataError
from pgkd.extras import require
from pgkd.task.problems import Problems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    Records = Iterator[tuple[int, dict[str, Any]]]

_READABLE = ".csv, .tsv, .jsonl, .parquet (each also .gz), or a folder saved by `datasets`"


def read_records(path: Path, problems: Problems) -> list[tuple[int, dict[str, Any]]]:
    """All rows of a file that can be read.

    Args:
        path: the file, or a folder of Hugging Face `datasets`.
        problems: takes what cannot be read.

    Raises:
        DataError: there is no such file, or its format is unknown.
        MissingExtraError: Parquet and `datasets` folders need the extra ``data``.
    """
    if path.is_dir():
        return list(_dataset_folder(path))
    if not path.is_file():
        raise DataError(f"There is no file {path}.")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    gzipped = bool(suffixes) and suffixes[-1] == ".gz"
    kind = suffixes[-2] if gzipped and len(suffixes) > 1 else (suffixes or [""])[-1]
    if kind not in _READERS:
        raise DataError(f"{path} has no format that pgkd reads: {_READABLE}.")
    data = _bytes(path, gzipped=gzipped)
    return list(_READERS[kind](data, path, problems))


def read_texts(path: Path, text_column: str = "text") -> list[str]:
    """The texts of a file, in order; labels are not looked at. ``.txt`` holds one text a line.

    Raises:
        DataError: lists every row that cannot be read or has no text.
    """
    problems = Problems()
    if path.suffix.lower() == ".txt" and path.is_file():
        lines = _decode(path.read_bytes(), path, problems).splitlines()
        records: list[tuple[int, dict[str, Any]]] = [
            (i, {text_column: line}) for i, line in enumerate(lines, start=1) if line.strip()
        ]
    else:
        records = read_records(path, problems)
    check_columns(records, (text_column,), path, problems)
    problems.raise_if_any(f"{path} cannot be used as it is:")
    texts = []
    for number, record in records:
        text = record.get(text_column)
        if not isinstance(text, str) or not text.strip():
            problems.add("rows without a text", f"row {number} has no text")
        else:
            texts.append(text)
    problems.raise_if_any(f"{path} cannot be used as it is:")
    return texts


def check_columns(
    records: Iterable[tuple[int, dict[str, Any]]],
    columns: Iterable[str],
    path: Path,
    problems: Problems,
) -> bool:
    """Whether the columns are there; what is missing is a problem, told with what there is."""
    present: dict[str, None] = {}
    for _, record in records:
        present.update(dict.fromkeys(record))
    missing = [column for column in columns if column not in present]
    found = ", ".join(f"'{name}'" for name in present) or "no column"
    for column in missing:
        problems.add("missing columns", f"{path} has no column '{column}'; it has {found}")
    return not missing


def _bytes(path: Path, *, gzipped: bool) -> bytes:
    if not gzipped:
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{path} is not a whole gzip file: {error}") from error


def _decode(data: bytes, path: Path, problems: Problems) -> str:
    """UTF-8 with or without a byte-order mark; every line that is not is a problem."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode("utf-8")
        except UnicodeDecodeError as error:
            problems.add(
                "lines in another encoding",
                f"{path}, line {number}: byte {error.start + 1} is not UTF-8; "
                "save the file as UTF-8",
            )
    return data.decode("utf-8-sig", errors="replace")


def _csv(data: bytes, path: Path, problems: Problems) -> Records:
    return _table(data, path, problems, delimiter=",")


def _tsv(data: bytes, path: Path, problems: Problems) -> Records:
    return _table(data, path, problems, delimiter="\t")


def _table(data: bytes, path: Path, problems: Problems, *, delimiter: str) -> Records:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a text may be longer than the default
    text = io.StringIO(_decode(data, path, problems), newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    header: list[str] | None = None
    number = 0
    try:
        for fields in reader:
            if not fields:
                continue  # a blank line
            if header is None:
                header = fields
                continue
            number += 1
            if len(fields) != len(header):
                problems.add(
                    "rows of another length",
                    f"{path}, row {number} has {len(fields)} fields, the header {len(header)}: "
                    "quote texts that hold the separator",
                )
                continue
            yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        problems.add(
            "broken rows",
            f"{path}, line {reader.line_num}: {error}; rows from here on were not read",
        )


def _jsonl(data: bytes, path: Path, problems: Problems) -> Records:
    number = 0
    for line in _decode(data, path, problems).split("\n"):
        if not line.strip():
            continue
        number += 1
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON: {error}")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON object")


def _parquet(data: bytes, path: Path, problems: Problems) -> Records:
    parquet = require("pyarrow.parquet", extra="data", job="Reading Parquet")
    arrow = require("pyarrow", extra="data", job="Reading Parquet")
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (arrow.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}") from error
    yield from enumerate(table.to_pylist(), start=1)


def _dataset_folder(path: Path) -> Records:
    """A folder of `Dataset.save_to_disk`; class numbers become the names that it carries."""
    datasets = require("datasets", extra="data", job="Reading a datasets folder")
    try:
        dataset = datasets.load_from_disk(str(path))
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{path} is no folder saved by `datasets`: {error}") from error
    if isinstance(dataset, datasets.DatasetDict):
        splits = ", ".join(f"{path / name}" for name in dataset)
        raise DataError(f"{path} holds several splits; name one of them: {splits}")
    named = {
        column: feature.names
        for column, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    for number, record in enumerate(dataset, start=1):
        names = {c: named[c][v] for c, v in record.items() if c in named and v is not None}
        yield number, {**record, **names}


_READERS: dict[str, Callable[[bytes, Path, Problems], Records]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
