"""The formats: CSV, TSV, JSONL, Parquet and folders of Hugging Face `datasets`.

What cannot be read of a file is noted as a problem, and reading goes on where that is possible.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from pgkd.errors import DataError
from pgkd.extras import require
from pgkd.task.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgkd.task.problems import Problems

_C_LONG_MAX = 2**31 - 1  # the smallest bound, over all platforms, of csv's field size


def decode(data: bytes, path: Path, problems: Problems) -> str:
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


def _delimited(data: bytes, path: Path, problems: Problems, *, delimiter: str) -> Table:
    # A text may be longer than the module's default of 131,072 characters.
    csv.field_size_limit(min(sys.maxsize, _C_LONG_MAX))
    lines = io.StringIO(decode(data, path, problems), newline="")
    rows = _whole_rows(csv.reader(lines, delimiter=delimiter, strict=True), path, problems)
    header = next(rows, [])
    records = []
    for number, fields in enumerate(rows, start=1):
        if len(fields) == len(header):
            records.append((number, dict(zip(header, fields, strict=True))))
            continue
        problems.add(
            "rows of another length",
            f"{path}, row {number} has {len(fields)} fields, the header {len(header)}: "
            "quote texts that hold the separator",
        )
    return Table(tuple(header), tuple(records))


def _whole_rows(reader: Iterator[list[str]], path: Path, problems: Problems) -> Iterator[list[str]]:
    """Header and rows without blank lines, up to the first one that breaks the quoting rules."""
    number = 0
    try:
        for fields in reader:
            if fields:
                yield fields
                number += 1
    except csv.Error as error:
        where = f"row {number}" if number else "the header"
        problems.add("broken rows", f"{path}, {where}: {error}; nothing from there on was read")


def _jsonl(data: bytes, path: Path, problems: Problems) -> Table:
    # Only "\n" ends a line: `splitlines` would also cut at separators inside of a text.
    lines = (line for line in decode(data, path, problems).split("\n") if line.strip())
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON: {error}")
            continue
        if isinstance(record, dict):
            records.append((number, record))
        else:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON object")
    return Table.of(records)


def _parquet(data: bytes, path: Path, problems: Problems) -> Table:
    arrow = require("pyarrow", extra="data", job="Reading Parquet")
    parquet = require("pyarrow.parquet", extra="data", job="Reading Parquet")
    try:
        table = parquet.read_table(io.BytesIO(data))
    except (arrow.ArrowException, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {error}") from error
    return Table(tuple(table.column_names), tuple(enumerate(table.to_pylist(), start=1)))


def dataset_folder(path: Path) -> Table:
    """A folder of `Dataset.save_to_disk`; class numbers become the names that it carries.

    Raises:
        DataError: the folder is something else, or holds several splits.
        MissingExtraError: the extra ``data`` is not installed.
    """
    datasets = require("datasets", extra="data", job="Reading a datasets folder")
    try:
        dataset = datasets.load_from_disk(str(path))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} is no folder saved by `datasets`: {error}") from error
    if isinstance(dataset, datasets.DatasetDict):
        splits = ", ".join(str(path / name) for name in dataset)
        raise DataError(f"{path} holds several splits; name one of them: {splits}")
    classes = {
        column: feature.names
        for column, feature in dataset.features.items()
        if isinstance(feature, datasets.ClassLabel)
    }
    named = (_named(record, classes) for record in dataset)
    return Table(tuple(dataset.column_names), tuple(enumerate(named, start=1)))


def _named(record: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """A record with class names; `datasets` writes -1 where a row has no label."""
    names = {
        column: None if record[column] in (None, -1) else of[record[column]]
        for column, of in classes.items()
    }
    return {**record, **names}


READERS: dict[str, Callable[[bytes, Path, Problems], Table]] = {
    ".csv": partial(_delimited, delimiter=","),
    ".tsv": partial(_delimited, delimiter="\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
