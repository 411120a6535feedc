"""Text files line by line: in memory is one line at a time, and none may be endless."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any, BinaryIO, Self, cast

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.data.problems import Problems

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


def encoding_of(head: bytes) -> str:
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
        self._encoding = encoding_of(head)
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
