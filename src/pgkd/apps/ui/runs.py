"""The runs of a folder, found and told in a line each."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pgkd.apps.report.gather import (
    Records,
    describe_run,
    list_rounds,
    read_records,
    sum_costs,
)
from pgkd.errors import PgkdError, RunError
from pgkd.runs.control import read_signal
from pgkd.runs.files import fitting_together
from pgkd.runs.folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.apps.report.content import About, Money, RoundLine

_log = logging.getLogger(__name__)

State = Literal["running", "pausing", "paused", "stopping", "ended", "cut off"]
_FILES = (
    "config.yaml", "task.json", "journal.jsonl", "examples.jsonl", "rejected.jsonl",
    "label_issues.jsonl", "evaluation.json", "ledger.sqlite", "ledger.sqlite-wal",
)  # fmt: skip
"""What the figures of a run are read from: while these stay, so do the figures."""


@dataclass(frozen=True)
class Seen:
    """A run as its files tell it at one moment.

    Attributes:
        run: its folder.
        records: the files, read.
        about: which run it is.
        rounds: the rounds that ended.
        money: what its calls cost.
    """

    run: RunFolder
    records: Records
    about: About
    rounds: tuple[RoundLine, ...]
    money: Money

    @property
    def best(self) -> RoundLine | None:
        """The round whose student was kept."""
        kept = [line for line in self.rounds if line.number == self.records.best]
        return kept[0] if kept else None


class Runs:
    """The runs that the web UI shows.

    Args:
        path: a run folder, or a folder of them.

    Raises:
        RunError: there is no such folder.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file. Give a run folder, or a folder of runs.")
        self._only = path.resolve() if _is_run(path) else None
        self.root = self._only.parent if self._only else path.resolve()
        self._seen: dict[str, tuple[object, Seen]] = {}

    @property
    def single(self) -> str | None:
        """The name of the one run that is shown, where it is one."""
        return self._only.name if self._only else None

    def names(self) -> list[str]:
        """Names of all runs, the one that began last first."""
        if self._only:
            return [self._only.name]
        if not self.root.is_dir():
            return []
        folders = [path for path in self.root.iterdir() if _is_run(path)]
        return [path.name for path in sorted(folders, key=_begun_at, reverse=True)]

    def open(self, name: str) -> RunFolder:
        """A run by its name.

        Raises:
            RunError: there is none of that name here.
        """
        if name not in self.names():  # names are looked up, never made into paths
            raise RunError(f"There is no run '{name}' here.")
        return RunFolder.open(self.root / name)

    def see(self, name: str) -> Seen:
        """What the files of a run say now; read again where one of them has changed.

        Raises:
            RunError: there is no such run, or a file of it is damaged.
        """
        run = self.open(name)
        stamp = _stamp(run)
        known = self._seen.get(name)
        if known is not None and known[0] == stamp:
            return known[1]
        records = read_records(run)
        with fitting_together(run):
            about, rounds, money = (
                describe_run(run, records),
                list_rounds(records),
                sum_costs(records),
            )
        seen = Seen(run, records, about, rounds, money)
        self._seen[name] = (stamp, seen)
        return seen

    def lines(self) -> list[tuple[str, Seen | None, str]]:
        """Every run: its name, what it says, and why it cannot be read where it cannot."""
        found: list[tuple[str, Seen | None, str]] = []
        for name in self.names():
            try:
                found.append((name, self.see(name), ""))
            except PgkdError as error:
                found.append((name, None, str(error)))
            except Exception as error:  # noqa: BLE001  (one run must not hide the others)
                _log.exception("%s cannot be shown", name)
                found.append((name, None, f"{name} cannot be shown: {error!r:.200}."))
        return found


def _is_run(path: Path) -> bool:
    """Whether there is a run, though perhaps a damaged one."""
    return os.path.lexists(path / "config.yaml")


def _begun_at(path: Path) -> int:
    try:
        return (path / "config.yaml").lstat().st_mtime_ns
    except OSError:  # it was removed meanwhile
        return 0


def _stamp(run: RunFolder) -> object:
    """What changes when a file of a run does."""
    found = []
    for name in _FILES:
        try:
            about = (run.path / name).stat()
        except OSError:
            found.append((name, 0, 0))
        else:
            found.append((name, about.st_mtime_ns, about.st_size))
    return tuple(found)


def state_of(seen: Seen) -> State:
    """What a run does now, or how it is left."""
    if seen.run.is_repeating():
        return "running"
    if seen.records.event("run ended"):  # who holds the run now trains it again
        return "ended"
    if not seen.run.is_running():
        return "cut off"
    wanted, _ = read_signal(seen.run)
    if wanted == "stop":
        return "stopping"
    if wanted == "pause":
        return "paused" if _is_paused(seen.records) else "pausing"
    return "running"


def _is_paused(records: Records) -> bool:
    events = [line["event"] for line in records.journal]
    told = [event for event in events if event in ("run paused", "run continued")]
    return told[-1:] == ["run paused"]
