"""The guide of a classification task: trains, assesses, and asks in one of the two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from pgkd.task import Assessment
from pgkd.tasks.classification.data.columns import columns_of
from pgkd.tasks.classification.evaluation.metrics import evaluate, row_log_losses
from pgkd.tasks.classification.feedback.crossval import OutOfFold, echoes, out_of_fold
from pgkd.tasks.classification.feedback.mining import mine
from pgkd.tasks.classification.feedback.weighting import label_agreement, row_weights
from pgkd.tasks.classification.students.head import Synthetic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.data.example import Example
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.students.base import Student

_WHILE_JUDGED = 0.3  # what a text weighs while the others are judged
_ENOUGH_VALIDATION_ROWS = 1000  # from here on the validation rows alone can rank rounds


class Asking(Protocol):
    """One of the ways to ask."""

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """The requests of a round."""


class ClassificationGuide:
    """Joins a task, a student and a way to ask.

    Args:
        task: the classes and the rows.
        student: supplies kind and hyper-parameters, already tuned on the rows; never trained
            itself.
        asking: the way to ask.
        folds: shape (n_train,), the fold of every training row.
        seed: of tuning.
        weights: sample weights of a synthetic text to choose from, the likeliest first; called
            before the student is tuned.
        labelled_weight: gives that of a text of the pool that the teacher labelled; called when
            there is one.
        class_list: the class list as texts, which train like real rows; see `try_class_list`.
        large_prompts: whether one prompt shows rows of all folds, as the paper's does. Each of its
            texts is then hidden with every fold, and parent-aware predictions leave no row to mine
            after the first rounds; so mistakes are mined from others, which judge nothing.
        retunes: whether settings and weight are chosen anew when texts have doubled; otherwise the
            first of `weights` is taken.
        on_tuned: hears what the student was tuned to.
    """

    def __init__(
        self,
        task: Task,
        student: Student,
        asking: Asking,
        *,
        folds: NDArray[np.int64],
        seed: int = 0,
        weights: Callable[[], Sequence[float]] = lambda: (1.0,),
        labelled_weight: Callable[[], float] = lambda: 1.0,
        class_list: Sequence[Example] = (),
        large_prompts: bool = False,
        retunes: bool = True,
        on_tuned: Callable[[str], object] = lambda tuning: None,
    ) -> None:
        self._task = task
        self._student = student
        self._asking = asking
        self._folds = folds
        self._seed = seed
        self._candidates = weights
        self._weight = 1.0  # of the student trained last; round 0 has no texts
        self._agreement: dict[str, float] = {}
        self._labelled_weight = labelled_weight
        self._class_list = tuple(class_list)
        self._large_prompts = large_prompts
        self._retunes = retunes
        self._on_tuned = on_tuned
        self._tuned_at = 0  # synthetic texts when it was tuned last
        labels = [row.label for row in task.train]
        self._counts = np.bincount(
            columns_of(labels, task.taxonomy.names), minlength=len(task.taxonomy)
        ).astype(np.float64)

    def train(self, written: Sequence[Example]) -> Student:
        """A fresh student on the real rows, the class list and the synthetic texts."""
        synthetic = [text for text in written if text.is_written and not text.human_verified]
        self._agreement = label_agreement(
            self._student, [*self._task.train, *self._class_list], synthetic, _WHILE_JUDGED,
            seed=self._seed,
        )  # fmt: skip
        if synthetic and not self._retunes:
            self._weight = self._candidates()[0]
        elif synthetic and len(synthetic) >= 2 * self._tuned_at:
            self._tune(written)
            self._tuned_at = len(synthetic)
        return self._fit(self._student.clone(), written)

    def _tune(self, written: Sequence[Example]) -> None:
        """Choose the student's settings and the weight of synthetic texts anew."""
        rows, texts = self._task.train, [*self._class_list, *written]
        hidden = np.zeros((len(rows), len(texts)), dtype=bool)
        hidden[:, len(self._class_list) :] = echoes(self._student, rows, written)
        synthetic = Synthetic(
            texts=[text.text for text in texts],
            labels=[text.label for text in texts],
            weights=self._weights(texts, written, weight=1.0),
            scaled=np.array([text.is_written and not text.human_verified for text in texts]),
            candidates=self._candidates(),
            hidden=hidden,
        )
        self._student = self._student.clone().tune(
            [row.text for row in rows], [row.label for row in rows],
            seed=self._seed, synthetic=synthetic,
        )  # fmt: skip
        self._weight = self._student.synthetic_weight
        if self._student.tuning:
            self._on_tuned(self._student.tuning)

    def probe(self, written: Sequence[Example]) -> Student:
        """A student of the same rows that trains in seconds: to look at many texts with."""
        return self._fit(self._student.probe(), written)

    def _weight_of_labelled(self, written: Sequence[Example]) -> float | None:
        """What the texts of the pool weigh; None where there are none."""
        labelled = any(not text.is_written for text in written)
        return self._labelled_weight() if labelled else None

    @property
    def written_weight(self) -> float:
        """What a written text weighs in the student trained last."""
        return self._weight

    def _weights(
        self, rows: Sequence[Example], written: Sequence[Example], *, weight: float
    ) -> NDArray[np.float64]:
        labelled = self._weight_of_labelled(written) or 1.0
        return row_weights(rows, weight, labelled, self._agreement)

    def _fit(self, student: Student, written: Sequence[Example]) -> Student:
        rows = [*self._task.train, *self._class_list, *written]
        weights = self._weights(rows, written, weight=self._weight)
        return student.fit(
            [row.text for row in rows], [row.label for row in rows], weights, self._counts
        )

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """Judge the student trained last on the validation rows, its kind on the training rows.

        Where no rows are held out for validation, the out-of-fold predictions judge alone.
        """
        task, classes = self._task, self._task.taxonomy.names
        found = self._out_of_fold(written, hidden=None)
        mined = found
        if self._large_prompts and written:
            nothing = np.zeros((len(task.train), len(written)), dtype=bool)
            mined = self._out_of_fold(written, hidden=nothing)
        gold = [row.label for row in task.train]
        judged = found.testable
        out_of_fold = evaluate(
            found.probabilities[judged],
            [label for label, use in zip(gold, judged, strict=True) if use],
            classes,
        )
        validation, losses = out_of_fold, np.empty(0)
        if task.validation:
            probabilities = student.predict_proba([row.text for row in task.validation])
            validation = evaluate(probabilities, [row.label for row in task.validation], classes)
            losses = self._losses(probabilities, task.validation)
        if len(task.validation) < _ENOUGH_VALIDATION_ROWS:
            folded = self._losses(found.probabilities, task.train)
            losses = np.concatenate([losses, np.where(judged, folded, np.nan)])
        return Assessment(
            validation=validation,
            out_of_fold=out_of_fold,
            mined=mine(task.train, mined.probabilities, classes, trusted=mined.testable),
            losses=losses,
            written_weight=self._weight if any(text.is_written for text in written) else None,
            labelled_weight=self._weight_of_labelled(written),
        )

    def validation_losses(self, student: Student) -> NDArray[np.float64]:
        """What a student loses on each validation row, in nats, shape (n_validation,)."""
        rows = self._task.validation
        return self._losses(student.predict_proba([row.text for row in rows]), rows)

    def _out_of_fold(
        self, written: Sequence[Example], *, hidden: NDArray[np.bool_] | None
    ) -> OutOfFold:
        return out_of_fold(
            self._student,
            self._task.train,
            written,
            self._folds,
            written_weight=self._weight,
            labelled_weight=self._weight_of_labelled(written) or 1.0,
            class_list=self._class_list,
            agreement=self._agreement,
            hidden=hidden,
        )

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """The requests of round `number`."""
        return self._asking.ask(number, assessment, written)

    def _losses(
        self, probabilities: NDArray[np.float64], rows: Sequence[Example]
    ) -> NDArray[np.float64]:
        """Losses among the classes that a judging row stands for, and the row's own.

        Texts of a class that no held-out row has can only seem to harm: probability moves to the
        class, and nobody is there to gain from it.
        """
        index = self._task.taxonomy.index
        gold = np.array([index[row.label] for row in rows], dtype=np.int64)
        judged = np.zeros(probabilities.shape, dtype=bool)
        judging = self._task.validation or self._task.train
        judged[:, sorted({index[row.label] for row in judging})] = True
        judged[np.arange(len(rows)), gold] = True
        among = np.where(judged, probabilities, 0.0)
        return row_log_losses(among / among.sum(axis=1, keepdims=True), gold)
