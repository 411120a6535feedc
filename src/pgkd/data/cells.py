"""From cells to texts and labels, and the problems of those that are neither.

Texts and names lose the space around them and are otherwise used as they were given. A label has
one spelling, whatever its type or its file's format: ``1`` for 1 and 1.0, ``true`` for True.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from pgkd.errors import DataError, PgkdError, StudentError
from pgkd.text import shown, text_key

_TOLD = 20  # rows of one kind of problem that are told one by one; the rest are counted


class Problems:
    """Collects sentences by kind; the kinds come out in the order of their first problem.

    However many there are, it stays small: of each kind it keeps as many as are told.
    """

    def __init__(self) -> None:
        self._told: defaultdict[str, list[str]] = defaultdict(list)
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._counts.total()

    def add(self, kind: str, sentence: str, *, most: int = _TOLD) -> None:
        """Note one problem; `kind` names what it is, in the plural.

        Of a kind with one cause for all of a file, give as `most` how many need to be told.
        """
        self._counts[kind] += 1
        if self._counts[kind] <= most:
            self._told[kind].append(sentence)

    def add_error(self, kind: str, error: DataError) -> None:
        """Note what an error says, so that the search for other problems can go on."""
        message = str(error).split("\n  - ", 1)[0]
        for problem in error.problems:
            self.add(kind, f"{message} {problem}")
        if not error.problems:
            self.add(kind, message)

    def has(self, *kinds: str) -> bool:
        """Whether a problem of one of these kinds was noted."""
        return any(kind in self._counts for kind in kinds)

    def is_full(self, kind: str) -> bool:
        """Whether further problems of a kind will be counted and not told."""
        return self._counts[kind] >= _TOLD

    def sentences(self) -> tuple[str, ...]:
        """All problems, each kind cut to its first ones and a count of the others."""
        told = []
        for kind, sentences in self._told.items():
            told += sentences
            if more := self._counts[kind] - len(sentences):
                told.append(f"and {more} more {kind}")
        return tuple(told)

    def raise_if_any(self, message: str) -> None:
        """Tell everything.

        Raises:
            DataError: there is at least one problem.
        """
        if self:
            raise DataError(message, self.sentences())


def place(row_id: str) -> str:
    """How a message names a row: ``train:17`` is 'train row 17', ``:17`` is 'row 17'."""
    part, _, number = row_id.partition(":")
    return f"{part} row {number}".lstrip()


def parse_text(cell: Any, row: str, problems: Problems) -> str | None:
    """The text of a cell, or None."""
    if is_missing(cell):
        problems.add("rows without a text", f"{row} has no text")
    elif not isinstance(cell, str):
        problems.add(
            "rows with something else than a text",
            f"{row} has no text but a value of type {_type(cell)}",
        )
    elif is_broken(cell):
        problems.add(
            "rows with broken characters",
            f"{row} has half a character (a lone surrogate) in its text",
        )
    else:
        return cell.strip()
    return None


def parse_label(cell: Any, row: str, problems: Problems) -> str | None:
    """The class name of a cell, or None. Numbers and booleans are names too."""
    cell = _plain(cell)
    if is_missing(cell):
        problems.add("rows without a label", f"{row} has no label")
    elif not isinstance(cell, str) and (isinstance(cell, bytes) or hasattr(cell, "__iter__")):
        problems.add(
            "rows with something else than a label",
            f"{row} has no single label but a value of type {_type(cell)}",
        )
    elif is_broken(name_of(cell)):
        problems.add(
            "rows with broken characters",
            f"{row} has half a character (a lone surrogate) in its label",
        )
    else:
        return name_of(cell)
    return None


def name_of(label: Any) -> str:
    """The spelling of a label, the same in every format and type."""
    label = _plain(label)
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label).strip()


def is_missing(cell: Any) -> bool:
    """Whether there is nothing in a cell: null, not-a-number, or nothing that can be seen."""
    if cell is None:
        return True
    if isinstance(cell, str):
        return not text_key(cell)
    try:
        return bool(cell != cell)  # not-a-number of any width, and not-a-time
    except (TypeError, ValueError):  # pandas' NA is neither true nor false; nor is an array
        return type(cell).__name__ == "NAType"


def is_broken(text: str) -> bool:
    """Whether a text has a lone surrogate, as JSON escapes can: no file can store it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _plain(cell: Any) -> Any:
    """A scalar of NumPy or torch as Python's own."""
    return cell.item() if getattr(cell, "shape", None) == () else cell


