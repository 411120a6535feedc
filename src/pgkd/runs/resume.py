"""Taking up a run that was cut off.

Everything in a run follows from its settings, its rows and what the teacher answered. So a run is
resumed by running it again from the start: the ledger answers what was answered before, the
students come out as they were, and the first open request goes to the teacher. Nothing is paid
twice, and the end is that of a run that was never cut off.

Before that, its files have to agree (`agreement`). Until it is as far as it was, it writes beside
what is there (`RunFiles.stage`), and asks nothing that was answered before (`Ledger.expect`).
"""

from __future__ import annotations

import json
import os
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from pgkd.config import Config
from pgkd.errors import RunError
from pgkd.events import Hooks
from pgkd.runs.agreement import answered_requests, check_agreement, finished_rounds
from pgkd.runs.provenance import provenance
from pgkd.runs.review import Reviews

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from pgkd.events import Outcome
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Dataset, Prompt
    from pgkd.usage.ledger import Call, Ledger

_FREE = {
    "out", "track",
    "budget.usd", "budget.tokens", "budget.calls", "teacher.price_input", "teacher.price_output",
    "teacher.price_cached",
    "teacher.cache", "teacher.concurrency", "teacher.retries", "teacher.longest", "teacher.batch",
}  # fmt: skip
"""Settings that may differ: money, haste, and where files lie. Rows are compared one by one."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """What an earlier life of the run has left.

    Attributes:
        replies: replies in the ledger: they are used again and cost nothing.
        lost: calls that were in flight when it was cut off. The provider may have answered and
            charged them; they are asked again.
        waiting: calls that left in a batch: it is waited for, and they are not asked again.
    """

    replies: int
    lost: tuple[Call, ...]
    waiting: int = 0


def begin_or_resume(
    run: RunFolder, ledger: Ledger, config: Config, dataset: Dataset
) -> Resumed | None:
    """Write down what a new run is made of, or make an old one ready to be run again.

    Returns:
        None for a new run.

    Raises:
        RunError: the run was begun with other settings or rows; the message lists them.
    """
    files = provenance(run, config, dataset)
    old = begun(run)
    if old:
        changed = _changed(run, files)
        if changed:
            raise RunError(
                f"{run.path} was begun with other settings, and a run never mixes with another:\n"
                + "\n".join(f"  - {line}" for line in changed)
                + "\nGive the old settings to resume it, or another folder with --out."
            )
        ledger.expect(answered_requests(run))
        _pin_rounds(run)
        if finished_rounds(run):
            run.stage()
        else:
            run.clear_records()
    for name, text in reversed(files.items()):  # config.yaml last: it makes the folder a run
        run.write_text(name, text)
    if not old:
        return None
    lost = tuple(ledger.abandon())
    states = Counter(call.state for call in ledger.calls())
    return Resumed(states["replied"], lost, waiting=states["in flight"])


def begun(run: RunFolder) -> bool:
    """Whether there is a run to resume."""
    return os.path.lexists(run.path / "config.yaml")


@contextmanager
def resuming(run: RunFolder) -> Iterator[Settling]:
    """See that a run that was begun is whole, before anything of it is opened to write.

    Whatever ends the context, nothing is left of what was only repeated.

    Returns:
        The hook that puts what was repeated in its place.

    Raises:
        RunError: it is not whole; the message says what is missing.
    """
    finished = 0
    if begun(run):
        run.settings()
        check_agreement(run)
        finished = finished_rounds(run)
    try:
        yield Settling(run, finished)
    finally:
        run.unstage()


class Settling(Hooks):
    """Puts what a resumed run has repeated in the place of the old, once it is as far as that was.

    Args:
        run: its folder.
        finished: rounds that had ended before.
    """

    def __init__(self, run: RunFolder, finished: int) -> None:
        self._run = run
        self._finished = finished

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        """A round begins that had not ended before: all before it is there again."""
        if number >= self._finished:
            self._run.settle()

    def on_run_end(self, outcome: Outcome) -> None:
        """The run has ended, perhaps with nothing more to do.

        Raises:
            RunError: it was stopped earlier than it had been; then the old stays.
        """
        stopped = outcome.stopped_by in ("interrupted", "teacher failed")
        if self._run.is_staged and stopped and len(outcome.rounds) < self._finished:
            self._run.unstage()
            raise RunError(
                f"{self._run.path} was stopped while what it had done was being repeated "
                f"({outcome.detail or outcome.stopped_by}). It is as it was: the same command "
                "resumes it."
            )
        self._run.settle()


def _pin_rounds(run: RunFolder) -> None:
    """Rounds of a pgkd that knew no decisions go on without, though there are some by now."""
    Reviews(run.path).pin_without([line["round"] for line in run.events("round ended")])


def _changed(run: RunFolder, files: dict[str, str]) -> list[str]:
    """What differs from what the run was begun with, one line each."""
    written = run.settings()
    # A setting that the pgkd of then did not know is at its default, which does as that did.
    before = flat_settings(yaml.safe_load(run.task.config().to_yaml())) | flat_settings(written)
    after = flat_settings(yaml.safe_load(files["config.yaml"]))
    files_named = {path for path in run.task.config.paths if path.startswith("data.")}
    lines = differences(before, after, free=_FREE | files_named)
    # `auto` finds another device on another machine, and students that round otherwise.
    lines += differences(
        _place(run.read_json("environment.json")), _place(json.loads(files["environment.json"]))
    )
    then, now = run.read_json("task.json"), json.loads(files["task.json"])
    return lines + [
        f"{_PARTS.get(part, part)}: {_count(then.get(part))} then, {_count(now[part])} now"
        + (", and not the same" if isinstance(now[part], list) else "")
        for part in now
        if part != "warnings" and then.get(part) != now[part]
    ]


def _place(environment: Mapping[str, Any]) -> dict[str, str]:
    """The kind of device that the student was trained on, and the precision."""
    device = environment.get("device", "cpu").partition(":")[0]
    return {"device": device, "precision": environment.get("precision", "fp32")}


_PARTS = {"pool": "unlabelled"}


def _count(part: Any) -> str:
    """How much there is of a part of a data set: examples, or texts of which there is a digest."""
    if isinstance(part, dict):
        return f"{part['texts']} texts ({part['sha256'][:8]})"
    return str(len(part)) if part else "none"


def differences(
    then: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str] = ()
) -> list[str]:
    """What differs between two sets of settings, one line each.

    Args:
        then: values by name, as they were.
        now: as they are.
        free: names that may differ.
    """
    return [
        f"{name}: {then.get(name)!r} then, {now.get(name)!r} now"
        for name in sorted(then.keys() | now.keys())
        if name not in free and then.get(name) != now.get(name)
    ]


def flat_settings(settings: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested settings by dotted names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        path = f"{above}{name}"
        found |= flat_settings(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return found
