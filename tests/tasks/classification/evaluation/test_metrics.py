"""Metrics agree with scikit-learn, and with what can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from pgkd.tasks.classification.evaluation.metrics import (
    calibration_error,
    evaluate,
    reliability,
    row_log_losses,
)

CLASSES = ("a", "b", "c", "d")


@given(st.integers(0, 10_000), st.integers(2, 60))
@settings(max_examples=50, deadline=None)
def test_figures_agree_with_scikit_learn(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4), n)
    gold = rng.integers(0, 3, n)  # class d never occurs as a label
    labels = [CLASSES[i] for i in gold]
    predicted = [CLASSES[i] for i in probabilities.argmax(axis=1)]
    metrics = evaluate(probabilities, labels, CLASSES)
    assert metrics.accuracy == pytest.approx(accuracy_score(labels, predicted))
    for name, ours in (("macro", metrics.macro_f1), ("weighted", metrics.weighted_f1)):
        assert ours == pytest.approx(f1_score(labels, predicted, average=name, zero_division=0))
    clipped = np.clip(probabilities, 1e-6, 1)
    theirs = log_loss(gold, clipped / clipped.sum(1, keepdims=True), labels=[0, 1, 2, 3])
    assert metrics.log_loss == pytest.approx(theirs, rel=1e-3)
    assert metrics.confusion.sum() == n


def test_per_class_figures_by_hand() -> None:
    probabilities = np.eye(4)[[0, 0, 1, 2]]
    metrics = evaluate(probabilities, ["a", "b", "b", "c"], CLASSES)
    a, b, _, d = metrics.per_class
    assert (a.precision, a.recall, a.support) == (0.5, 1.0, 1)
    assert (b.precision, b.recall, b.support) == (1.0, 0.5, 2)
    assert (d.f1, d.support) == (0.0, 0)
    assert metrics.macro_f1 == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert metrics.to_json()["confused"] == [{"gold": "b", "predicted": "a", "rows": 1}]


def test_the_loss_of_one_row_is_bounded() -> None:
    losses = row_log_losses(np.array([[1.0, 0.0], [0.25, 0.75]]), np.array([1, 0]))
    assert losses == pytest.approx([-np.log(1e-6), -np.log(0.25)])


def test_calibration_error_by_hand() -> None:
    """Two bins: four rows at .75 of which two are right, one row at .95 that is right."""
    probabilities = np.array([[0.75, 0.25]] * 4 + [[0.95, 0.05]])
    gold = np.array([0, 0, 1, 1, 0])
    expected = (4 * abs(0.5 - 0.75) + abs(1 - 0.95)) / 5
    assert calibration_error(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == gold
    ) == pytest.approx(expected)


def test_a_perfectly_calibrated_student_has_no_error() -> None:
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert calibration_error(
        probabilities.max(axis=1), np.array([True, True, True, False])
    ) == pytest.approx(0)


def test_reliability_bins_are_open_below_and_leave_out_what_is_empty() -> None:
    confidence = np.array([0.5, 0.45, 0.91, 1.0])
    right = np.array([True, False, True, True])
    low, high = reliability(confidence, right, bins=2)
    assert (low.low, low.high, low.n, low.accuracy) == (0.0, 0.5, 2, 0.5)
    assert low.confidence == pytest.approx(0.475)
    assert (high.n, high.accuracy) == (2, 1.0)
    assert len(reliability(confidence, right, bins=10)) == 2


@given(st.integers(1, 60), st.integers(0, 1000))
@settings(deadline=None, max_examples=30)
def test_reliability_adds_up_to_the_calibration_error(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    confidence, right = rng.random(n), rng.random(n) < 0.5
    bins = reliability(confidence, right, bins=15)
    assert sum(each.n for each in bins) == n
    error = sum(each.n * abs(each.accuracy - each.confidence) for each in bins) / n
    assert error == pytest.approx(calibration_error(confidence, right))
