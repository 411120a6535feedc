"""The contract of a student, and the checks of what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.data.cells import check_texts
from pgkd.errors import StudentError
from pgkd.text import shown

if TYPE_CHECKING:
    from pgkd.task import Answer
    from pgkd.tasks.classification.students.tuning import SyntheticTexts


class Student(ABC):
    """A small classifier.

    A student is made for a fixed tuple of classes; column ``i`` of its probabilities is
    ``classes[i]``, also where it saw no row of that class.

    Attributes:
        kind: name of the student in configs and saved folders.
        classes: class names in column order.
    """

    kind: ClassVar[str]
    classes: tuple[str, ...]
    tuning: str = ""
    """A sentence about what `tune` chose; empty where there is nothing to report."""
    synthetic_weight: float = 1.0
    """The factor that `tune` chose for the weights of synthetic texts."""

    @abstractmethod
    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
        class_counts: NDArray[np.float64] | None = None,
    ) -> Self:
        """Train from scratch on n texts; earlier training is forgotten.

        Args:
            texts: n texts.
            labels: n class names.
            sample_weight: shape (n,), non-negative; None gives all rows the same weight.
            class_counts: shape (n_classes,), how often each class occurs where the student will be
                used; None counts the texts.

        Raises:
            StudentError: lengths differ, a label is unknown or only one class has rows.
        """

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes); every row sums to one.

        Raises:
            StudentError: the student was not fitted.
        """

    @abstractmethod
    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Unnormalized log probabilities, shape (n, n_classes); -inf for a class without texts.

        Raises:
            StudentError: the student was not fitted.
        """

    def features(self, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """Dense features of n texts, shape (n, width); None where the student has none."""
        return None

    @abstractmethod
    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: SyntheticTexts | None = None,
    ) -> Self:
        """Choose hyper-parameters by cross-validation on these rows.

        The loop calls it at round 0, and again whenever the number of synthetic texts has doubled.
        Settings that change every round make good rounds look harmful; settings that never change
        are those of a student with a tenth of the texts.

        Args:
            texts: n texts of the user.
            labels: their class names.
            seed: of the folds.
            synthetic: texts to train on with them, whose weight is chosen, too.
        """

    @abstractmethod
    def clone(self) -> Self:
        """An unfitted student with the same classes and hyper-parameters."""

    def reseeded(self, seed: int) -> Self | None:
        """A clone that trains with another seed; None where training is not random."""
        return None

    def proxy(self) -> Student:
        """An unfitted student that stands in for this one where many are trained.

        It has the same classes and hyper-parameters. It is a clone where training takes seconds; a
        slower student returns a faster one that judges texts about as well.
        """
        return self.clone()

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write everything that `load` needs into a folder, made if absent. Never a pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            StudentError: the folder is not a saved student of this kind.
        """

    def forget(self) -> None:
        """Empty caches of texts; predictions stay the same."""
        return

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text."""
        return [self.classes[i] for i in self.predict_proba(texts).argmax(axis=1)]

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `pgkd.task.Answering`: ``label`` and ``probability``."""
        return most_probable(self.predict_proba(inputs), self.classes)


def most_probable(probabilities: NDArray[np.float64], classes: Sequence[str]) -> list[Answer]:
    """The most probable class of each text, from probabilities of shape (n, n_classes)."""
    best = probabilities.argmax(axis=1)
    return [
        {"label": classes[i], "probability": float(row[i])}
        for i, row in zip(best, probabilities, strict=True)
    ]


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names in column order.

    Raises:
        StudentError: there are fewer than two, or one is repeated.
    """
    names = tuple(classes)
    if isinstance(classes, str) or len(names) < 2:
        raise StudentError("A student needs a list of at least two classes.")
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise StudentError(f"Repeated classes: {', '.join(map(shown, repeated[:5]))}.")
    return names


def usable_rows(
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    sample_weight: NDArray[np.float64] | None = None,
) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """Texts, labels and weights of the rows that have a positive weight.

    A row without weight counts as absent: a class that has only such rows is one without rows.

    Raises:
        StudentError: lengths differ, a text is not a string, a label is unknown, a weight is
            negative or not a number, or fewer than two classes have rows.
    """
    check_texts(texts)
    n = len(labels)
    if len(texts) != n:
        raise StudentError(f"{len(texts)} texts, but {n} labels.")
    if unknown := sorted({str(label) for label in labels} - set(classes)):
        raise StudentError(
            f"Labels that are not classes of this student: {', '.join(map(shown, unknown[:5]))}."
        )
    weights = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise StudentError(f"{n} rows, but {weights.size} weights.")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise StudentError("Sample weights must be numbers of at least 0.")
    rows = np.flatnonzero(weights > 0).tolist()
    used = [labels[i] for i in rows]
    if len(set(used)) < 2:
        raise StudentError("A student needs rows, of a weight above 0, of at least two classes.")
    return [texts[i] for i in rows], used, weights[rows]
