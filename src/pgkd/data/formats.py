"""Tables in CSV, TSV, JSON lines, Parquet or a data set's folder, plain or gzipped."""

from __future__ import annotations

import csv
import io
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

from pgkd.data.cells import Problems, armed, is_synthetic
from pgkd.errors import DataError
from pgkd.extras import require
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pgkd.data.cells import Problems

_LOOK = 20  # rows that tell the columns of a format without a header
_NAMED = 10  # columns that a message names


Records = Iterator[tuple[int, dict[str, Any]]]
"""Row number, from 1 without the header, and cells of every row that can be read."""


@dataclass(frozen=True)
class Table:
    """What a file holds, read row by row and once.

    Attributes:
        columns: their names, as often as they occur.
        records: the rows.
    """

    columns: tuple[str, ...]
    records: Records

    @classmethod
    def of(cls, records: Records) -> Table:
        """A table without a header, whose columns are those of its first rows."""
        first = tuple(islice(records, _LOOK))
        return cls(
            tuple({name: None for _, record in first for name in record}), chain(first, records)
        )

    def cells(self, *columns: str) -> Iterator[tuple[Any, ...]]:
        """Row number and the cells of some columns, row by row; None where a row lacks one."""
        for number, record in self.records:
            yield (number, *(record.get(column) for column in columns))

    def has(self, columns: Iterable[str], path: Path, problems: Problems) -> bool:
        """Whether each column is there, once; if not, that is noted as a problem.

        A table without any column has no rows: why, its reader has noted.
        """
        if not self.columns:
            return False
        found = ", ".join(f"'{shown(name)}'" for name in self.columns[:_NAMED])
        if (more := len(self.columns) - _NAMED) > 0:
            found += f" and {more} more"
        wrong = [column for column in columns if self.columns.count(column) != 1]
        for column in wrong:
            if column in self.columns:
                problems.add("ambiguous columns", f"{path} has several columns '{column}'")
            else:
                problems.add("missing columns", f"{path} has no column '{column}'; it has {found}")
        return not wrong


