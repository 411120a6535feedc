"""The curve of a cascade, against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pgkd.tasks.classification.evaluation.cascade import cascade_curve

CLASSES = ("a", "b")
# Sure and right, sure and wrong, unsure and wrong, unsure and right.
PROBABILITIES = np.array([[0.95, 0.05], [0.9, 0.1], [0.45, 0.55], [0.6, 0.4]])
LABELS = ["a", "b", "a", "a"]
ANSWERS = ["a", "b", "a", None]


def test_each_threshold_is_counted() -> None:
    curve = cascade_curve(
        PROBABILITIES, LABELS, CLASSES, ANSWERS, usd_per_call=0.002, thresholds=[1, 0, 0.58, 0.7]
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
        PROBABILITIES, LABELS, CLASSES, ["b", "c", "b", "b"], thresholds=[1.0]
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
