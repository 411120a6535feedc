"""The runs of a folder, and what each of them is doing now."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgkd.apps.report.content import About, Money, RoundLine, Snippet
from pgkd.apps.report.gather import Records, describe_run, list_rounds, read_records, sum_costs
from pgkd.errors import PgkdError, RunError
from pgkd.runs.control import read_signal
from pgkd.runs.files import fitting_together
from pgkd.runs.folder import RunFolder

State = Literal["running", "pausing", "paused", "stopping", "ended", "cut off"]

_FILES = (
    "config.yaml", "task.json", "journal.jsonl", "examples.jsonl", "rejected.jsonl",
    "label_issues.jsonl", "evaluation.json", "ledger.sqlite", "ledger.sqlite-wal",
)  # fmt: skip
"""The files behind a snapshot: while these stay the same, so does it."""
_N_TEXTS = 12
_TEXT_CHARS = 400
_STOPPED = {
    "rounds": "all rounds are done",
    "patience": "the loss stopped improving",
    "nothing usable": "the teacher wrote nothing usable",
    "budget": "the budget is spent",
    "interrupted": "it was stopped",
    "teacher failed": "the teacher failed",
}
_EARLY = ("interrupted", "teacher failed", "budget")
_DOING = {
    "running": "",
    "pausing": "Pauses after the current call or training. ",
    "paused": "Waiting. ",
    "stopping": "Stops after the current call or training. ",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The files of a run at one moment."""

    run: RunFolder
    records: Records
    about: About
    rounds: tuple[RoundLine, ...]
    money: Money

    @property
    def best(self) -> RoundLine | None:
        """The round whose student is the best."""
        return next((line for line in self.rounds if line.number == self.records.best), None)

    @property
    def main_figures(self) -> list[str]:
        """Names of the most important figures."""
        return list(self.rounds[0].figures)[:2] if self.rounds else []

    @property
    def state(self) -> State:
        """What the run does now, or how it ended."""
        if self.run.is_repeating():
            return "running"
        if self.records.event("run ended"):  # a process that locks the run now retrains it
            return "ended"
        if not self.run.is_running():
            return "cut off"
        wanted, _ = read_signal(self.run)
        if wanted == "pause":
            events = [line["event"] for line in self.records.journal]
            pauses = [event for event in events if event in ("run paused", "run continued")]
            return "paused" if pauses[-1:] == ["run paused"] else "pausing"
        return "stopping" if wanted == "stop" else "running"


