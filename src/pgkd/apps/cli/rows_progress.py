"""How far a file of rows is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from pgkd.apps.bulk.classify import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

_PATIENCE = 2.0  # seconds before anything is shown
_PAUSE = 30.0  # seconds between two lines, where there is no terminal


class RowsProgress(Watcher):
    """Shows rows and rows per second, of work that takes longer than two seconds.

    Args:
        console: where to.
        clock: seconds, from anywhere.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"),
            TimeRemainingColumn(), console=console, transient=True,
        )  # fmt: skip
        self._task = self._bar.add_task("", told="")
        self._begin("reading", 0, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._console.is_terminal:  # elsewhere it would leave an empty line
            self._bar.stop()

    def on_read(self, rows: int) -> None:
        """See `Watcher.on_read`."""
        self._show(rows)

    def on_start(self, done: int, total: int | None) -> None:
        """See `Watcher.on_start`."""
        if done:
            self._console.print(f"going on after {done:,} of {total:,} texts")
        self._begin("classifying", done, total)

    def on_rows(self, done: int) -> None:
        """See `Watcher.on_rows`."""
        self._show(done)

    def _begin(self, what: str, done: int, total: int | None) -> None:
        self._what, self._total = what, total
        self._began, self._before = self._clock(), done
        self._due = self._began + _PATIENCE
        self._bar.reset(self._task, description=what, total=total, completed=done)

    def _show(self, done: int) -> None:
        now = self._clock()
        if now < self._due:
            return
        told = f"{done:,}" if self._total is None else f"{done:,} of {self._total:,}"
        told += f" rows, {(done - self._before) / (now - self._began):,.0f} rows/s"
        if self._console.is_terminal:
            self._bar.start()
            self._bar.update(self._task, completed=done, told=told)
        else:
            self._console.print(f"{self._what}: {told}")
            self._due = now + _PAUSE
