"""What a run reports to whoever listens: subclass `Hooks` and override what you need."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pgkd.stopping import Verdict
from pgkd.task import Evaluation, Prompt

if TYPE_CHECKING:
    from pgkd.runs.resume import Resumed
    from pgkd.teachers.base import Reply
    from pgkd.usage.batch import BatchProgress
    from pgkd.usage.estimate import Estimate

StopReason = Literal[
    "rounds", "patience", "nothing usable", "budget", "interrupted", "teacher failed"
]


class Event(ABC):
    """Something that a task reports, and only that task knows what it is.

    Attributes:
        name: in the journal, such as ``teacher examined``.
        in_result: key of ``result.json`` that holds the last one; empty: it is not there.
        progress: what is going on while one event a new example comes, for a progress bar.
    """

    name: ClassVar[str]
    in_result: ClassVar[str] = ""
    progress: ClassVar[str] = ""

    @abstractmethod
    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""

    def describe(self) -> str:
        """A line for people; empty where there is nothing to show."""
        return ""


@dataclass(frozen=True)
class Round:
    """One finished round.

    Attributes:
        number: 0 is the student without the teacher.
        asked: examples asked for.
        accepted: examples that entered the training set.
        synthetic: the teacher's examples in the training set by now.
        evaluation: what is known of the round's student.
        verdict: what the stop rule said.
    """

    number: int
    asked: int
    accepted: int
    synthetic: int
    evaluation: Evaluation
    verdict: Verdict


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        rounds: every finished round, round 0 first.
        best: number of the round whose student was kept.
        stopped_by: why the loop ended.
        detail: more about it, such as the teacher's error.
    """

    rounds: tuple[Round, ...]
    best: int
    stopped_by: StopReason
    detail: str = ""


class Hooks:
    """Empty hooks, called in the order of the methods below."""

    def on_resumed(self, resumed: Resumed) -> None:
        """The run was begun before; nothing has been done yet in this session of it."""

    def on_estimate(self, estimate: Estimate) -> None:
        """What a new run will cost, before a teacher that is paid for is first asked."""

    def on_event(self, event: Event) -> None:
        """The task reports something, at any time."""

    def on_run_start(self, rounds: int) -> None:
        """Training of round 0 begins; at most `rounds` rounds follow."""

    def on_round_start(self, number: int, prompts: Sequence[Prompt]) -> None:
        """The teacher is about to be asked."""

    def on_batch(self, progress: BatchProgress) -> None:
        """A round's requests are out in batches, or are all back; or waiting for them is hard."""

    def on_call(self, call: str) -> None:
        """A request is about to be made, in the thread that makes it; it may wait here."""

    def on_calls_end(self) -> None:
        """No more requests of a round are wanted: none that waits in `on_call` is to be made."""

    def on_reply(self, prompt: Prompt, reply: Reply) -> None:
        """A reply has been written to disk and is about to be read."""

    def on_curated(self, prompt: Prompt, accepted: int, rejected: int) -> None:
        """A reply has been read; so many of its examples were accepted and rejected."""

    def on_training(self, number: int) -> None:
        """The student of round `number` is about to be trained and evaluated."""

    def on_round_end(self, finished: Round) -> None:
        """A round has been judged and saved."""

    def on_run_end(self, outcome: Outcome) -> None:
        """The run is over, for whatever reason."""

    def on_untracked(self, tracker: str, why: str) -> None:
        """A tracker has failed and hears no more, at any time; the run goes on without it."""


class HookList(Hooks):
    """Calls several hooks in order."""

    def __init__(self, hooks: Sequence[Hooks]) -> None:
        for name in (name for name in dir(Hooks) if name.startswith("on_")):
            methods = [getattr(hook, name) for hook in hooks]
            setattr(self, name, partial(_call, methods))


def _call(methods: Sequence[Any], *args: Any) -> None:
    for method in methods:
        method(*args)
