"""Text files line by line: in memory is one line at a time, and none may be endless."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO, Self

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.task.problems import Problems

LONGEST_ROW = 2**22  # characters: more is a novel, or a quote that nothing closes

_NOT_UTF8 = re.compile("[\udc80-\udcff]")  # what `surrogateescape` makes of such bytes


class RowTooLongError(Exception):
    """A row has more than `LONGEST_ROW` characters; of the file nothing further is read."""

    def __init__(self) -> None:
        super().__init__(f"longer than {LONGEST_ROW:,} characters")


class Lines:
    """The lines of a UTF-8 file with their ends, with or without a byte-order mark.

    A line in another encoding is noted, and comes out with replacement characters. As a context it
    closes the file.

    Args:
        file: its bytes.
        path: its name in messages.
        problems: takes lines in another encoding.
        newline: what ends a line, as for `open`; empty for any of the three ends.
    """

    def __init__(self, file: BinaryIO, path: Path, problems: Problems, *, newline: str) -> None:
        self._text = io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline=newline)
        self._path = path
        self._problems = problems
        self._number = 0
        self._left = LONGEST_ROW

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
        self._number += 1
        return self._readable(line) if _NOT_UTF8.search(line) else line

    def start_row(self) -> None:
        """Say that a row has ended: the next line may be as long as a row may be."""
        self._left = LONGEST_ROW

    def _readable(self, line: str) -> str:
        data = line.encode("utf-8", "surrogateescape")
        try:
            data.decode("utf-8")
        except UnicodeDecodeError as error:
            self._problems.add(
                "lines in another encoding",
                f"{self._path}, line {self._number}: byte {error.start + 1} is not UTF-8; "
                "save the file as UTF-8",
            )
        return data.decode("utf-8", "replace")
