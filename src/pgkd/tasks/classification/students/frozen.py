"""What students share that train a linear head on features which no label has shaped."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pgkd.errors import StudentError
from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.students import saving
from pgkd.tasks.classification.students.base import Student
from pgkd.tasks.classification.students.checks import check_classes, check_texts, usable_rows
from pgkd.tasks.classification.students.head import (
    Head,
    HeadSettings,
    fit_head,
    log_prior,
    tune_head,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.head import Synthetic

_EMPTIED = ("threads",)  # settings of a machine, saved as null
_LEFT_OUT = ("device", "precision")  # the same, not saved: the defaults are not null


class FrozenStudent(Student):
    """A calibrated linear head on features of unit length.

    Args:
        classes: class names in column order.
        head: hyper-parameters of the head; `tune` chooses them.
        settings: what else the subclass is made with, as keyword arguments.
    """

    strengths: ClassVar[tuple[float, ...]]
    """Values of C that `tune` tries."""

    def __init__(self, classes: Sequence[str], head: HeadSettings, **settings: Any) -> None:
        self.classes = check_classes(classes)
        self._settings = settings
        self._head_settings = head
        self._head: Head | None = None

    @abstractmethod
    def _frozen_features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Features to train the head on, shape (n, width)."""

    def _features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Features to predict from, shape (n, width)."""
        return self._frozen_features(texts)

    @abstractmethod
    def _save_source(self, folder: Path) -> None:
        """Write what the features come from into the folder of a student."""

    @abstractmethod
    def _load_source(self, folder: Path) -> None:
        """Take the features from what `_save_source` wrote.

        Raises:
            StudentError: it is damaged.
        """

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
        class_counts: NDArray[np.float64] | None = None,
    ) -> Self:
        """See `Student.fit`."""
        texts, labels, weights = usable_rows(texts, labels, self.classes, sample_weight)
        if class_counts is None:
            prior = log_prior(columns_of(labels, self.classes), len(self.classes), weights)
        else:
            prior = log_prior(np.arange(len(self.classes)), len(self.classes), class_counts)
        self._head = self._train(texts, labels, weights, prior)
        return self

    def _train(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        weights: NDArray[np.float64],
        prior: NDArray[np.float64],
    ) -> Head:
        """A head for rows that were checked."""
        features = self._frozen_features(texts)
        return fit_head(features, labels, self.classes, self._head_settings, weights, prior)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.predict_proba`."""
        head = self._fitted_head("call fit first.")
        check_texts(texts)
        return head.predict_proba(self._features(texts))

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.logits`."""
        return self.head.logits(self._features(texts))

    def features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.features`."""
        check_texts(texts)
        return self._features(texts)

    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: Synthetic | None = None,
    ) -> Self:
        """Choose the head's hyper-parameters by cross-validation on frozen features."""
        texts, labels, _ = usable_rows(texts, labels, self.classes)
        found, self.synthetic_weight = tune_head(
            self.strengths,
            lambda seen, held: (self._frozen_features(seen), self._frozen_features(held)),
            texts, labels, self.classes, seed=seed, synthetic=synthetic,
        )  # fmt: skip
        self._head_settings = replace(found, fine_tuned=self._head_settings.fine_tuned)
        return self

    @property
    def head_settings(self) -> HeadSettings:
        """The hyper-parameters of the head, as given or as `tune` chose them."""
        return self._head_settings

    def clone(self) -> Self:
        """See `Student.clone`; what the features come from is shared."""
        return type(self)(self.classes, **self._settings, head=self._head_settings)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        head = self._fitted_head("there is nothing to save.")
        settings = {name: v for name, v in self._settings.items() if name not in _LEFT_OUT}
        description = {
            "kind": self.kind,
            "classes": list(self.classes),
            "settings": {name: None if name in _EMPTIED else v for name, v in settings.items()},
            "head": self._head_settings.to_json(),
        }
        saving.write(folder, description, {"weights": head.weights, "bias": head.bias})
        self._save_source(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        description, weights = saving.read(folder, cls.kind)
        try:
            head = HeadSettings.from_json(description["head"])
            student = cls(description["classes"], **description["settings"], head=head)
            student._head = Head(weights["weights"], weights["bias"])
        except (KeyError, TypeError) as error:
            raise StudentError(f"{folder} is damaged: {error!r}") from error
        student._load_source(folder)
        return student

    @property
    def head(self) -> Head:
        """The fitted head.

        Raises:
            StudentError: the student was not fitted.
        """
        return self._fitted_head("it has no head.")

    def _fitted_head(self, otherwise: str) -> Head:
        if self._head is None:
            raise StudentError(f"The student is not fitted yet: {otherwise}")
        return self._head
