"""The guide of a classification task: trains, assesses, and asks in one of the two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from pgkd.evaluation import evaluate, row_log_losses
from pgkd.guidance.base import Assessment
from pgkd.guidance.crossval import OutOfFold, out_of_fold
from pgkd.guidance.mining import mine
from pgkd.guidance.weighting import lightest_weight, row_weights, safe_guess

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.guidance.asking import Ask
    from pgkd.student.base import Student
    from pgkd.task import Example, Task

_ENOUGH_VALIDATION_ROWS = 1000  # from here on the validation rows alone can rank rounds


class Asking(Protocol):
    """One of the ways to ask."""

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """The requests of a round."""


class ClassificationGuide:
    """Joins a task, a student and a way to ask.

    Args:
        task: the classes and the rows.
        student: supplies kind and hyper-parameters, already tuned; never trained itself.
        asking: the way to ask.
        folds: shape (n_train,), the fold of every training row.
        written_weight: sample weight of a written text; None fits it anew every round, on the
            validation rows.
        labelled_weight: gives that of a text of the pool that the teacher labelled; called when
            there is one.
        class_list: the class list as texts, which train like real rows; see `try_class_list`.
        large_prompts: whether one prompt shows rows of all folds, as the paper's does. Each of its
            texts is then hidden with every fold, and parent-aware predictions leave no row to mine
            after the first rounds; so mistakes are mined from others, which judge nothing.
    """

    def __init__(
        self,
        task: Task,
        student: Student,
        asking: Asking,
        *,
        folds: NDArray[np.int64],
        written_weight: float | None = None,
        labelled_weight: Callable[[], float] = lambda: 1.0,
        class_list: Sequence[Example] = (),
        large_prompts: bool = False,
    ) -> None:
        self._task = task
        self._student = student
        self._asking = asking
        self._folds = folds
        self._given_weight = written_weight
        self._weight = written_weight or 1.0  # of the student trained last; round 0 has no texts
        self._labelled_weight = labelled_weight
        self._class_list = tuple(class_list)
        self._large_prompts = large_prompts

    def train(self, written: Sequence[Example]) -> Student:
        """A fresh student on the real rows, the class list and the written texts."""
        if self._given_weight is None and any(text.is_written for text in written):

            def losses(weight: float) -> NDArray[np.float64]:
                return self.validation_losses(self._fit(self._student.probe(), written, weight))

            self._weight = lightest_weight(losses, unjudged=safe_guess(written))
        return self._fit(self._student.clone(), written, self._weight)

    def probe(self, written: Sequence[Example]) -> Student:
        """A student of the same rows that trains in seconds: to look at many texts with."""
        return self._fit(self._student.probe(), written, self._weight)

    def _weight_of_labelled(self, written: Sequence[Example]) -> float | None:
        """What the texts of the pool weigh; None where there are none."""
        labelled = any(not text.is_written for text in written)
        return self._labelled_weight() if labelled else None

    @property
    def written_weight(self) -> float:
        """What a written text weighs in the student trained last."""
        return self._weight

    def _fit(self, student: Student, written: Sequence[Example], weight: float) -> Student:
        rows = [*self._task.train, *self._class_list, *written]
        weights = row_weights(rows, weight, self._weight_of_labelled(written) or 1.0)
        return student.fit([row.text for row in rows], [row.label for row in rows], weights)

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """Judge the student trained last on the validation rows, its kind on the training rows."""
        task, classes = self._task, self._task.taxonomy.names
        validation = student.predict_proba([row.text for row in task.validation])
        honest = self._out_of_fold(written, parent_aware=True)
        mined = honest
        if self._large_prompts and written:
            mined = self._out_of_fold(written, parent_aware=False)
        gold = [row.label for row in task.train]
        judged = honest.testable
        losses = self._losses(validation, task.validation)
        if len(task.validation) < _ENOUGH_VALIDATION_ROWS:
            folded = self._losses(honest.probabilities, task.train)
            losses = np.concatenate([losses, np.where(judged, folded, np.nan)])
        return Assessment(
            validation=evaluate(validation, [row.label for row in task.validation], classes),
            out_of_fold=evaluate(
                honest.probabilities[judged],
                [label for label, use in zip(gold, judged, strict=True) if use],
                classes,
            ),
            mined=mine(task.train, mined.probabilities, classes, trusted=mined.testable),
            losses=losses,
            written_weight=self._weight if any(text.is_written for text in written) else None,
            labelled_weight=self._weight_of_labelled(written),
        )

    def validation_losses(self, student: Student) -> NDArray[np.float64]:
        """What a student loses on each validation row, in nats, shape (n_validation,)."""
        rows = self._task.validation
        return self._losses(student.predict_proba([row.text for row in rows]), rows)

    def _out_of_fold(self, written: Sequence[Example], *, parent_aware: bool) -> OutOfFold:
        return out_of_fold(
            self._student,
            self._task.train,
            written,
            self._folds,
            written_weight=self._weight,
            labelled_weight=self._weight_of_labelled(written) or 1.0,
            class_list=self._class_list,
            parent_aware=parent_aware,
        )

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """The requests of round `number`."""
        return self._asking.ask(number, assessment, written)

    def _losses(
        self, probabilities: NDArray[np.float64], rows: Sequence[Example]
    ) -> NDArray[np.float64]:
        """Losses among the classes that a validation row stands for, and the row's own.

        Texts of a class that no held-out row has can only seem to harm: probability moves to the
        class, and nobody is there to gain from it.
        """
        index = self._task.taxonomy.index
        gold = np.array([index[row.label] for row in rows], dtype=np.int64)
        judged = np.zeros(probabilities.shape, dtype=bool)
        judged[:, sorted({index[row.label] for row in self._task.validation})] = True
        judged[np.arange(len(rows)), gold] = True
        among = np.where(judged, probabilities, 0.0)
        return row_log_losses(among / among.sum(axis=1, keepdims=True), gold)
