"""The linear student with many classes: fitted in fewer dimensions, and still the same student."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.tasks.classification.students import head, head_student, linear, load_student
from pgkd.tasks.classification.students.linear import LinearStudent

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = tuple(f"class {i:02d}" for i in range(40))


def rows(per_class: int, start: int = 0) -> tuple[list[str], list[str]]:
    """Rows of 40 classes, each with a word of its own among common ones."""
    texts, labels = [], []
    for j in range(start, start + per_class):
        for i, name in enumerate(CLASSES):
            texts.append(f"word{i * 7919 % 1000} and other{(i + j) * 31 % 97} on day {j * i % 50}")
            labels.append(name)
    return texts, labels


TEXTS, LABELS = rows(3)
FRESH, _ = rows(1, start=7)


@pytest.fixture
def widths(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Shapes of the features that heads are fitted to."""
    seen: list[tuple[int, int]] = []
    fit_head = head.fit_head

    def watched(features: Any, *given: Any) -> Any:
        seen.append(features.shape)
        return fit_head(features, *given)

    monkeypatch.setattr(head_student, "fit_head", watched)
    return seen


def as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_MANY_CLASSES", 10**9)


@pytest.mark.parametrize("repeated", [False, True])
def test_many_classes_are_fitted_in_as_many_dimensions_as_there_are_rows(
    monkeypatch: pytest.MonkeyPatch, widths: list[tuple[int, int]], repeated: bool
) -> None:
    texts = [*TEXTS, *TEXTS[:30], "?!"] if repeated else TEXTS
    labels = [*LABELS, *LABELS[:30], LABELS[0]] if repeated else LABELS
    weights = np.linspace(0.1, 1, len(texts))
    fast = LinearStudent(CLASSES).fit(texts, labels, weights)
    as_before(monkeypatch)
    slow = LinearStudent(CLASSES).fit(texts, labels, weights)
    (n, narrow), (_, wide) = widths
    assert narrow == n == len(texts) < wide / 2
    np.testing.assert_allclose(fast.predict_proba(FRESH), slow.predict_proba(FRESH), atol=1e-4)


def test_tuning_chooses_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    fast = LinearStudent(CLASSES).tune(TEXTS, LABELS, seed=0).head_settings
    as_before(monkeypatch)
    slow = LinearStudent(CLASSES).tune(TEXTS, LABELS, seed=0).head_settings
    assert (fast.C, fast.class_weight) == (slow.C, slow.class_weight)
    assert fast.calibration.temperature == pytest.approx(slow.calibration.temperature, rel=1e-3)


def test_few_classes_are_fitted_as_before(widths: list[tuple[int, int]]) -> None:
    chosen = [i for i, label in enumerate(LABELS) if label in CLASSES[:4]]
    LinearStudent(CLASSES[:4]).fit([TEXTS[i] for i in chosen], [LABELS[i] for i in chosen])
    assert widths[0][1] > widths[0][0]


def test_it_is_saved_with_its_terms(tmp_path: Path) -> None:
    student = LinearStudent(CLASSES).fit(TEXTS, LABELS)
    student.save(tmp_path / "student")
    again = load_student(tmp_path / "student")
    np.testing.assert_allclose(again.predict_proba(FRESH), student.predict_proba(FRESH))
