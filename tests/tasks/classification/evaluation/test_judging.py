"""Students on the same rows: intervals, differences, and how long they take for a text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pgkd.evaluation import time_student
from pgkd.tasks.classification.evaluation.judging import (
    bootstrap_intervals,
    compare,
    judge_students,
)
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.students.linear import LinearStudent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def test_intervals_hold_the_figure_and_narrow_with_rows() -> None:
    rng = np.random.default_rng(0)

    def interval(n: int) -> tuple[float, float]:
        probabilities = rng.dirichlet(np.ones(2), n)
        labels = ["ab"[int(p[1] + rng.normal(0, 0.3) > 0.5)] for p in probabilities]
        accuracy = evaluate(probabilities, labels, "ab").accuracy
        low, high = bootstrap_intervals(probabilities, labels, "ab", n_resamples=300)["accuracy"]
        assert low <= accuracy <= high
        return low, high

    few, many = interval(50), interval(2000)
    assert many[1] - many[0] < few[1] - few[0]


def test_a_paired_difference_knows_better_from_alike() -> None:
    rng = np.random.default_rng(0)
    gold = rng.integers(0, 2, 400)
    labels = ["ab"[i] for i in gold]
    right = np.eye(2)[gold]
    noisy = right.copy()
    noisy[:80] = noisy[:80, ::-1]
    better = compare(noisy, right, labels, "ab", n_resamples=300)["accuracy"]
    assert better.difference == pytest.approx(0.2)
    assert 0.15 < better.low < 0.2 < better.high < 0.25
    alike = compare(noisy, noisy, labels, "ab", n_resamples=50)["macro_f1"]
    assert (alike.difference, alike.low, alike.high) == (0, 0, 0)


def test_an_interval_with_repeats_holds_the_chance_of_training() -> None:
    rng = np.random.default_rng(0)
    labels = ["a" if i % 2 else "b" for i in range(400)]
    right = np.array([[0.9, 0.1] if label == "a" else [0.1, 0.9] for label in labels])

    def student(wrong: float) -> np.ndarray:
        return np.where((rng.random(400) < wrong)[:, None], 1 - right, right)

    before, after, again = student(0.2), student(0.15), student(0.25)
    alone = compare(before, after, labels, "ab")["accuracy"]
    with_it = compare(before, after, labels, "ab", repeats=((), (again,)))["accuracy"]
    assert with_it.difference == alone.difference > 0
    assert with_it.low < -0.05 < 0 < alone.low
    assert with_it.high > alone.high - 0.02


def test_students_are_judged_side_by_side() -> None:
    gold = np.array([0, 1] * 20)
    labels = ["ab"[i] for i in gold]
    right, wrong = np.eye(2)[gold], np.eye(2)[1 - gold]
    found = judge_students({"before": wrong, "after": right}, labels, "ab")
    assert found["students"]["after"]["accuracy"] == 1.0
    assert found["after_minus_before"]["accuracy"]["difference"] == 1.0
    assert found["students"]["before"]["reliability"][0]["accuracy"] == 0.0


class Slow(LinearStudent):
    """Takes two milliseconds a text, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("a", "b"))
        self.asked: list[list[str]] = []

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        time.sleep(0.002)
        return np.full((len(texts), 2), 0.5)


def test_new_texts_are_timed_one_by_one_after_a_first_that_does_not_count() -> None:
    student = Slow()
    timing = time_student(student, ["x", "y", "x", *map(str, range(100))])
    assert timing.n == 50
    assert len(student.asked) == 51
    timed = [text for (text,) in student.asked[1:]]
    assert len(set(timed)) == 50
    assert 0.002 <= timing.median <= timing.p95
    assert "cores" in timing.to_json()["machine"]


def test_fewer_texts_are_enough() -> None:
    assert time_student(Slow(), ["one"]).n == 1


def test_no_text_was_seen_before_it_is_timed() -> None:
    student = Slow()
    time_student(student, ["one", "two"])
    asked = [text for texts in student.asked for text in texts]
    assert len(asked) == len(set(asked)) == 3