LONGEST_ROW = 2**22  # characters: more is a novel, or a quote that nothing closes
HEAD = 4096  # bytes that are looked at before a file is read

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of such bytes
_MARKS = {
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


class RowTooLongError(Exception):
    """A row has more than `LONGEST_ROW` characters; of the file nothing further is read."""

    def __init__(self) -> None:
        super().__init__(f"longer than {LONGEST_ROW:,} characters")


def with_head(file: BinaryIO) -> tuple[BinaryIO, bytes]:
    """A file, and the bytes that it begins with; they are still to be read."""
    buffered: Any = file if hasattr(file, "peek") else io.BufferedReader(cast("Any", file), HEAD)
    return buffered, buffered.peek(HEAD)[:HEAD]


def find_encoding(head: bytes) -> str:
    """The encoding of a text file by its byte-order mark, or by the zeros of UTF-16."""
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    # The first two characters of a header or of JSON are of ASCII.
    if len(head) >= 4:
        zeros = [byte == 0 for byte in head[:4]]
        if zeros == [False, True, False, True]:
            return "utf-16-le"
        if zeros == [True, False, True, False]:
            return "utf-16-be"
    return "utf-8-sig"


class Lines:
    """The lines of a text file with their ends, with or without byte-order marks.

    UTF-8, UTF-16 and UTF-32 are read. A line in another encoding is noted, and comes out with
    replacement characters. As a context it closes the file.

    Args:
        file: its bytes.
        path: its name in messages.
        problems: takes lines in another encoding.
        newline: what ends a line, as for `open`; empty for any of the three ends.

    Attributes:
        number: lines read so far.
        row: the lines since `start_row`.
    """

    def __init__(self, file: BinaryIO, path: Path, problems: Problems, *, newline: str) -> None:
        file, head = with_head(file)
        self._encoding = find_encoding(head)
        errors = "surrogateescape" if self._encoding == "utf-8-sig" else "replace"
        self._text = io.TextIOWrapper(file, self._encoding, errors, newline=newline)
        self._path = path
        self._problems = problems
        self._left = LONGEST_ROW
        self.number = 0
        self.row: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._text.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        """The next line.

        Raises:
            RowTooLongError: with it, the lines since `start_row` are too long.
        """
        line = self._text.readline(self._left + 1)
        if not line:
            raise StopIteration
        self._left -= len(line)
        if self._left < 0:
            raise RowTooLongError
        self.number += 1
        if self.number == 1:
            line = line.lstrip("\ufeff")  # a file that was saved twice has two marks
        line = self._readable(line)
        self.row.append(line)
        return line

    def rest(self, most: int) -> str:
        """All of the file, or its first characters."""
        self.number += 1
        return self._readable(self._text.read(most).lstrip("\ufeff"))

    def start_row(self) -> None:
        """Say that a row has ended: the next line may be as long as a row may be."""
        self._left = LONGEST_ROW
        self.row = []

    def _readable(self, line: str) -> str:
        if self._encoding != "utf-8-sig":
            if "\ufffd" in line:
                self._note(f"it holds what is not {self._encoding.upper()}")
            return line
        if not _NOT_UTF8.search(line):
            return line
        data = line.encode("utf-8", "surrogateescape")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            self._note(f"byte {error.start + 1} is not UTF-8")
        return data.decode("utf-8", "replace")

    def _note(self, what: str) -> None:
        self._problems.add(
            "lines in another encoding",
            f"{self._path}, line {self.number}: {what}; save the file as UTF-8 (one of an older "
            "Windows program: iconv -f WINDOWS-1252 -t UTF-8)",
            most=1,
        )


_SEPARATORS = (",", ";", "\t", "|")
_DIRECTIVE = re.compile(r'"?sep=(.)"?\s*')  # how Excel is told
_DOUBTFUL = 1_000  # rows that are judged at the end, when the other columns are known
_MOST_VALUES = 10_000  # of the other columns that are remembered


def read_delimited(
    file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...], *, delimiter: str
) -> Table:
    """The rows of a file, whatever separates them; `delimiter` is what its suffix promises."""
    # A text may be longer than the module's default of 131,072 characters.
    csv.field_size_limit(max(csv.field_size_limit(), LONGEST_ROW))
    reading = _Reading(Lines(file, path, problems, newline=""), path, problems, wanted)
    rows = reading.rows(delimiter)
    header = next(rows, [])
    return Table(tuple(header), reading.records(rows, header))


