"""Trains and evaluates classifiers, and writes prompts by one of the two strategies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from pgkd.events import Event
from pgkd.task import Prompt
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.evaluation.metrics import evaluate, row_log_losses
from pgkd.tasks.classification.events import StudentTuned
from pgkd.tasks.classification.feedback.cross_validation import (
    OutOfFold,
    echoes,
    label_agreement,
    out_of_fold,
    row_weights,
)
from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation, mine
from pgkd.tasks.classification.prompts.writing import WritePrompt
from pgkd.tasks.classification.students.tuning import SyntheticTexts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student

_WHILE_JUDGED = 0.3  # what a text weighs while the others are judged
_ENOUGH_VALIDATION_ROWS = 1000  # from here on the validation rows alone can rank rounds


class PromptStrategy(Protocol):
    """How the prompts of a round are written."""

    def prompts(
        self, number: int, evaluation: ClassifierEvaluation, written: Sequence[LabelledText]
    ) -> Sequence[WritePrompt]:
        """The prompts of a round."""


class ClassificationLearner:
    """Joins a dataset, a student and a way to ask.

    Args:
        dataset: the classes and the rows.
        student: supplies kind and hyper-parameters, already tuned on the rows; never trained
            itself.
        strategy: writes the prompts.
        folds: shape (n_train,), the fold of every training row.
        seed: of tuning.
        weights: sample weights of a synthetic text to choose from, the likeliest first; called
            before the student is tuned.
        labelled_weight: gives that of a text of the pool that the teacher labelled; called when
            there is one.
        label_names: the class list as texts, which train like real rows; see `try_label_names`.
        large_prompts: whether one prompt shows rows of all folds, as the paper's does. Each of its
            texts is then hidden with every fold, and parent-aware predictions leave no row to mine
            after the first rounds; so mistakes are mined from others, which judge nothing.
        retunes: whether settings and weight are chosen anew when texts have doubled; otherwise the
            first of `weights` is taken.
        margin: see `Evaluation.margin`.
        on_event: hears what the student was tuned to.
    """

    def __init__(
        self,
        dataset: TextDataset,
        student: Student,
        strategy: PromptStrategy,
        *,
        folds: NDArray[np.int64],
        seed: int = 0,
        weights: Callable[[], Sequence[float]] = lambda: (1.0,),
        labelled_weight: Callable[[], float] = lambda: 1.0,
        label_names: Sequence[LabelledText] = (),
        large_prompts: bool = False,
        retunes: bool = True,
        margin: Callable[[], float] = lambda: 0.0,
        on_event: Callable[[Event], object] = lambda event: None,
    ) -> None:
        self._dataset = dataset
        self._student = student
        self._strategy = strategy
        self._folds = folds
        self._seed = seed
        self._candidates = weights
        self._weight = 1.0  # of the student trained last; round 0 has no texts
        self._agreement: dict[str, float] = {}
        self._labelled_weight = labelled_weight
        self._label_names = tuple(label_names)
        self._large_prompts = large_prompts
        self._retunes = retunes
        self._margin = margin
        self._on_event = on_event
        self._tuned_at = 0  # synthetic texts when it was tuned last
        labels = [row.label for row in dataset.train]
        self._counts = np.bincount(
            label_indices(labels, dataset.taxonomy.names), minlength=len(dataset.taxonomy)
        ).astype(np.float64)

    def train(self, written: Sequence[LabelledText]) -> Student:
        """A fresh student on the real rows, the class list and the synthetic texts."""
        synthetic = [text for text in written if text.is_synthetic and not text.human_verified]
        self._agreement = label_agreement(
            self._student, [*self._dataset.train, *self._label_names], synthetic, _WHILE_JUDGED,
            seed=self._seed,
        )  # fmt: skip
        if synthetic and not self._retunes:
            self._weight = self._candidates()[0]
        elif synthetic and len(synthetic) >= 2 * self._tuned_at:
            self._tune(written)
            self._tuned_at = len(synthetic)
        return self._fit(self._student.clone(), written)

    def _tune(self, written: Sequence[LabelledText]) -> None:
        """Choose the student's settings and the weight of synthetic texts anew."""
        rows, texts = self._dataset.train, [*self._label_names, *written]
        hidden = np.zeros((len(rows), len(texts)), dtype=bool)
        hidden[:, len(self._label_names) :] = echoes(self._student, rows, written)
        synthetic = SyntheticTexts(
            texts=[text.text for text in texts],
            labels=[text.label for text in texts],
            weights=self._weights(texts, written, weight=1.0),
            scaled=np.array([text.is_synthetic and not text.human_verified for text in texts]),
            candidates=self._candidates(),
            hidden=hidden,
        )
        self._student = self._student.clone().tune(
            [row.text for row in rows], [row.label for row in rows],
            seed=self._seed, synthetic=synthetic,
        )  # fmt: skip
        self._weight = self._student.synthetic_weight
        if self._student.tuning:
            self._on_event(StudentTuned(self._student.tuning))

    def probe(self, written: Sequence[LabelledText]) -> Student:
        """A student of the same rows that trains in seconds: to look at many texts with."""
        return self._fit(self._student.proxy(), written)

    def _weight_of_labelled(self, written: Sequence[LabelledText]) -> float | None:
        """What the texts of the pool weigh; None where there are none."""
        labelled = any(not text.is_synthetic for text in written)
        return self._labelled_weight() if labelled else None

    @property
    def synthetic_weight(self) -> float:
        """What a written text weighs in the student trained last."""
        return self._weight

    def _weights(
        self, rows: Sequence[LabelledText], written: Sequence[LabelledText], *, weight: float
    ) -> NDArray[np.float64]:
        labelled = self._weight_of_labelled(written) or 1.0
        return row_weights(rows, weight, labelled, self._agreement)

    def _fit(self, student: Student, written: Sequence[LabelledText]) -> Student:
        rows = [*self._dataset.train, *self._label_names, *written]
        weights = self._weights(rows, written, weight=self._weight)
        return student.fit(
            [row.text for row in rows], [row.label for row in rows], weights, self._counts
        )

    def evaluate(self, student: Student, written: Sequence[LabelledText]) -> ClassifierEvaluation:
        """Judge the student trained last on the validation rows, its kind on the training rows.

        Where no rows are held out for validation, the out-of-fold predictions judge alone.
        """
        dataset, classes = self._dataset, self._dataset.taxonomy.names
        found = self._out_of_fold(written, hidden=None)
        mined = found
        if self._large_prompts and written:
            nothing = np.zeros((len(dataset.train), len(written)), dtype=bool)
            mined = self._out_of_fold(written, hidden=nothing)
        gold = [row.label for row in dataset.train]
        judged = found.testable
        out_of_fold = evaluate(
            found.probabilities[judged],
            [label for label, use in zip(gold, judged, strict=True) if use],
            classes,
        )
        validation, losses = out_of_fold, np.empty(0)
        if dataset.validation:
            probabilities = student.predict_proba([row.text for row in dataset.validation])
            validation = evaluate(probabilities, [row.label for row in dataset.validation], classes)
            losses = self._losses(probabilities, dataset.validation)
        if len(dataset.validation) < _ENOUGH_VALIDATION_ROWS:
            folded = self._losses(found.probabilities, dataset.train)
            losses = np.concatenate([losses, np.where(judged, folded, np.nan)])
        return ClassifierEvaluation(
            validation=validation,
            out_of_fold=out_of_fold,
            mined=mine(dataset.train, mined.probabilities, classes, trusted=mined.testable),
            losses=losses,
            synthetic_weight=self._weight if any(text.is_synthetic for text in written) else None,
            labelled_weight=self._weight_of_labelled(written),
            margin=self._margin(),
        )

    def validation_losses(self, student: Student) -> NDArray[np.float64]:
        """What a student loses on each validation row, in nats, shape (n_validation,)."""
        rows = self._dataset.validation
        return self._losses(student.predict_proba([row.text for row in rows]), rows)

    def _out_of_fold(
        self, written: Sequence[LabelledText], *, hidden: NDArray[np.bool_] | None
    ) -> OutOfFold:
        return out_of_fold(
            self._student,
            self._dataset.train,
            written,
            self._folds,
            synthetic_weight=self._weight,
            labelled_weight=self._weight_of_labelled(written) or 1.0,
            label_names=self._label_names,
            agreement=self._agreement,
            hidden=hidden,
        )

    def prompts(
        self, number: int, evaluation: ClassifierEvaluation, written: Sequence[LabelledText]
    ) -> Sequence[Prompt]:
        """See `Learner.prompts`."""
        return self._strategy.prompts(number, evaluation, written)

    def _losses(
        self, probabilities: NDArray[np.float64], rows: Sequence[LabelledText]
    ) -> NDArray[np.float64]:
        """Losses among the classes that a judging row stands for, and the row's own.

        Texts of a class that no held-out row has can only seem to harm: probability moves to the
        class, and nobody is there to gain from it.
        """
        index = self._dataset.taxonomy.index
        gold = np.array([index[row.label] for row in rows], dtype=np.int64)
        judged = np.zeros(probabilities.shape, dtype=bool)
        judging = self._dataset.validation or self._dataset.train
        judged[:, sorted({index[row.label] for row in judging})] = True
        judged[np.arange(len(rows)), gold] = True
        among = np.where(judged, probabilities, 0.0)
        return row_log_losses(among / among.sum(axis=1, keepdims=True), gold)
