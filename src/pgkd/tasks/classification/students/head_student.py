"""A student with a calibrated linear head on features of texts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.data.cells import check_texts
from pgkd.encoders.head import Head
from pgkd.errors import StudentError
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.students.base import (
    Student,
    check_classes,
    usable_rows,
)
from pgkd.tasks.classification.students.head import HeadSettings, fit_head, log_prior
from pgkd.tasks.classification.students.tuning import SyntheticTexts, tune_head
from pgkd.tasks.common import saving

_SAVED_AS_NULL = ("threads",)  # settings of a machine
_NOT_SAVED = ("device", "precision")  # the same, whose defaults are not null


class HeadStudent(Student):
    """What all students share.

    Args:
        classes: class names in column order.
        head: hyper-parameters of the head; `tune` chooses them.
        settings: the other keyword arguments that the subclass is made with.
    """

    strengths: ClassVar[tuple[float, ...]]
    """Values of C that `tune` tries."""

    def __init__(self, classes: Sequence[str], head: HeadSettings, **settings: Any) -> None:
        self.classes = check_classes(classes)
        self._settings = settings
        self._head_settings = head
        self._head: Head | None = None

    @abstractmethod
    def _features(self, texts: Sequence[str]) -> Any:
        """Features to predict from, shape (n, width)."""

    def _training_features(self, texts: Sequence[str]) -> Any:
        """Features to fit the head to, shape (n, width)."""
        return self._features(texts)

    def _split_features(self, training: Sequence[str], held_out: Sequence[str]) -> tuple[Any, Any]:
        """Features of the texts of a fold: to fit to, and held out."""
        return self._training_features(training), self._training_features(held_out)

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """What else to save: plain data and arrays."""
        return {}, {}

    def _restore(self, data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take back what `_state` returned, among other data and arrays."""

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
        class_counts: NDArray[np.float64] | None = None,
    ) -> Self:
        """See `Student.fit`."""
        texts, labels, weights = usable_rows(texts, labels, self.classes, sample_weight)
        gold = label_indices(labels, self.classes)
        counts = np.bincount(gold, weights, minlength=len(self.classes))
        prior = log_prior(counts if class_counts is None else class_counts)
        self._head = self._train(texts, labels, weights, prior)
        return self

    def _train(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        weights: NDArray[np.float64],
        prior: NDArray[np.float64],
    ) -> Head:
        """Fit a head to checked rows."""
        features = self._training_features(texts)
        return self._fit_head(features, labels, self.classes, self._head_settings, weights, prior)

    def _fit_head(self, *args: Any) -> Head:
        """See `fit_head`, whose arguments it takes; for kinds of task with a head of their own."""
        return fit_head(*args)

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.predict_proba`."""
        head = self.head
        check_texts(texts)
        if not len(texts):
            return np.empty((0, len(self.classes)))
        return head.predict_proba(self._features(texts))

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.logits`."""
        return self.head.logits(self._features(texts))

    def features(self, texts: Sequence[str]) -> NDArray[np.float64] | None:
        """See `Student.features`."""
        check_texts(texts)
        features: NDArray[np.float64] = self._features(texts)
        return features

    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: SyntheticTexts | None = None,
    ) -> Self:
        """Choose the head's hyper-parameters by cross-validation."""
        texts, labels, _ = usable_rows(texts, labels, self.classes)
        found, self.synthetic_weight = self._tune_head(texts, labels, seed, synthetic)
        self._head_settings = replace(found, fine_tuned=self._head_settings.fine_tuned)
        return self

    def _tune_head(
        self, texts: Sequence[str], labels: Sequence[str], seed: int, added: SyntheticTexts | None
    ) -> tuple[HeadSettings, float]:
        """The settings of the head, and the weight of synthetic texts."""
        return self._judge_heads(self.strengths, texts, labels, seed, added)[:2]

    def _judge_heads(
        self,
        strengths: Sequence[float],
        texts: Sequence[str],
        labels: Sequence[str],
        seed: int,
        added: SyntheticTexts | None,
    ) -> tuple[HeadSettings, float, float]:
        """See `tune_head`."""
        return tune_head(
            strengths, self._split_features, texts, labels, self.classes,
            seed=seed, synthetic=added, fit=self._fit_head,
        )  # fmt: skip

    @property
    def head(self) -> Head:
        """The fitted head.

        Raises:
            StudentError: the student was not fitted.
        """
        if self._head is None:
            raise StudentError("The student is not fitted yet. Call fit first.")
        return self._head

    @property
    def head_settings(self) -> HeadSettings:
        """The hyper-parameters of the head, as given or as `tune` chose them."""
        return self._head_settings

    def clone(self) -> Self:
        """See `Student.clone`; the source of the features is shared."""
        return type(self)(self.classes, **self._settings, head=self._head_settings)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        head = self.head
        data, arrays = self._state()
        settings = {name: v for name, v in self._settings.items() if name not in _NOT_SAVED}
        description = {
            "kind": self.kind,
            "classes": list(self.classes),
            "settings": {n: None if n in _SAVED_AS_NULL else v for n, v in settings.items()},
            "head": self._head_settings.to_json(),
            **data,
        }
        weights = {"weights": head.weights, "bias": head.bias, **arrays}
        saving.write(folder, description, weights)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        description, weights = saving.read(folder, cls.kind)
        try:
            head = HeadSettings.from_json(description["head"])
            student = cls(description["classes"], **description["settings"], head=head)
            student._head = Head(weights["weights"], weights["bias"])
            student._restore(description, weights)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise StudentError(f"{folder} is damaged: {error!r}") from error
        return student
