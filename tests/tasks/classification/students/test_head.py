"""The linear head: classes without rows, weights, and how hyper-parameters are chosen."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.encoders.head import Calibration
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from pgkd.tasks.classification.students.tuning import SyntheticTexts, tune_head

if TYPE_CHECKING:
    from collections.abc import Sequence

CLASSES = ("a", "b", "c", "never seen")


def blobs(n: int, spread: float = 0.5) -> tuple[Any, list[str]]:
    """Rows of three classes around three corners, shape (n, 3)."""
    rng = np.random.default_rng(0)
    gold = np.arange(n) % 3
    return np.eye(3)[gold] + rng.normal(0, spread, (n, 3)), [CLASSES[i] for i in gold]


def tuned(strengths: tuple[float, ...], features: Any, labels: list[str]) -> HeadSettings:
    """What tuning chooses; the text of row 3 is "3"."""
    return tune_head(
        strengths,
        lambda seen, held: (features[list(map(int, seen))], features[list(map(int, held))]),
        list(map(str, range(len(labels)))), labels, CLASSES, seed=0,
    )[0]  # fmt: skip


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


def test_tuning_picks_a_penalty_that_fits_the_features() -> None:
    corners, labels = blobs(60)
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 3, (60, 1))  # what hides the corners has to be subtracted exactly
    crowded = np.hstack([corners, rng.normal(0, 0.3, (60, 200))])

    def chosen(features: Any) -> float:
        return tuned((1e-2, 1e-1, 1e1), features, labels).C

    assert chosen(np.hstack([corners / 2 + shared, shared])) == 1e1
    assert chosen(crowded) < 1e1


def test_tuning_never_sees_the_rows_it_is_judged_by() -> None:
    features, labels = blobs(30)
    asked = []

    def features_of(seen: Sequence[str], held: Sequence[str]) -> tuple[Any, Any]:
        asked.append((set(seen), set(held)))
        return features[list(map(int, seen))], features[list(map(int, held))]

    tune_head((1.0,), features_of, list(map(str, range(30))), labels, CLASSES, seed=0)
    assert len(asked) == 5
    assert all(not seen & held for seen, held in asked)
    assert set().union(*(held for _, held in asked)) == set(map(str, range(30)))


def synthetic_of(features: Any, labels: list[str], **changed: Any) -> tuple[Any, SyntheticTexts]:
    """Features of rows and texts by their numbers, and the texts, of which 60 are the rows."""
    n = len(labels) - 60
    given: dict[str, Any] = {
        "texts": list(map(str, range(60, len(labels)))), "labels": labels[60:],
        "weights": np.ones(n), "scaled": np.ones(n, dtype=bool), "candidates": (0.1, 1.0),
        "hidden": np.zeros((60, n), dtype=bool), **changed,
    }  # fmt: skip

    def features_of(seen: Sequence[str], held: Sequence[str]) -> tuple[Any, Any]:
        return features[list(map(int, seen))], features[list(map(int, held))]

    return features_of, SyntheticTexts(**given)


def weight_of(features_of: Any, labels: list[str], synthetic: SyntheticTexts) -> float:
    rows = list(map(str, range(60)))
    return tune_head((1.0,), features_of, rows, labels[:60], CLASSES, seed=0, synthetic=synthetic)[
        1
    ]


def test_texts_that_teach_get_the_larger_weight_and_wrong_ones_the_smaller() -> None:
    features, labels = blobs(660, spread=1.0)
    assert weight_of(*_right(features, labels)) == 1.0
    wrong = [*labels[:60], *(CLASSES[(CLASSES.index(label) + 1) % 3] for label in labels[60:])]
    features_of, synthetic = synthetic_of(features, wrong, candidates=(1.0, 0.1))
    assert weight_of(features_of, wrong, synthetic) == 0.1


def _right(features: Any, labels: list[str]) -> tuple[Any, list[str], SyntheticTexts]:
    features_of, synthetic = synthetic_of(features, labels)
    return features_of, labels, synthetic


def test_a_fold_never_trains_on_a_text_that_is_hidden_from_its_rows() -> None:
    features, labels = blobs(90)
    hidden = np.zeros((60, 30), dtype=bool)
    hidden[7, 3] = True
    features_of, synthetic = synthetic_of(features, labels, hidden=hidden)
    asked = []

    def noted(seen: Sequence[str], held: Sequence[str]) -> tuple[Any, Any]:
        asked.append((set(seen), set(held)))
        found: tuple[Any, Any] = features_of(seen, held)
        return found

    weight_of(noted, labels, synthetic)
    assert [("63" in seen) for seen, held in asked if "7" in held] == [False]
    assert all("63" in seen for seen, held in asked if "7" not in held)


def test_a_calibrated_head_is_the_same_head_with_other_logits() -> None:
    features, labels = blobs(30)
    labels = ["a" if label == "b" and i % 2 else label for i, label in enumerate(labels)]
    calibration = Calibration(temperature=0.5, prior_weight=0.7)
    plain = fit_head(features, labels, CLASSES, HeadSettings(C=1.0))
    calibrated = fit_head(features, labels, CLASSES, HeadSettings(C=1.0, calibration=calibration))
    counts = np.array([labels.count(c) for c in CLASSES]) + 0.5
    expected = (2 * plain.logits(features) + 0.7 * np.log(counts / counts.sum()))[:, :3]
    assert calibrated.logits(features)[:, :3] == pytest.approx(expected)
    assert np.isneginf(calibrated.logits(features)[:, 3]).all()


def test_tuned_probabilities_are_as_sure_as_they_are_right() -> None:
    features, labels = blobs(1200, spread=0.7)
    training, new = features[:600], features[600:]
    # A penalty so strong that all classes look alike.
    chosen = tuned((1e-2,), training, labels[:600])

    def probabilities(settings: HeadSettings) -> Any:
        return fit_head(training, labels[:600], CLASSES, settings).predict_proba(new)

    found = probabilities(chosen)
    predicted = [CLASSES[i] for i in found.argmax(axis=1)]
    accuracy = np.mean([a == b for a, b in zip(predicted, labels[600:], strict=True)])
    assert found.max(axis=1).mean() == pytest.approx(accuracy, abs=0.05)
    assert probabilities(HeadSettings(1e-2, "balanced")).max(axis=1).mean() < accuracy - 0.15


def test_settings_come_back_from_json() -> None:
    settings = HeadSettings(3.0, "balanced", Calibration(0.4, -0.3))
    assert HeadSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