class _Reading:
    """One pass over a file."""

    def __init__(
        self, lines: Lines, path: Path, problems: Problems, wanted: tuple[str, ...]
    ) -> None:
        self._lines, self._path, self._problems, self._wanted = lines, path, problems, wanted
        self._delimiter = ","
        self._where = ""
        self._seen: defaultdict[int, set[str]] = defaultdict(set)

    def rows(self, delimiter: str) -> Iterator[list[str]]:
        """Header and rows without blank lines, up to the first one that breaks the quoting rules.

        Of the row that was yielded last, `self._lines.row` has the lines until the next is asked
        for.
        """
        number = 0
        try:
            with self._lines as lines:
                self._delimiter, begun = self._separated(delimiter)
                reader = csv.reader(chain(begun, lines), delimiter=self._delimiter, strict=True)
                for fields in reader:
                    if fields:
                        yield fields
                        number += 1
                    lines.start_row()
        except (csv.Error, RowTooLongError) as error:
            where = f"row {number}" if number else "the header"
            why = f"{error}; is a quote left open?" if isinstance(error, RowTooLongError) else error
            self._problems.add(
                "broken rows", f"{self._path}, {where}: {why}; nothing from there on was read"
            )

    def records(self, rows: Iterator[list[str]], header: list[str]) -> Records:
        """Rows as long as the header; the others are noted, as are rows that look misread."""
        written = is_synthetic(header)
        doubtful: list[tuple[str, set[tuple[int, str]]]] = []
        for number, fields in enumerate(rows, start=1):
            physical = self._lines.row
            where = f"{self._path}, row {number} ({self._at(len(physical))})"
            if len(fields) != len(header):
                self._problems.add(
                    "rows of another length",
                    f"{self._path}, row {number} has {len(fields)} "
                    f"{'field' if len(fields) == 1 else 'fields'}, the header {len(header)} "
                    f"({self._at(len(physical))}): quote texts that hold the separator",
                )
                continue
            if len(header) > 1 and [field.strip("\ufeff") for field in fields] == header:
                self._problems.add(
                    "rows that repeat the header",
                    f"{where} repeats the header: were files joined? Take the line out",
                )
                continue
            if len(header) > 1:
                if len(physical) == 1:
                    self._remember(header, fields)
                elif (cells := self._inner_cells(header, physical)) and len(doubtful) < _DOUBTFUL:
                    doubtful.append((where, cells))
            values = map(armed, fields) if written else fields
            yield number, dict(zip(header, values, strict=True))
        self._note_swallowed(doubtful)

    def _separated(self, delimiter: str) -> tuple[str, Iterable[str]]:
        """What separates fields, as the first line tells it, and that line if it is a header."""
        first = next(self._lines, "")
        if directive := _DIRECTIVE.fullmatch(first):
            self._lines.start_row()
            return directive[1], ()
        found = {mark: _fields(first, mark) for mark in (delimiter, *_SEPARATORS)}
        for mark, fields in found.items():
            if all(column in fields for column in self._wanted):
                return mark, (first,)
        if len(found[delimiter]) == 1:
            delimiter = max(found, key=lambda mark: len(found[mark]))
        return delimiter, (first,)

    def _at(self, length: int) -> str:
        last = self._lines.number
        return f"line {last}" if length <= 1 else f"lines {last - length + 1} to {last}"

    def _remember(self, header: list[str], fields: list[str]) -> None:
        for column, (name, value) in enumerate(zip(header, fields, strict=True)):
            if name not in self._wanted[:1] and len(self._seen[column]) < _MOST_VALUES:
                self._seen[column].add(value)

    def _inner_cells(self, header: list[str], physical: list[str]) -> set[tuple[int, str]]:
        """Column and value of what would be cells beside the text, were each line a row."""
        if not self._wanted or self._wanted[0] not in header:
            return set()
        text = header.index(self._wanted[0])
        found: set[tuple[int, str]] = set()
        for number, line in enumerate(physical):
            cells = list(enumerate(line.rstrip("\r\n").split(self._delimiter)))
            if len(cells) == len(header):
                # Before the text of the first line, and behind that of the last, they are cells.
                start = text + 1 if number == 0 else 0
                end = text if number == len(physical) - 1 else len(cells)
                found |= {(column, value.strip()) for column, value in cells[start:end]}
        return found

    def _note_swallowed(self, doubtful: list[tuple[str, set[tuple[int, str]]]]) -> None:
        """Note rows of several lines of which one would be a row of its own.

        Texts of several lines are fine. But where such a line has as many fields as the header,
        and in a column but the text's a value that other rows have there, a stray quote opened a
        text that only the quote of a later row has closed.
        """
        for where, cells in doubtful:
            if any(value in self._seen[column] for column, value in cells if value):
                self._problems.add(
                    "rows that swallow others",
                    f"{where} takes lines into its text that look like rows: a quote opens there "
                    "and closes lines later. Write each quote inside of a text twice, and the "
                    "text in quotes",
                )


def _fields(line: str, mark: str) -> list[str]:
    return next(csv.reader([line], delimiter=mark), [])


_Reader = Callable[[BinaryIO, "Path", "Problems", tuple[str, ...]], Table]
"""Takes an open file, its name, who is told what cannot be read, and the columns in demand."""

_BATCH = 256  # rows of Parquet that are unpacked at once
_BUFFER = 2**20  # bytes of Parquet that are read at once, of each column
_LONGEST_ARRAY = 2**28  # characters: a JSON array is read as a whole
_FEW = 3  # of the lines that are no JSON: more are rarely single slips


def _jsonl(file: BinaryIO, path: Path, problems: Problems, wanted: tuple[str, ...]) -> Table:
    """An object a line; or one array of objects, as most tools write JSON."""
    file, head = with_head(file)
    start = head.decode(find_encoding(head), "replace").lstrip("\ufeff \t\r\n")
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
