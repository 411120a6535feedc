"""The contract of a student: fit, predict_proba, save, load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.head import Synthetic


class Student(ABC):
    """A classifier small enough to own.

    A student is made for a fixed tuple of classes; column ``i`` of its probabilities is
    ``classes[i]``, also where no row of that class was seen.

    Attributes:
        kind: name of the student in configs and saved folders.
        classes: class names in column order.
    """

    kind: ClassVar[str]
    classes: tuple[str, ...]
    tuning: str = ""
    """What `tune` chose, in words; empty where there is nothing to tell."""
    synthetic_weight: float = 1.0
    """What `tune` chose for synthetic texts: a factor of their weights."""

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
            sample_weight: shape (n,), non-negative; None weighs all rows alike.
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
        """What it sees of n texts, shape (n, width); None where it has no dense features."""
        return None

    @abstractmethod
    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: Synthetic | None = None,
    ) -> Self:
        """Choose hyper-parameters by cross-validation on these rows, and keep them.

        The loop calls it at round 0, and again whenever the synthetic texts have doubled: chosen
        anew every round, settings make rounds look harmful that are not; never chosen again, they
        are those of a student with a tenth of the texts.

        Args:
            texts: n texts of the user.
            labels: their class names.
            seed: of the folds.
            synthetic: texts that train beside them, and whose weight is chosen, too.
        """

    @abstractmethod
    def clone(self) -> Self:
        """An unfitted student with the same classes and hyper-parameters."""

    def reseeded(self, seed: int) -> Self | None:
        """A clone that trains with another seed; None where training does not depend on it."""
        return None

    def probe(self) -> Student:
        """The student that stands for this one where many are trained, in cross-validation.

        Unfitted, with the same classes and hyper-parameters. It is a clone where training is
        quick; a student whose training is not names one that tells much the same in seconds.
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
        """Drop what is remembered of texts to save time; answers stay the same."""
        return

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text."""
        return [self.classes[i] for i in self.predict_proba(texts).argmax(axis=1)]
