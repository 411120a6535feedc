"""Which texts of a pool are asked for: where the student is unsure and uncovered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from pgkd.tasks.classification.feedback.acquisition import (
    GuidedChoice,
    RandomChoice,
    doubts,
    herd,
    most_doubtful,
)
from pgkd.tasks.classification.students import make_student
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CLASSES = ("a", "b", "c")


def unit(*vectors: Sequence[float]) -> NDArray[np.float64]:
    made = np.array(vectors, dtype=np.float64)
    return np.asarray(made / np.linalg.norm(made, axis=1, keepdims=True))


def test_doubt_is_one_minus_the_margin() -> None:
    found = doubts(np.array([[0.5, 0.5, 0.0], [0.2, 0.7, 0.1], [1.0, 0.0, 0.0]]))
    assert found == pytest.approx([1.0, 0.5, 0.0])
    assert most_doubtful(found, 2) == [0, 1]
    assert most_doubtful(np.array([0.5, 0.9, 0.9]), 5) == [1, 2, 0]


def test_copies_of_one_doubtful_text_are_asked_for_once() -> None:
    """The trap: margin alone takes all of them."""
    features = unit([1, 0, 0], [1, 0.01, 0], [1, 0.02, 0], [0, 1, 0], [0, 0, 1])
    doubt = np.array([1.0, 0.99, 0.98, 0.7, 0.6])
    assert most_doubtful(doubt, 3) == [0, 1, 2]
    chosen = herd(doubt, lambda i: features[i], unit([-1, 0, 0]), 3, np.random.default_rng(0))
    assert chosen[0] in (0, 1, 2)
    assert set(chosen[1:]) == {3, 4}


def test_what_labelled_texts_cover_is_not_bought_again() -> None:
    features = unit([1, 0, 0], [0, 1, 0])
    doubt = np.array([1.0, 0.5])
    rng = np.random.default_rng(0)
    assert herd(doubt, lambda i: features[i], unit([1, 0.01, 0]), 1, rng) == [1]
    assert herd(doubt, lambda i: features[i], unit([0, 1, 0.01]), 1, rng) == [0]


def test_a_crowd_counts_more_than_an_outlier_of_more_doubt() -> None:
    subsample = np.random.default_rng(1).normal([5, 0, 0], 0.3, (20, 3))
    features = unit(*subsample, [0, 0, 5])
    doubt = np.array([*[0.6] * 20, 1.0])
    rng = np.random.default_rng(0)
    assert most_doubtful(doubt, 1) == [20]
    assert herd(doubt, lambda i: features[i], unit([0, 5, 0]), 1, rng)[0] < 20


def test_more_are_wanted_than_there_are() -> None:
    features = unit([1, 0], [0, 1])
    chosen = herd(np.ones(2), lambda i: features[i], unit([1, 1]), 9, np.random.default_rng(0))
    assert sorted(chosen) == [0, 1]


def test_a_large_pool_is_stood_for_by_texts_drawn_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pgkd.tasks.classification.feedback.acquisition._SUBSAMPLE", 8)
    monkeypatch.setattr("pgkd.tasks.classification.feedback.acquisition._CANDIDATES", 5)
    features = unit(*np.random.default_rng(0).normal(size=(50, 4)))
    doubt = np.linspace(0, 1, 50)
    seen: list[int] = []

    def look(rows: NDArray[np.int64]) -> NDArray[np.float64]:
        seen.append(len(rows))
        return features[rows]

    chosen = herd(doubt, look, unit([1, 0, 0, 0]), 3, np.random.default_rng(0))
    assert sorted(seen) == [5, 8]
    assert min(chosen) >= 45  # among the least sure


def test_a_student_without_features_is_asked_for_its_doubt() -> None:
    texts, labels = make_rows(8)
    student = make_student("linear", tuple(sorted(TOPICS))).fit(texts, labels)
    pool = [texts[0], "invoice parcel", "login password", texts[1]]
    chosen = GuidedChoice(0)(student, pool, texts, 2)
    doubt = doubts(student.predict_proba(pool))
    assert chosen == most_doubtful(doubt, 2)
    assert doubt[chosen[0]] > doubt[0]


def test_the_control_draws_by_its_seed() -> None:
    draws = [RandomChoice(seed)(cast("Any", None), ["x"] * 50, [], 5) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    assert len(set(draws[0])) == 5
