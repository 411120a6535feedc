"""The teacher as a classifier: how its answers count, alone and in a cascade."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pgkd.errors import TeacherUnavailableError
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.evaluation.teacher import cascade_curve, draw_rows, score_teacher
from pgkd.teachers.fake import FakeTeacher

if TYPE_CHECKING:
    from pgkd.teachers.base import Reply

TAXONOMY = Taxonomy.from_names(["card", "refund"])
TEXTS = ["where is it", "my money", "lost", "again"]
LABELS = ["card", "refund", "card", "card"]


def answers(*labels: str) -> FakeTeacher:
    return FakeTeacher([json.dumps({"label": label}) for label in labels])


def test_right_wrong_and_invalid_answers() -> None:
    score = score_teacher(answers("card", "card", "card", "plastic"), TEXTS, LABELS, TAXONOMY)
    assert (score.n, score.accuracy, score.invalid) == (4, 0.5, 1)
    assert score.macro_f1 == pytest.approx((2 * 2 / (3 + 3) + 0) / 2)  # of card and of refund
    low, high = score.accuracy_interval
    assert 0 <= low < 0.5 < high <= 1


def test_every_reply_is_handed_over_before_the_next_call() -> None:
    """The trap: paid replies that are gone when a later call fails."""
    accepted: list[str] = []

    def keep(reply: Reply) -> None:
        accepted.append(reply.text)

    teacher = answers("card", "refund")
    down = FakeTeacher(
        lambda request: (
            teacher.complete(request) if len(accepted) < 2 else TeacherUnavailableError("x")
        )
    )
    with pytest.raises(TeacherUnavailableError):
        score_teacher(down, TEXTS, LABELS, TAXONOMY, on_reply=keep)
    assert len(accepted) == 2


def test_rows_are_drawn_by_the_seed_and_none_twice() -> None:
    drawn = draw_rows(50, 20, 1)
    assert drawn.tolist() == draw_rows(50, 20, 1).tolist() != draw_rows(50, 20, 2).tolist()
    assert len(set(drawn.tolist())) == 20
    assert draw_rows(3, 20, 0).tolist() == [0, 1, 2]


CLASSES = ("a", "b")
# Sure and right, sure and wrong, unsure and wrong, unsure and right.
PROBABILITIES = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55], [0.6, 0.4]])
GOLD = ["a", "b", "a", "a"]
ANSWERS = ["a", "b", "a", None]


def test_each_threshold_is_counted() -> None:
    curve = cascade_curve(
        PROBABILITIES, GOLD, CLASSES, ANSWERS, usd_per_call=0.002, thresholds=[1, 0, 0.58, 0.7]
    )
    assert [point.below for point in curve] == [0, 0.58, 0.7, 1]
    assert [point.sent for point in curve] == [0, 0.25, 0.5, 1]
    # Where the teacher has no answer, the student's stands: the last row stays right.
    assert [point.accuracy for point in curve] == [0.5, 0.75, 0.75, 1]
    assert [point.gain for point in curve] == [0, 0.25, 0.25, 0.5]
    assert curve[-1].kept_accuracy is None
    assert [point.kept_accuracy for point in curve[:-1]] == pytest.approx([0.5, 2 / 3, 0.5])
    assert [point.usd_per_1000 for point in curve] == pytest.approx([0, 0.5, 1, 2])
    assert curve[0].gain_interval == (0.0, 0.0)
    for point in curve:
        assert point.interval[0] <= point.accuracy <= point.interval[1]


def test_an_answer_off_the_list_is_none_and_a_wrong_one_is_wrong() -> None:
    [point] = cascade_curve(
        PROBABILITIES, GOLD, CLASSES, ["b", "c", "b", "b"], thresholds=[1.0]
    )  # fmt: skip
    assert point.accuracy == 0  # the second row keeps the student's wrong answer
    assert point.gain == -0.5
    assert point.usd_per_1000 is None


def test_thresholds_come_from_shares_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    top = rng.uniform(0.5, 1, 1000)
    probabilities = np.stack([top, 1 - top], axis=1)
    curve = cascade_curve(probabilities, ["a"] * 1000, CLASSES, ["a"] * 1000, n_resamples=10)
    sent = [point.sent for point in curve]
    assert sent == pytest.approx([0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1], abs=2e-3)
    assert all(point.below == round(point.below, 4) for point in curve)
