"""The formats: CSV, TSV, JSONL, plain lines, Parquet and folders of Hugging Face `datasets`.

Rows are read as they are asked for. What cannot be read of a file is noted as a problem, and
reading goes on where that is possible.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from pgkd.errors import DataError
from pgkd.extras import require
from pgkd.task.lines import LONGEST_ROW, Lines, RowTooLongError
from pgkd.task.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.task.problems import Problems

_Records = Iterator[tuple[int, dict[str, Any]]]
_Reader = Callable[[BinaryIO, "Path", "Problems", tuple[str, ...]], Table]
"""Takes an open file, its name, who is told what cannot be read, and the columns in demand."""

_BATCH = 256  # rows of Parquet that are unpacked at once
_BUFFER = 2**20  # bytes of Parquet that are read at once, of each column


def _delimited(
    file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...], *, delimiter: str
) -> Table:
    # A text may be longer than the module's default of 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    rows = _whole_rows(Lines(file, path, problems, newline=""), delimiter, path, problems)
    header = next(rows, [])
    return Table(tuple(header), _of_one_length(rows, header, path, problems))


def _whole_rows(
    lines: Lines, delimiter: str, path: Path, problems: Problems
) -> Iterator[list[str]]:
    """Header and rows without blank lines, up to the first one that breaks the quoting rules."""
    number = 0
    try:
        with lines:
            for fields in csv.reader(lines, delimiter=delimiter, strict=True):
                lines.start_row()
                if fields:
                    yield fields
                    number += 1
    except (csv.Error, RowTooLongError) as error:
        where = f"row {number}" if number else "the header"
        why = f"{error}; is a quote left open?" if isinstance(error, RowTooLongError) else error
        problems.add("broken rows", f"{path}, {where}: {why}; nothing from there on was read")


def _of_one_length(
    rows: Iterator[list[str]], header: list[str], path: Path, problems: Problems
) -> _Records:
    for number, fields in enumerate(rows, start=1):
        if len(fields) == len(header):
            yield number, dict(zip(header, fields, strict=True))
            continue
        problems.add(
            "rows of another length",
            f"{path}, row {number} has {len(fields)} fields, the header {len(header)}: "
            "quote texts that hold the separator",
        )


def _jsonl(file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...]) -> Table:
    return Table.of(_objects(file, path, problems))


def _objects(file: BinaryIO, path: Path, problems: Problems) -> _Records:
    filled = (line for _, line in _filled_lines(file, path, problems))
    for number, line in enumerate(filled, start=1):
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON: {error}")
            continue
        if isinstance(record, dict):
            yield number, record
        else:
            problems.add("lines that are no JSON", f"{path}, row {number} is no JSON object")


def _plain(file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...]) -> Table:
    """One text a line; such a file has the one column that is in demand."""
    [column] = wanted
    lines = _filled_lines(file, path, problems)
    return Table((column,), ((number, {column: line}) for number, line in lines))


def _filled_lines(file: BinaryIO, path: Path, problems: Problems) -> Iterator[tuple[int, str]]:
    """Number and content of every line that is not blank, up to the first that is too long."""
    number = 0
    try:
        # Only "\n" ends a line: others, like U+2028, may stand inside of a text.
        with Lines(file, path, problems, newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                lines.start_row()
                if line.strip():
                    yield number, line
    except RowTooLongError as error:
        problems.add(
            "broken rows", f"{path}, line {number + 1}: {error}; nothing from there on was read"
        )


def _parquet(file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...]) -> Table:
    arrow = require("pyarrow", extra="data", job="Reading Parquet")
    parquet = require("pyarrow.parquet", extra="data", job="Reading Parquet")
    broken = arrow.ArrowException, OSError
    try:
        opened = parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)
    except broken as error:
        raise _no_parquet(path, error) from error

    def records() -> _Records:
        number = 0
        try:
            for batch in opened.iter_batches(_BATCH, columns=list(wanted)):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except broken as error:
            raise _no_parquet(path, error) from error

    return Table(tuple(opened.schema_arrow.names), records())


def _no_parquet(path: Path, error: Exception) -> DataError:
    return DataError(f"{path} is not a whole Parquet file: {error}")


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
    return Table(tuple(dataset.column_names), enumerate(named, start=1))


def _named(record: dict[str, Any], classes: dict[str, list[str]]) -> dict[str, Any]:
    """A record with class names; `datasets` writes -1 where a row has no label."""
    names = {
        column: None if record[column] in (None, -1) else of[record[column]]
        for column, of in classes.items()
    }
    return {**record, **names}


READERS: dict[str, _Reader] = {
    ".csv": partial(_delimited, delimiter=","),
    ".tsv": partial(_delimited, delimiter="\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".parquet": _parquet,
}
"""Readers of labelled rows, by suffix."""

TEXT_READERS: dict[str, _Reader] = {**READERS, ".txt": _plain}
"""Readers of texts without labels."""
