"""The formats: CSV, TSV, JSON, plain lines, Parquet and folders of Hugging Face `datasets`.

Rows are read as they are asked for. What cannot be read of a file is noted as a problem, and
reading goes on where that is possible.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from pgkd.data.delimited import read_delimited
from pgkd.data.lines import Lines, RowTooLongError, encoding_of, with_head
from pgkd.data.table import Records, Table
from pgkd.errors import DataError
from pgkd.extras import require

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.data.problems import Problems

_Reader = Callable[[BinaryIO, "Path", "Problems", tuple[str, ...]], Table]
"""Takes an open file, its name, who is told what cannot be read, and the columns in demand."""

_BATCH = 256  # rows of Parquet that are unpacked at once
_BUFFER = 2**20  # bytes of Parquet that are read at once, of each column
_LONGEST_ARRAY = 2**28  # characters: a JSON array is read as a whole
_FEW = 3  # of the lines that are no JSON: more are rarely single slips


def _jsonl(file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...]) -> Table:
    """An object a line; or one array of objects, as most tools write JSON."""
    file, head = with_head(file)
    start = head.decode(encoding_of(head), "replace").lstrip("\ufeff \t\r\n")
    if start.startswith("["):
        return Table.of(_objects(_array(file, path, problems), path, problems))
    return Table.of(_objects(_parsed_lines(file, path, problems), path, problems))


def _objects(values: Iterator[tuple[int, Any]], path: Path, problems: Problems) -> Records:
    for number, value in values:
        if isinstance(value, dict):
            yield number, value
        else:
            problems.add(
                "rows that are no JSON object", f"{path}, row {number} is no JSON object", most=_FEW
            )


def _parsed_lines(file: BinaryIO, path: Path, problems: Problems) -> Iterator[tuple[int, Any]]:
    filled = (line for _, line in _filled_lines(file, path, problems))
    for number, line in enumerate(filled, start=1):
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.add(
                "lines that are no JSON",
                f"{path}, row {number} is no JSON: {error}; pgkd reads one object a line, or one "
                "array of objects",
                most=_FEW,
            )


def _array(file: BinaryIO, path: Path, problems: Problems) -> Iterator[tuple[int, Any]]:
    with Lines(file, path, problems, newline="\n") as lines:
        text = lines.rest(_LONGEST_ARRAY + 1)
    if len(text) > _LONGEST_ARRAY:
        problems.add(
            "broken rows",
            f"{path} is one JSON array of more than {_LONGEST_ARRAY:,} characters: write one "
            "object a line instead",
        )
        return
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        problems.add("broken rows", f"{path} begins as a JSON array, but is none: {error}")
        return
    yield from enumerate(values, start=1)


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

    def records() -> Records:
        number = 0
        try:
            for batch in opened.iter_batches(_BATCH, columns=list(wanted)):
                for record in batch.to_pylist():
                    number += 1
                    yield number, record
        except broken as error:
            raise _no_parquet(path, error) from error

    classes = _class_names(opened.schema_arrow.metadata)
    named = ((number, _named(record, classes)) for number, record in records())
    return Table(tuple(opened.schema_arrow.names), named)


def _class_names(metadata: dict[bytes, bytes] | None) -> dict[str, list[str]]:
    """Names of the classes of columns, where Hugging Face `datasets` has written the file."""
    try:
        features = json.loads((metadata or {})[b"huggingface"])["info"]["features"]
        return {
            column: list(feature["names"])
            for column, feature in features.items()
            if feature.get("_type") == "ClassLabel"
        }
    except (KeyError, ValueError, TypeError, AttributeError):
        return {}  # of another writer, or of another form: the numbers are the labels


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
        column: _name(record[column], of) for column, of in classes.items() if column in record
    }
    return {**record, **names}


def _name(number: Any, names: list[str]) -> Any:
    """A class by its number; what is the number of none stays as it is."""
    if number == -1:
        return None
    known = isinstance(number, int) and 0 <= number < len(names)
    return names[number] if known else number


READERS: dict[str, _Reader] = {
    ".csv": partial(read_delimited, delimiter=","),
    ".tsv": partial(read_delimited, delimiter="\t"),
    ".jsonl": _jsonl,
    ".ndjson": _jsonl,
    ".json": _jsonl,
    ".parquet": _parquet,
}
"""Readers of labelled rows, by suffix."""

TEXT_READERS: dict[str, _Reader] = {**READERS, ".txt": _plain}
"""Readers of texts without labels."""
