"""From cells to texts and class names; a cell that is neither is noted as a problem.

Texts and names lose the space around them and are otherwise used as they were given. A label has
one spelling, whatever its type or its file's format: ``1`` for 1 and 1.0, ``true`` for True.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.data.sameness import text_key

if TYPE_CHECKING:
    from pgkd.data.problems import Problems


def place(row_id: str) -> str:
    """How a message names a row: ``train:17`` is 'train row 17', ``:17`` is 'row 17'."""
    part, _, number = row_id.partition(":")
    return f"{part} row {number}".lstrip()


def text_of(cell: Any, row: str, problems: Problems) -> str | None:
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


def label_of(cell: Any, row: str, problems: Problems) -> str | None:
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
