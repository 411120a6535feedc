"""Figures of a benchmark: the same as those of `pgkd evaluate`, and thirds of the classes."""

from __future__ import annotations

import numpy as np
import pytest

from pgkd.apps.bench.judging import Predictions, figures, mean_changes
from pgkd.apps.bench.sets import thirds
from pgkd.tasks.classification.evaluation.judging import compare
from pgkd.tasks.classification.evaluation.metrics import evaluate

CLASSES = ("a", "b", "c", "d")
RNG = np.random.default_rng(0)
GOLD = RNG.integers(0, 4, 60)
BEFORE, AFTER = RNG.dirichlet(np.ones(4), 60), RNG.dirichlet(np.ones(4), 60)
LABELS = [CLASSES[i] for i in GOLD]
EVERY = np.ones(60, dtype=bool)


def predictions(probabilities: np.ndarray, counts: np.ndarray = EVERY) -> Predictions:
    return Predictions(GOLD, probabilities.argmax(axis=1), counts)


def test_figures_are_those_of_evaluate() -> None:
    expected = evaluate(BEFORE, LABELS, CLASSES)
    found = figures(GOLD, BEFORE.argmax(axis=1), 4, {"head": [0, 1], "tail": [3], "middle": []})
    assert found["accuracy"] == pytest.approx(expected.accuracy, abs=1e-6)
    assert found["macro_f1"] == pytest.approx(expected.macro_f1, abs=1e-6)
    f1 = [c.f1 for c in expected.per_class]
    assert found["head"] == pytest.approx((f1[0] + f1[1]) / 2, abs=1e-6)
    assert found["tail"] == pytest.approx(f1[3], abs=1e-6)
    assert "middle" not in found


def test_changes_of_one_seed_are_those_of_the_paired_bootstrap() -> None:
    expected = compare(BEFORE, AFTER, LABELS, CLASSES, n_resamples=80, seed=5)
    found = mean_changes([(predictions(BEFORE), predictions(AFTER))], 4, {}, n_resamples=80, seed=5)
    for name in ("accuracy", "macro_f1"):
        change, seeds = found[name]
        assert change.difference == pytest.approx(expected[name].difference)
        assert (change.low, change.high) == pytest.approx((expected[name].low, expected[name].high))
        assert seeds == pytest.approx((change.difference,))


def test_the_change_over_seeds_is_their_mean_and_narrower_than_the_widest() -> None:
    pairs = [(predictions(BEFORE), predictions(AFTER)), (predictions(AFTER), predictions(BEFORE))]
    change, seeds = mean_changes(pairs, 4, {}, n_resamples=50)["accuracy"]
    assert change.difference == change.low == change.high == 0  # what one gains the other loses
    assert seeds[0] == pytest.approx(-seeds[1])


def test_rows_that_do_not_count_for_one_of_two_count_for_none() -> None:
    half = np.arange(60) < 30
    found = mean_changes([(predictions(BEFORE), predictions(AFTER, half))], 4, {}, n_resamples=20)[
        "accuracy"
    ][0]
    right = [(p.argmax(axis=1) == GOLD)[:30].mean() for p in (BEFORE, AFTER)]
    assert found.difference == pytest.approx(right[1] - right[0])


def test_an_answer_off_the_list_is_wrong_and_no_class() -> None:
    found = figures(np.array([0, 1]), np.array([0, 2]), 2, {})
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx((1 + 0) / 2)


def test_thirds_go_by_frequency_and_then_by_name() -> None:
    labels = [*"aaaaa", *"ccc", *"bbb", *"dd", "e", "f", "f", "f", "f"]
    assert thirds(labels) == {"head": ("a", "f"), "middle": ("b", "c"), "tail": ("d", "e")}
    assert thirds([*"aab"]) == {"head": ("a",), "middle": ("b",), "tail": ()}
    assert thirds([*"abcd"])["head"] == ("a", "b")
