"""Untrusted texts and figures, as words that a page or a chart may hold."""

from __future__ import annotations

import re
from decimal import Decimal

# Control characters and lone surrogates, which neither HTML nor XML holds; tabs and lines may stay.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Marks that turn the direction of what follows them: within a chart nothing could isolate them.
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")
UNKNOWN = "unknown"


def printable(text: str) -> str:
    """A text in which what cannot be shown is a replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str, longest: int) -> str:
    """A text for a chart: one line, without marks of direction, cut to a length."""
    line = " ".join(_DIRECTION.sub("", printable(text)).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"


def dollars(usd: str | float | None) -> str:
    """An amount of money, with digits enough for a small one; one that nobody knows is unknown."""
    if usd is None:
        return UNKNOWN
    amount = Decimal(str(usd))
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:,.4f}"


def duration(seconds: float | None) -> str:
    """A time for people to read."""
    if seconds is None:
        return UNKNOWN
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    hours = seconds / 3600
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days"


def moment(iso: str) -> str:
    """A time of the journal, to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC" if len(iso) >= 16 else iso
