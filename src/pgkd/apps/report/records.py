"""The files of a run, read for a report: what an old or interrupted run lacks is empty."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgkd.runs.files import fitting_together

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder
    from pgkd.usage.ledger import Call

_NO_TASK: dict[str, Any] = {"classes": [], "train": [], "validation": [], "warnings": []}


@dataclass(frozen=True)
class Records:
    """What a run folder holds, but for its students.

    Attributes:
        config: config.yaml as it stands: settings of an older pgkd are no fault here.
        task: classes and rows.
        versions: of environment.json.
        journal: what happened, in order.
        rounds: the rounds that ended.
        best: the round whose student was kept; None where none has ended.
        kept: texts that were kept.
        dropped: what was dropped.
        suspects: rows whose label is doubtful.
        evaluation: what `pgkd evaluate` found last; None where it was not run.
        calls: to the teacher; None where the run has no record of them.
    """

    config: dict[str, Any]
    task: dict[str, Any]
    versions: dict[str, Any]
    journal: list[dict[str, Any]]
    rounds: list[dict[str, Any]]
    best: int | None
    kept: list[dict[str, Any]]
    dropped: list[dict[str, Any]]
    suspects: list[dict[str, Any]]
    evaluation: dict[str, Any] | None
    calls: list[Call] | None

    def event(self, name: str) -> dict[str, Any]:
        """The last line of the journal with this event; empty where there is none."""
        found = [line for line in self.journal if line["event"] == name]
        return found[-1] if found else {}

    def asks(self) -> list[dict[str, Any]]:
        """Everything that was asked for, with its reasons."""
        started = [line for line in self.journal if line["event"] == "round started"]
        return [{"round": line["round"], **ask} for line in started for ask in line["asks"]]


def read_records(run: RunFolder) -> Records:
    """Read a run folder.

    Raises:
        RunError: a file is damaged.
    """
    with fitting_together(run):
        return _read(run)


def _read(run: RunFolder) -> Records:
    journal = list(run.read_lines("journal.jsonl"))
    rounds = [line for line in journal if line["event"] == "round ended"]
    kept_rounds = [line["round"] for line in rounds if line["keep"]]
    return Records(
        config=run.settings(),
        task={**_NO_TASK, **(_optional(run, "task.json") or {})},
        versions=_optional(run, "environment.json") or {},
        journal=journal,
        rounds=rounds,
        best=kept_rounds[-1] if kept_rounds else None,
        kept=list(run.read_lines("examples.jsonl")),
        dropped=list(run.read_lines("dropped.jsonl")),
        suspects=list(run.read_lines("suspects.jsonl")),
        evaluation=_optional(run, "evaluation.json"),
        calls=_calls(run),
    )


def _optional(run: RunFolder, name: str) -> dict[str, Any] | None:
    return run.read_json(name) if os.path.lexists(run.path / name) else None


def _calls(run: RunFolder) -> list[Call] | None:
    if not os.path.lexists(run.ledger_path):
        return None
    with run.ledger_to_read() as ledger:
        return list(ledger.calls())