class Runs:
    """The runs that the web UI shows.

    Args:
        path: a run folder, or a folder of runs.

    Raises:
        RunError: the path is a file.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and not path.is_dir():
            raise RunError(f"{path} is a file. Give a run folder, or a folder of runs.")
        single = path.resolve() if _is_run(path) else None
        self.root = single.parent if single else path.resolve()
        self.single = single.name if single else None
        """The name of the only run that is shown; None if `path` is a folder of runs."""
        self._snapshots: dict[str, tuple[object, Snapshot]] = {}

    def names(self) -> list[str]:
        """Names of all runs, the latest first."""
        if self.single is not None:
            return [self.single]
        if not self.root.is_dir():
            return []
        folders = [path for path in self.root.iterdir() if _is_run(path)]
        return [path.name for path in sorted(folders, key=_start_time, reverse=True)]

    def open(self, name: str) -> RunFolder:
        """A run by its name.

        Raises:
            RunError: there is no such run.
        """
        if name not in self.names():  # names are looked up, never made into paths
            raise RunError(f'There is no run "{name}" here.')
        return RunFolder.open(self.root / name)

    def snapshot(self, name: str) -> Snapshot:
        """A run as it is now; its files are read again only if one has changed.

        Raises:
            RunError: there is no such run, or a file of it is damaged.
        """
        run = self.open(name)
        version = [_version(run.path / file) for file in _FILES]
        known = self._snapshots.get(name)
        if known is not None and known[0] == version:
            return known[1]
        records = read_records(run)
        with fitting_together(run):
            snapshot = Snapshot(
                run, records, describe_run(run, records), list_rounds(records), sum_costs(records)
            )
        self._snapshots[name] = (version, snapshot)
        return snapshot

    def snapshots(self) -> list[tuple[str, Snapshot | None, str]]:
        """Every run: its name, its snapshot, and the error if it cannot be read."""
        found: list[tuple[str, Snapshot | None, str]] = []
        for name in self.names():
            try:
                found.append((name, self.snapshot(name), ""))
            except PgkdError as error:
                found.append((name, None, str(error)))
            except Exception as error:  # noqa: BLE001  (one run must not hide the others)
                _log.exception("%s cannot be shown", name)
                found.append((name, None, f"{name} cannot be shown: {error!r:.200}."))
        return found


def _is_run(path: Path) -> bool:
    """Whether there is a run, even a damaged one."""
    return os.path.lexists(path / "config.yaml")


def _start_time(path: Path) -> int:
    try:
        return (path / "config.yaml").lstat().st_mtime_ns
    except OSError:  # it was removed meanwhile
        return 0


def _version(path: Path) -> tuple[int, int]:
    try:
        about = path.stat()
    except OSError:
        return 0, 0
    return about.st_mtime_ns, about.st_size


@dataclass(frozen=True, slots=True)
class LiveStatus:
    """What a run is doing at this moment.

    Attributes:
        state: what it does, or how it ended.
        doing: the same in a sentence, with details.
        signal_by: who sent the signal to pause or to stop; empty if nobody did.
        rounds_done: rounds that ended, without round 0.
        rounds_planned: the maximum.
        answered: requests of this round that were answered.
        asked: requests of this round; 0 between rounds.
        tokens: of all calls.
        budgets: the limits, in words.
        estimate: expected US dollars of the whole run, if it was estimated.
        texts: round, output and text of the last accepted texts, the latest first.
        resumable: whether it was cut off or ended early.
    """

    state: State
    doing: str
    signal_by: str
    rounds_done: int
    rounds_planned: int
    answered: int
    asked: int
    tokens: int
    budgets: tuple[str, ...]
    estimate: str | None
    texts: tuple[tuple[int, str, Snippet], ...]
    resumable: bool

    @property
    def is_active(self) -> bool:
        """Whether a process runs it."""
        return self.state not in ("ended", "cut off")


def live_status(snapshot: Snapshot) -> LiveStatus:
    """What a run is doing at this moment, from its journal and its ledger."""
    records, state, total = snapshot.records, snapshot.state, snapshot.money.total
    asked, answered = _count_requests(records)
    early = snapshot.about.stopped_by in _EARLY
    return LiveStatus(
        state=state,
        doing=_describe(snapshot, state, asked, answered),
        signal_by=read_signal(snapshot.run)[1],
        rounds_done=max(0, len(snapshot.rounds) - 1),
        rounds_planned=snapshot.about.planned,
        answered=answered,
        asked=asked,
        tokens=int(total.get("input_tokens", 0)) + int(total.get("output_tokens", 0)),
        budgets=_describe_budgets(records.config.get("budget") or {}),
        estimate=records.event("estimated").get("usd"),
        texts=tuple(
            (row.origin.round if row.origin else 0, row.output, Snippet.of(row.text, _TEXT_CHARS))
            for row in map(snapshot.run.task.example, reversed(records.accepted[-_N_TEXTS:]))
        ),
        resumable=state == "cut off" or (state == "ended" and early),
    )  # fmt: skip


def _count_requests(records: Records) -> tuple[int, int]:
    """Requests of the current round, and how many were answered."""
    asked = answered = 0
    for line in records.journal:
        if line["event"] == "round started":
            asked, answered = len(line["prompts"]), 0
        elif line["event"] == "curated":
            answered += 1
        elif line["event"] == "round ended":
            asked = answered = 0
    return asked, answered


def _describe(snapshot: Snapshot, state: State, asked: int, answered: int) -> str:
    records = snapshot.records
    if state == "ended":
        ended = records.event("run ended")
        why = _STOPPED.get(ended["stopped_by"], str(ended["stopped_by"]))
        detail = f": {ended['detail']}" if ended.get("detail") else ""
        return f"Stopped after round {max(0, len(records.rounds) - 1)}: {why}{detail}."
    if state == "cut off":
        return "Interrupted: no process runs it, and it has not ended. It can be resumed."
    number = len(records.rounds)
    if snapshot.run.is_repeating():
        phase = "Repeating earlier work from disk; nothing is sent to the teacher again."
    elif not records.event("run started"):
        phase = "Preparing the student."
    elif not number:
        phase = "Round 0: training the student on the labelled rows."
    elif not asked:
        phase = f"Round {number} is starting."
    elif answered < asked:
        phase = f"Round {number}: the teacher writes; {answered} of {asked} requests answered."
    else:
        phase = f"Round {number}: training and evaluating the student."
    return _DOING[state] + phase


def _describe_budgets(budget: dict[str, Any]) -> tuple[str, ...]:
    units = {"usd": "US dollars", "tokens": "tokens", "calls": "calls"}
    return tuple(f"{budget[name]} {unit}" for name, unit in units.items() if budget.get(name))
