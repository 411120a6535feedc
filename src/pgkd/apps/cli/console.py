"""What commands print with: Rich on a terminal, plain lines elsewhere.

Everything a command prints goes through here, and loses the characters that could drive a terminal:
class names, settings, reasons and errors come from anybody's files and servers.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from pgkd.text import printable

# What JSON may hold as it is, but a terminal must not get: it is escaped, as JSON allows.
_UNSAFE = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# Control characters could drive the terminal; tabs and newlines would break a table.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]+")


class CleanConsole(Console):
    """Cleans whatever is printed, segment by segment."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """What is printed; Rich's own control codes are in segments of their own."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment(printable(text), style)


def console(*, stderr: bool = False) -> Console:
    """A console without markup, for untrusted texts may hold square brackets."""
    made = CleanConsole(stderr=stderr, markup=False, highlight=False, emoji=False)
    if not made.is_terminal:  # one line per event in a log, however long
        made.width, made.soft_wrap = 120, True
    return made


def clean(text: str, width: int | None = None) -> Text:
    """An untrusted text in one line, without control characters and cut to a width."""
    plain = _CONTROL.sub(" ", text).strip()
    if width is not None and len(plain) > width:
        plain = plain[: width - 1] + "…"
    return Text(plain)


def print_error(message: str) -> None:
    """Print an error to standard error, without its control characters."""
    print(f"pgkd: {printable(message)}", file=sys.stderr)


def print_json(data: Any) -> None:
    """Print plain data for a program to read."""
    readable = "utf" in (getattr(sys.stdout, "encoding", None) or "utf-8").lower()
    text = json.dumps(data, indent=2, ensure_ascii=not readable)
    print(_UNSAFE.sub(lambda found: f"\\u{ord(found.group()):04x}", text))


def print_rows(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; columns after the first are right-aligned figures."""
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", title_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(clean, row))
    console().print(table, soft_wrap=False)


@contextmanager
def progress_bar(description: str, total: int) -> Iterator[Callable[[object], None]]:
    """A bar on a terminal, and nothing elsewhere; call what it yields after each step."""
    from rich.progress import Progress

    shell = console(stderr=True)
    with Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress:
        task = progress.add_task(description, total=total)
        yield lambda _: progress.advance(task)


def format_interval(value: float, interval: Sequence[float], sign: str = "") -> str:
    """A figure and its interval; the sign ``+`` is for differences."""
    value_, low, high = (f"{x:{sign}.3f}" for x in (value, *interval))
    return f"{value_} [{low}, {high}]"


def format_change(change: float, standard_error: float) -> str:
    """The change of a loss."""
    return f"{change:+.3f} ± {standard_error:.3f}"


def clean_log() -> None:
    """Clean log messages that no other handler takes."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_CleanFormatter())


class _CleanFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
