"""What commands print with: Rich on a terminal, plain lines elsewhere.

All that a command says goes through here, and leaves without characters that could drive a
terminal: class names, settings, reasons and errors come from files and servers of anybody.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from pgkd.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import ConsoleOptions, RenderableType

# What JSON may hold as it is, and a terminal must not get: it is escaped, as JSON allows.
_UNSAFE = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Control characters of a text could drive the terminal; tabs and newlines would break a table.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


class CleanConsole(Console):
    """The door: whatever is printed becomes segments, and those are cleaned."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is printed; Rich's own control codes stand in segments that say so."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def console(*, stderr: bool = False) -> Console:
    """A console; markup is off, for texts of a teacher or a user may hold square brackets."""
    made = CleanConsole(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # a log wants one line an event, however long
        made.width, made.soft_wrap = 120, True
    return made


def clean(text: str, width: int | None = None) -> Text:
    """An untrusted text, without control characters and cut to a width."""
    plain = _CONTROL.sub(" ", text).strip()
    if width is not None and len(plain) > width:
        plain = plain[: width - 1] + "…"
    return Text(plain)


def tell_error(message: str) -> None:
    """Say on standard error what went wrong, as it was said, but for its control characters."""
    print(f"pgkd: {printable(message)}", file=sys.stderr)


class _CleanLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def clean_log() -> None:
    """Let what is logged, and no handler is set for, leave as clean as what is printed."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_CleanLines())


def print_json(data: Any) -> None:
    """Print plain data for a program to read."""
    readable = "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    told = json.dumps(data, indent=2, ensure_ascii=not readable)
    print(_UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", told))


def print_rows(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns after the first are figures and stand to the right."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(clean(cell) for cell in row))
    console().print(table, soft_wrap=False)
