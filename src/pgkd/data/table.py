"""Rows as they stand in a file, before anything is known about their meaning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from pgkd.quoting import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pgkd.data.problems import Problems

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