def _type(cell: Any) -> str:
    return type(cell).__name__


_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_WRITTEN = tuple(("text", "label", third) for third in ("probability", "confidence", "origin"))


def disarmed(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula (OWASP: CSV injection), by an apostrophe.

    A plain number is no formula. A cell that has the apostrophe already gets another one, so that
    `armed` gives back every cell as it was.
    """
    return f"'{cell}" if _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def armed(cell: str) -> str:
    """The cell that `disarmed` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def is_synthetic(header: list[str]) -> bool:
    """Whether a header is that of a file of answers, whose cells pgkd has disarmed.

    Elsewhere an apostrophe is the user's own.
    """
    return tuple(header[:3]) in _WRITTEN


def parse_number(cell: Any) -> float:
    """The number of a cell.

    Raises:
        ValueError: it is none.
    """
    try:
        found = math.nan if isinstance(cell, bool) else float(cell)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise ValueError(f"'{shown(cell)}' is not a number")
    return found


def one_column(values: Any, what: str, *, error: type[PgkdError] = DataError) -> list[Any]:
    """The items of a list, an array, a column or a tensor, as plain values of Python.

    Args:
        values: what a caller gave. A column vector, of shape (n, 1), is read as n items.
        what: their name in messages, in the plural.
        error: raised where it is something else.

    Raises:
        PgkdError: of the type `error`.
    """
    if isinstance(values, str | bytes):
        raise error(f"Give a list of {what}. For one, give a list that holds it.")
    if hasattr(values, "columns") or isinstance(values, Mapping):
        raise error(f"This is a table, not a list of {what}: give one column of it.")
    if isinstance(values, Set) or not isinstance(values, Iterable):
        raise error(f"Give a list of {what}, not a value of type {type(values).__name__}.")
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        if len(shape) != 2 or shape[1] != 1 or not hasattr(values, "reshape"):
            hint = "" if what == "texts" else "; of one-hot rows, argmax(axis=1) gives them"
            raise error(
                f"The {what} have the shape {tuple(shape)}: give one dimension, an item a row"
                f"{hint}."
            )
        values = values.reshape(-1)
    return list(values.tolist() if hasattr(values, "tolist") else values)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse anything but a list of texts.

    Raises:
        StudentError: it is a single text or a table, or an item is not a text.
    """
    one_column(texts, "texts", error=StudentError)
    if not hasattr(texts, "__len__"):
        raise StudentError("Give a list of texts, not an iterator: it can be read only once.")
    for row, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise StudentError(f"Text {row} is {shown(text)}, not a string. Fill or drop the row.")
        if is_broken(text):
            raise StudentError(
                f"Text {row} has half a character (a lone surrogate). Replace it or drop the row."
            )


def check_pairs(inputs: Sequence[Any]) -> list[tuple[str, str]]:
    """Pairs of texts, as tuples.

    Raises:
        StudentError: they are no list of such.
    """
    if isinstance(inputs, str) or not hasattr(inputs, "__len__"):
        raise StudentError("Give a list of pairs of texts: [(text, text_pair), ...].")
    for row, pair in enumerate(inputs, start=1):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise StudentError(f"Input {row} is no pair of texts: give (text, text_pair).")
    check_texts([text for pair in inputs for text in pair])
    return [(pair[0], pair[1]) for pair in inputs]
