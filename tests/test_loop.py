"""The loop alone, with a guide and a writer that do as they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from pgkd.errors import TeacherUnavailableError
from pgkd.events import Hooks, Outcome, Round
from pgkd.loop import distill
from pgkd.stopping import StopRule
from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelledText

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 100


class FakeRun:
    """Remembers which students were saved, and which as the best."""

    def __init__(self) -> None:
        self.saved: list[tuple[int, bool]] = []

    def save_student(self, student: Any, number: int, *, best: bool) -> None:
        self.saved.append((number, best))


class FakeLearner:
    """Reports a given loss every round."""

    def __init__(self, losses: Sequence[float]) -> None:
        self._losses = list(losses)
        self.trained_on: list[int] = []

    def train(self, written: Sequence[LabelledText]) -> Any:
        self.trained_on.append(len(written))
        return object()

    def evaluate(self, student: Any, written: Sequence[LabelledText]) -> Any:
        return FakeEvaluation(np.full(ROWS, self._losses[len(self.trained_on) - 1]))

    def prompts(self, number: int, evaluation: Any, written: Sequence[LabelledText]) -> tuple[()]:
        return ()


class FakeEvaluation:
    margin = 0.0

    def __init__(self, losses: Any) -> None:
        self.losses = losses


class FakeSynthesizer:
    """Brings back two texts a round, or does what it is told to do in a round."""

    exhausted = last_error = ""

    def __init__(self, **instead: Any) -> None:
        self._instead = instead

    def synthesize(self, number: int, prompts: Sequence[Any], student: Any) -> list[LabelledText]:
        event = self._instead.get(f"round{number}")
        if isinstance(event, BaseException):
            raise event
        if event is not None:
            return list(event)
        return [
            LabelledText(f"{number}/{i}", "a", f"r{number}-{i}", Origin(number, "r")) for i in "12"
        ]


def run_loop(
    losses: Sequence[float], *, rounds: int = 3, patience: int = 5, **instead: Any
) -> tuple[Outcome, FakeRun, FakeLearner]:
    run, learner = FakeRun(), FakeLearner(losses)
    outcome = distill(
        learner,
        cast("Any", FakeSynthesizer(**instead)),
        StopRule(patience),
        cast("Any", run),
        Hooks(),
        rounds=rounds,
    )
    return outcome, run, learner


def test_every_round_trains_on_all_texts_so_far() -> None:
    outcome, _, learner = run_loop([1.0, 0.9, 0.8, 0.7])
    assert learner.trained_on == [0, 2, 4, 6]
    assert outcome.best == 3
    assert outcome.stopped_by == "rounds"


def test_round_zero_stays_best_where_the_teacher_only_harms() -> None:
    outcome, run, _ = run_loop([1.0, 1.2, 1.3, 1.4])
    assert outcome.best == 0
    assert run.saved == [(0, True), (1, False), (2, False), (3, False)]


def test_patience_ends_the_run() -> None:
    outcome, _, _ = run_loop([1.0, 1.2, 1.3, 1.4], patience=2)
    assert outcome.stopped_by == "patience"
    assert len(outcome.rounds) == 3


def test_nothing_usable_ends_the_run_with_the_best_so_far() -> None:
    outcome, run, _ = run_loop([1.0, 0.9], round2=[])
    assert (outcome.stopped_by, outcome.best) == ("nothing usable", 1)
    assert run.saved[-1] == (1, True)


@pytest.mark.parametrize(
    ("event", "reason"),
    [(KeyboardInterrupt(), "interrupted"), (TeacherUnavailableError("down"), "teacher failed")],
)
def test_ctrl_c_and_a_failing_teacher_keep_the_best(event: BaseException, reason: str) -> None:
    outcome, run, _ = run_loop([1.0, 0.9], round2=event)
    assert (outcome.stopped_by, outcome.best) == (reason, 1)
    assert run.saved == [(0, True), (1, True)]


def test_ctrl_c_before_any_student_is_passed_on() -> None:
    learner = FakeLearner([1.0])
    learner.train = lambda written: (_ for _ in ()).throw(KeyboardInterrupt)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        distill(
            learner,
            cast("Any", FakeSynthesizer()),
            StopRule(1),
            cast("Any", FakeRun()),
            Hooks(),
            rounds=1,
        )


def test_hooks_are_told_in_order() -> None:
    heard: list[str] = []

    class Listener(Hooks):
        def on_run_start(self, rounds: int) -> None:
            heard.append(f"start {rounds}")

        def on_training(self, number: int) -> None:
            heard.append(f"train {number}")

        def on_round_start(self, number: int, asks: Sequence[Any]) -> None:
            heard.append(f"ask {number}")

        def on_round_end(self, finished: Round) -> None:
            heard.append(f"end {finished.number}")

        def on_run_end(self, outcome: Outcome) -> None:
            heard.append(outcome.stopped_by)

    distill(
        FakeLearner([1.0, 0.9]),
        cast("Any", FakeSynthesizer()),
        StopRule(1),
        cast("Any", FakeRun()),
        Listener(),
        rounds=1,
    )
    assert heard == ["start 1", "train 0", "end 0", "ask 1", "train 1", "end 1", "rounds"]
