"""The linear head: classes without rows, weights, and how hyper-parameters are chosen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgkd.student.head import HeadSettings, fit_head, grid, simplest, tune_head

CLASSES = ("a", "b", "c", "never seen")


def blobs(n: int, spread: float = 0.5) -> tuple[Any, list[str]]:
    """Rows of three classes around three corners, shape (n, 3)."""
    rng = np.random.default_rng(0)
    gold = np.arange(n) % 3
    return np.eye(3)[gold] + rng.normal(0, spread, (n, 3)), [CLASSES[i] for i in gold]


def test_a_class_without_rows_gets_a_floor_and_the_rest_its_share() -> None:
    features, labels = blobs(30)
    found = fit_head(features, labels, CLASSES, HeadSettings(C=10.0)).predict_proba(features)
    without = fit_head(features, labels, CLASSES[:3], HeadSettings(C=10.0)).predict_proba(features)
    assert (found[:, 3] > 0).all()
    assert (found[:, 3] < 1e-4).all()
    assert found[:, :3] / found[:, :3].sum(axis=1, keepdims=True) == pytest.approx(without)


def test_two_classes_among_many_are_fitted_as_scikit_learn_would() -> None:
    from sklearn.linear_model import LogisticRegression

    features, labels = blobs(30)
    keep = [i for i, label in enumerate(labels) if label in ("a", "c")]
    some, names = features[keep], [labels[i] for i in keep]
    found = fit_head(some, names, CLASSES, HeadSettings(C=2.0)).predict_proba(some)
    expected = LogisticRegression(C=2.0, max_iter=2000).fit(some, names).predict_proba(some)
    assert found[:, [0, 2]] == pytest.approx(expected, abs=1e-3)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=12, max_size=12))
def test_balancing_by_rows_is_balancing_by_scikit_learn(weights: list[float]) -> None:
    _features, labels = blobs(12)
    labels = ["a"] * 7 + labels[7:]
    given_weights = np.array(weights)
    balanced = HeadSettings(C=1.0, class_weight="balanced")
    factors = balanced.row_weights(labels, given_weights)
    of_class = {c: float((given_weights * factors)[np.array(labels) == c].sum()) for c in "abc"}
    assert list(of_class.values()) == pytest.approx([given_weights.sum() / 3] * 3)
    assert (HeadSettings(C=1.0).row_weights(labels, given_weights) == 1).all()


def test_the_simplest_that_cannot_be_told_from_the_best_is_chosen() -> None:
    rng = np.random.default_rng(0)
    hard = rng.exponential(2.0, 400)  # rows differ far more than candidates do
    noise = rng.normal(0, 0.1, (4, 400))
    shift = np.array([[0.5], [0.001], [0.0], [0.2]])
    losses = hard + noise - noise.mean(axis=1, keepdims=True) + shift
    assert simplest(losses) == 1
    assert simplest(losses[[0, 3, 2]]) == 2  # .2 worse is worse, though rows differ by 2
    assert simplest(np.empty((3, 0))) == 1


def test_tuning_picks_a_penalty_that_fits_the_noise() -> None:
    def chosen(spread: float) -> float:
        features, labels = blobs(90, spread)
        return tune_head(
            grid(1e-4, 1e-2, 1.0, 1e2),
            lambda rows, held: (features[rows], features[held]),
            labels,
            CLASSES,
            seed=0,
        ).C

    assert chosen(spread=0.1) > chosen(spread=3.0)


def test_tuning_never_sees_the_rows_it_is_judged_by() -> None:
    features, labels = blobs(30)
    asked = []

    def features_of(rows: Any, held: Any) -> tuple[Any, Any]:
        asked.append((set(rows.tolist()), set(held.tolist())))
        return features[rows], features[held]

    tune_head(grid(1.0), features_of, labels, CLASSES, seed=0)
    assert len(asked) == 5
    assert all(not rows & held for rows, held in asked)
    assert set().union(*(held for _, held in asked)) == set(range(30))
