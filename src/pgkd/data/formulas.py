"""Cells that a spreadsheet would run as a formula: how pgkd writes them, and reads them back."""

from __future__ import annotations

import re

_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")
_WRITTEN = (("text", "label", "probability"), ("text", "label", "confidence"))


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
