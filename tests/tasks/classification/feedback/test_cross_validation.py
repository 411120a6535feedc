"""Cross-validation that knows echoes: no prediction of a row by who saw it, or a copy of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pytest

from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.feedback.cross_validation import echoes, out_of_fold
from pgkd.tasks.classification.students.base import Student

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Spy(Student):
    """Remembers what each clone was trained on and asked for."""

    kind = "spy"

    def __init__(self, classes: Sequence[str], log: list[Any]) -> None:
        self.classes = tuple(classes)
        self._log = log

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: Any = None,
        class_counts: Any = None,
    ) -> Self:
        self._trained = (set(texts), list(sample_weight))
        return self

    def predict_proba(self, texts: Sequence[str]) -> Any:
        self._log.append((*self._trained, set(texts)))
        return np.full((len(texts), len(self.classes)), 1 / len(self.classes))

    def logits(self, texts: Sequence[str]) -> Any:
        return np.zeros((len(texts), len(self.classes)))

    def tune(
        self, texts: Sequence[str], labels: Sequence[str], *, seed: int, synthetic: Any = None
    ) -> Self:
        return self

    def clone(self) -> Self:
        return type(self)(self.classes, self._log)

    def save(self, folder: Path) -> None:
        raise NotImplementedError

    @classmethod
    def load(cls, folder: Path) -> Self:
        raise NotImplementedError


REAL = [LabelledText(f"real {i}", "ab"[i % 2], f"train:{i}") for i in range(6)]
FOLDS = np.array([0, 0, 1, 1, 2, 2])


def written(number: int, label: str, *parents: int) -> LabelledText:
    shown = tuple(f"train:{i}" for i in parents)
    return LabelledText(
        f"written {number}", label, f"r1-{number}", Origin(1, f"r1-{number}", shown)
    )


def test_a_row_is_never_predicted_by_who_saw_it_or_a_text_written_from_it() -> None:
    log: list[Any] = []
    texts = [written(1, "a", 0), written(2, "b", 3, 5), written(3, "a")]
    out_of_fold(Spy("ab", log), REAL, texts, FOLDS)
    assert [asked for _, _, asked in log] == [
        {"real 0", "real 1"},
        {"real 2", "real 3"},
        {"real 4", "real 5"},
    ]
    for trained, _, asked in log:
        assert trained.isdisjoint(asked)
    assert "written 1" not in log[0][0]
    assert "written 2" in log[0][0]
    assert "written 2" not in log[1][0] | log[2][0]
    assert all("written 3" in trained for trained, _, _ in log)


def test_written_texts_bring_their_weight() -> None:
    log: list[Any] = []
    out_of_fold(Spy("ab", log), REAL, [written(1, "a")], FOLDS, synthetic_weight=0.3)
    assert [weights for _, weights, _ in log] == [[1.0] * 4 + [0.3]] * 3


def test_a_row_whose_class_has_lost_its_texts_cannot_judge() -> None:
    """A rare class's texts were all written from its one row: its fold sees only their harm."""
    real = [*REAL, LabelledText("only c", "c", "train:6")]
    folds = np.array([*FOLDS, 0])
    texts = [written(1, "c", 6), written(2, "c", 6)]
    found = out_of_fold(Spy("abc", []), real, texts, folds)
    assert found.testable.tolist() == [True] * 6 + [False]


@pytest.mark.parametrize(("parents", "testable"), [((), True), ((6,), False)])
def test_half_of_the_texts_have_to_survive(parents: tuple[int, ...], testable: bool) -> None:
    real = [*REAL, LabelledText("a c", "c", "train:6"), LabelledText("another c", "c", "train:7")]
    folds = np.array([*FOLDS, 0, 1])
    found = out_of_fold(Spy("abc", []), real, [written(1, "c", *parents)], folds)
    assert bool(found.testable[6]) is testable


class Placed(Spy):
    """A student whose features are where the last word of a text says."""

    def features(self, texts: Sequence[str]) -> Any:
        angles = [float(text.split()[-1]) for text in texts]
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_a_text_echoes_a_row_only_if_it_saw_it_and_is_nearer_than_texts_usually_are() -> None:
    real = [LabelledText(f"row at {i / 10}", "a", f"train:{i}") for i in range(12)]
    shown = Origin(1, "r1-1", ("train:0",))
    texts = [
        LabelledText("a copy of the first at 0.001", "a", "r1-1-1", shown),
        LabelledText("something else at 0.6", "a", "r1-1-2", shown),
        LabelledText("by chance at 0.1001", "a", "r1-2-1", Origin(1, "r1-2")),
    ]
    found = echoes(Placed("ab", []), real, texts)
    assert found[0].tolist() == [True, False, False]
    assert not found[1:].any()


def test_without_features_every_text_echoes_what_it_saw() -> None:
    texts = [written(1, "a", 0), written(2, "b")]
    assert echoes(Spy("ab", []), REAL, texts).sum() == 1
