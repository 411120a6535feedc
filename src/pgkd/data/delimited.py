"""CSV and TSV: which character separates, and rows that were lost or added without a word."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO

from pgkd.data.formulas import armed, is_synthetic
from pgkd.data.lines import LONGEST_ROW, Lines, RowTooLongError
from pgkd.data.table import Records, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pgkd.data.problems import Problems

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
