"""Hooks: what a run tells whoever listens. Subclass `Hooks` and override what you need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.runs.resume import Resumed
    from pgkd.stopping import Verdict
    from pgkd.task import Assessment
    from pgkd.tasks.classification.data.pool import Pool
    from pgkd.tasks.classification.estimate import Estimate
    from pgkd.tasks.classification.feedback.class_list import ClassListTrial
    from pgkd.tasks.classification.feedback.exam import Exam
    from pgkd.tasks.classification.feedback.self_verification import Verified
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.prompts.glossary import Glossary
    from pgkd.teachers.base import Reply
    from pgkd.usage.batches import BatchProgress

StopReason = Literal[
    "rounds", "patience", "nothing usable", "budget", "interrupted", "teacher failed"
]


@dataclass(frozen=True)
class Round:
    """One finished round.

    Attributes:
        number: 0 is the student without the teacher.
        asked: texts asked for.
        kept: texts that entered the training set.
        written: texts in the training set by now.
        assessment: what is known of the round's student.
        verdict: what the stop rule said.
    """

    number: int
    asked: int
    kept: int
    written: int
    assessment: Assessment
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
        """The run was begun before; nothing has been done yet in this life of it."""

    def on_pool(self, pool: Pool) -> None:
        """The unlabelled texts are read, and those left out that cannot be asked for."""

    def on_tuned(self, tuning: str) -> None:
        """The student's hyper-parameters are chosen; what there is to tell of it, in words."""

    def on_class_list(self, trial: ClassListTrial) -> None:
        """It has been tried whether the class list helps the student."""

    def on_run_start(self, rounds: int) -> None:
        """Training of round 0 begins; at most `rounds` rounds follow."""

    def on_described(self, description: str) -> None:
        """The teacher has said what the texts of the task are; empty if it could not."""

    def on_estimate(self, estimate: Estimate) -> None:
        """What a new run will cost, before a teacher that somebody bills for is first asked."""

    def on_exam(self, exam: Exam) -> None:
        """The teacher has labelled rows of the user; and again when it has read its own texts."""

    def on_glossary(self, glossary: Glossary) -> None:
        """The teacher has said what the texts are and what each class covers."""

    def on_round_start(self, number: int, asks: Sequence[Ask]) -> None:
        """The teacher is about to be asked."""

    def on_batch(self, progress: BatchProgress) -> None:
        """A round's requests are out in batches, or are all back; or waiting for them is hard."""

    def on_call(self, call: str) -> None:
        """A request is about to be made, in the thread that makes it; it may wait here."""

    def on_calls_end(self) -> None:
        """No more requests of a round are wanted: none that waits in `on_call` is to be made."""

    def on_reply(self, ask: Ask, reply: Reply) -> None:
        """A reply has been written to disk and is about to be read."""

    def on_curated(self, ask: Ask, kept: int, dropped: int) -> None:
        """A reply has been read; so many of its texts were kept and dropped."""

    def on_verified(self, verified: Verified) -> None:
        """The teacher has read one of its texts blind."""

    def on_training(self, number: int) -> None:
        """The student of round `number` is about to be trained and assessed."""

    def on_round_end(self, finished: Round) -> None:
        """A round has been judged and saved."""

    def on_run_end(self, outcome: Outcome) -> None:
        """The run is over, for whatever reason."""

    def on_untracked(self, tracker: str, why: str) -> None:
        """A tracker has failed and is told no more, at any time; the run goes on without it."""


class HookList(Hooks):
    """Calls several hooks in order."""

    def __init__(self, hooks: Sequence[Hooks]) -> None:
        self._hooks = tuple(hooks)

    def on_resumed(self, resumed: Resumed) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_resumed(resumed)

    def on_pool(self, pool: Pool) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_pool(pool)

    def on_tuned(self, tuning: str) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_tuned(tuning)

    def on_class_list(self, trial: ClassListTrial) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_class_list(trial)

    def on_run_start(self, rounds: int) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_run_start(rounds)

    def on_described(self, description: str) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_described(description)

    def on_estimate(self, estimate: Estimate) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_estimate(estimate)

    def on_exam(self, exam: Exam) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_exam(exam)

    def on_glossary(self, glossary: Glossary) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_glossary(glossary)

    def on_round_start(self, number: int, asks: Sequence[Ask]) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_round_start(number, asks)

    def on_batch(self, progress: BatchProgress) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_batch(progress)

    def on_call(self, call: str) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_call(call)

    def on_calls_end(self) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_calls_end()

    def on_reply(self, ask: Ask, reply: Reply) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_reply(ask, reply)

    def on_curated(self, ask: Ask, kept: int, dropped: int) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_curated(ask, kept, dropped)

    def on_verified(self, verified: Verified) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_verified(verified)

    def on_training(self, number: int) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_training(number)

    def on_round_end(self, finished: Round) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_round_end(finished)

    def on_run_end(self, outcome: Outcome) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_run_end(outcome)

    def on_untracked(self, tracker: str, why: str) -> None:  # noqa: D102
        for hook in self._hooks:
            hook.on_untracked(tracker, why)
