"""What commands print with: Rich on a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

# Control characters of a text could drive the terminal; tabs and newlines would break a table.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


def console(*, stderr: bool = False) -> Console:
    """A console; markup is off, for texts of a teacher or a user may hold square brackets."""
    made = Console(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # a log wants one line an event, however long
        made.width, made.soft_wrap = 120, True
    return made


def clean(text: str, width: int | None = None) -> Text:
    """An untrusted text, without control characters and cut to a width."""
    plain = _CONTROL.sub(" ", text).strip()
    if width is not None and len(plain) > width:
        plain = plain[: width - 1] + "…"
    return Text(plain)


def print_json(data: Any) -> None:
    """Print plain data for a program to read."""
    readable = "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    print(json.dumps(data, indent=2, ensure_ascii=not readable))


def print_rows(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns after the first are figures and stand to the right."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(clean(cell) for cell in row))
    console().print(table, soft_wrap=False)
