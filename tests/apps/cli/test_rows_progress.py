"""How far a file of rows is: nothing of what is quick, a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import io

from rich.console import Console

from pgkd.apps.cli.rows_progress import RowsProgress


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(*, terminal: bool, seconds: float) -> str:
    """What is shown of four chunks, each of which takes so many seconds."""
    out, clock = io.StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=120)
    with RowsProgress(console, clock) as progress:
        progress.on_start(1000, 5000)
        for done in (2000, 3000, 4000, 5000):
            clock.now += seconds
            progress.on_rows(done)
    return out.getvalue()


def test_what_is_quick_shows_nothing_but_that_it_goes_on() -> None:
    assert shown(terminal=False, seconds=0.4) == "going on after 1,000 of 5,000 texts\n"


def test_lines_elsewhere_tell_rows_and_the_rate_of_this_process() -> None:
    lines = shown(terminal=False, seconds=20).splitlines()[1:]
    assert lines == [
        "classifying: 2,000 of 5,000 rows, 50 rows/s",
        "classifying: 4,000 of 5,000 rows, 50 rows/s",
    ]


def test_a_terminal_gets_a_bar() -> None:
    found = shown(terminal=True, seconds=20)
    assert "5,000 of 5,000 rows, 50 rows/s" in found
