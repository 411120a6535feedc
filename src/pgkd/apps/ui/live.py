"""What a run does now, in words and figures, from its journal and its ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgkd.apps.report.content import Snippet
from pgkd.apps.ui.runs import state_of
from pgkd.runs.control import read_signal

if TYPE_CHECKING:
    from pgkd.apps.report.gather import Records
    from pgkd.apps.ui.runs import Seen, State

_LAST = 12  # texts that are shown
_TEXT = 400  # characters of one
_WHY = {
    "rounds": "all rounds were run",
    "patience": "the loss stopped improving",
    "nothing usable": "the teacher wrote nothing usable",
    "budget": "the budget is used up",
    "interrupted": "it was stopped",
    "teacher failed": "the teacher failed",
}
_EARLY = ("interrupted", "teacher failed", "budget")


@dataclass(frozen=True, slots=True)
class LastText:
    """A text that the teacher wrote lately."""

    round: int
    label: str
    text: Snippet


@dataclass(frozen=True, slots=True)
class Live:
    """A run at this moment.

    Attributes:
        state: what it does, or how it is left.
        doing: more about that, in a sentence.
        signal_by: who told it to pause or to stop; empty where nobody did.
        rounds_done: rounds that ended, round 0 left out.
        rounds_planned: at most.
        answered: requests of this round that were answered.
        asked: requests of this round; 0 between rounds.
        tokens: of all calls.
        budgets: what may be used at most, in words; empty where nothing bounds it.
        estimate: US dollars that were foreseen for the whole run; None where nothing was.
        texts: the last ones that were kept, the newest first.
        ended_early: whether it was stopped, or its teacher or its budget gave out.
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
    texts: tuple[LastText, ...]
    ended_early: bool

    @property
    def can_be_resumed(self) -> bool:
        """Whether there is more to do: it was cut off, or ended before its time."""
        return self.state == "cut off" or (self.state == "ended" and self.ended_early)

    @property
    def goes_on(self) -> bool:
        """Whether a process runs it."""
        return self.state not in ("ended", "cut off")


def live_of(seen: Seen) -> Live:
    """A run at this moment, as its files tell it."""
    records, state = seen.records, state_of(seen)
    asked, answered = _requests(records)
    total = seen.money.total
    return Live(
        state=state,
        doing=_doing(records, state, asked, answered, repeating=seen.run.is_repeating()),
        signal_by=read_signal(seen.run)[1],
        rounds_done=max(0, len(seen.rounds) - 1),
        rounds_planned=seen.about.planned,
        answered=answered,
        asked=asked,
        tokens=int(total.get("input_tokens", 0)) + int(total.get("output_tokens", 0)),
        budgets=_budgets(records.config.get("budget") or {}),
        estimate=records.event("estimated").get("usd"),
        texts=tuple(
            LastText(
                int((line.get("origin") or {}).get("round", 0)), str(line["label"]),
                Snippet.of(line["text"], _TEXT),
            )
            for line in reversed(records.accepted[-_LAST:])
        ),
        ended_early=seen.about.stopped_by in _EARLY,
    )  # fmt: skip


def _requests(records: Records) -> tuple[int, int]:
    """Requests of the round that is going on, and how many were answered."""
    asked = answered = 0
    for line in records.journal:
        if line["event"] == "round started":
            asked, answered = len(line["prompts"]), 0
        elif line["event"] == "curated":
            answered += 1
        elif line["event"] == "round ended":
            asked = answered = 0
    return asked, answered


def _doing(records: Records, state: State, asked: int, answered: int, *, repeating: bool) -> str:
    ended = records.event("run ended")
    if state == "ended":
        why = _WHY.get(ended["stopped_by"], str(ended["stopped_by"]))
        detail = f": {ended['detail']}" if ended.get("detail") else ""
        return f"Stopped after round {max(0, len(records.rounds) - 1)}, for {why}{detail}."
    if state == "cut off":
        return "No process runs it, and it has not ended: it was cut off, and can be resumed."
    return {
        "running": "",
        "pausing": "It pauses when the call in hand, or the training, is done. ",
        "paused": "It waits. ",
        "stopping": "It stops when the call in hand, or the training, is done. ",
    }[state] + _phase(records, asked, answered, repeating=repeating)


def _phase(records: Records, asked: int, answered: int, *, repeating: bool) -> str:
    if repeating:
        return "What it did before is repeated from what is on disk; nothing is asked again."
    if not records.event("run started"):
        return "The student is prepared."
    number = len(records.rounds)
    if not number:
        return "Round 0: the student is trained on the labelled rows."
    if asked and answered < asked:
        return f"Round {number}: the teacher writes, {answered} of {asked} requests are answered."
    if asked:
        return f"Round {number}: the student is trained and judged."
    return f"Round {number} begins."


def _budgets(budget: dict[str, Any]) -> tuple[str, ...]:
    units = {"usd": "US dollars", "tokens": "tokens", "calls": "calls"}
    return tuple(f"{budget[name]} {unit}" for name, unit in units.items() if budget.get(name))
