"""A learner that cross-validates: for every kind of task that learns from rows and samples.

A student fits its few rows almost perfectly, so its mistakes on them say little. Out-of-fold
answers show the mistakes that it would make on new rows. Synthetic examples can echo the rows that
their prompt showed: a row held out takes along what was written from a look at it.

What a synthetic example weighs, against a row's 1, is chosen by the same folds: a strong teacher's
are worth nearly as much as rows, of a weak one's many are wrong.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pgkd.task import Answer, Evaluation, Example, Model, Prompt
from pgkd.tasks.common.rows import Rows

E = TypeVar("E", bound=Example)
S = TypeVar("S", bound=Model)

WEIGHTS = (1.0, 0.3, 0.1)
"""What a synthetic example may weigh; the first one is the guess before anything is known."""


@dataclass(frozen=True)
class Judged(Generic[E]):
    """Examples, a student's answers to them, and what it loses on each in nats, shape (n,)."""

    examples: tuple[E, ...]
    answers: tuple[Answer, ...]
    losses: NDArray[np.float64]


@dataclass(frozen=True)
class RowEvaluation(Evaluation, Generic[E]):
    """What a `RowLearner` knows of a round.

    Attributes:
        judged: what the figures are of.
        mined: the training rows, out of fold; the same where no rows are held out.
    """

    judged: Judged[E]
    mined: Judged[E]

    @abstractmethod
    def is_wrong(self, row: E, answer: Answer) -> bool:
        """Whether an answer is a mistake."""

    @property
    def mistakes(self) -> Sequence[Mapping[str, Any]]:
        """See `Evaluation.mistakes`; where an input has several texts, they are joined."""
        order = np.argsort(-self.judged.losses, kind="stable").tolist()
        pairs = [(self.judged.examples[i], self.judged.answers[i]) for i in order]
        return [
            {"id": row.id, "text": " | ".join(row.texts), "expected": row.output, "answer": answer}
            for row, answer in pairs
            if self.is_wrong(row, answer)
        ]

    @property
    def n(self) -> int:
        """See `Evaluation.n`."""
        return len(self.judged.examples)

    @property
    def held_out(self) -> bool:
        """See `Evaluation.held_out`."""
        return self.judged is not self.mined


class RowLearner(ABC, Generic[E, S]):
    """Trains students on the user's rows and on weighted synthetic examples.

    Args:
        dataset: the rows.
        folds: shape (n_train,), the fold of each training row, the same in every round.
        weights: of a synthetic example, to choose from.
    """

    def __init__(
        self, dataset: Rows[E], folds: NDArray[np.int64], weights: Sequence[float] = WEIGHTS
    ) -> None:
        self.dataset = dataset
        self._folds = folds
        self._weights = tuple(weights)
        self._weight = self._weights[0]
        self._chosen_at = -1  # synthetic examples when hyper-parameters were chosen last
        self._known: dict[tuple[float, tuple[E, ...]], Judged[E]] = {}  # out of fold

    @abstractmethod
    def fit(self, rows: Sequence[E], weights: NDArray[np.float64]) -> S:
        """A fresh student; `weights` has the shape (n,)."""

    def fit_fold(self, rows: Sequence[E], weights: NDArray[np.float64]) -> S:
        """The student of a fold; one that trains faster may stand for it."""
        return self.fit(rows, weights)

    @abstractmethod
    def judge(self, student: S, rows: Sequence[E]) -> Judged[E]:
        """The answers and losses of a student on rows that it was not trained on."""

    def tune(self, synthetic: Sequence[E]) -> None:
        """Choose other hyper-parameters anew; where they change, `forget_folds`."""
        return

    def judge_folds(self, held: Iterable[tuple[list[int], S]]) -> Judged[E]:
        """Judge the training rows.

        Args:
            held: row numbers of each fold, and a student that saw neither them nor their echoes.
        """
        rows = self.dataset.train
        answers, losses = list[Answer]([{}] * len(rows)), np.full(len(rows), np.nan)
        for numbers, student in held:
            judged = self.judge(student, [rows[i] for i in numbers])
            losses[numbers] = judged.losses
            for i, answer in zip(numbers, judged.answers, strict=True):
                answers[i] = answer
        return Judged(rows, tuple(answers), losses)

    def forget_folds(self) -> None:
        """Judge the training rows again, as they would be judged otherwise now."""
        self._known.clear()

    @abstractmethod
    def evaluation(self, judged: Judged[E], mined: Judged[E], **known: Any) -> Evaluation:
        """What is known of a round.

        Args:
            judged: what the figures are of: the validation rows, or the same as `mined`.
            mined: the training rows, out of fold: only these may be shown to the teacher.
            known: for `Evaluation`'s constructor: losses and weight.
        """

    @abstractmethod
    def prompts(self, number: int, evaluation: Any, synthetic: Sequence[E]) -> Sequence[Prompt]:
        """See `pgkd.task.Learner.prompts`."""

    def train(self, synthetic: Sequence[E]) -> S:
        """A student of all rows and samples. Hyper-parameters are chosen anew when samples double.

        A lighter weight is taken where it lowers the out-of-fold loss at all: what is lost by
        trusting a weak teacher is more than what is gained by trusting a strong one fully.
        """
        written = [row for row in synthetic if row.is_synthetic and not row.human_verified]
        if self._chosen_at < 0 or len(written) >= max(1, 2 * self._chosen_at):
            if written and len(self._weights) > 1:
                losses = [self._out_of_fold(synthetic, weight).losses for weight in self._weights]
                best = min(range(len(losses)), key=lambda i: float(np.nanmean(losses[i])))
                self._weight = self._weights[best]
            self._chosen_at = len(written)
            self.tune(synthetic)
        rows = [*self.dataset.train, *synthetic]
        return self.fit(rows, weigh(rows, self._weight))

    def evaluate(self, student: S, synthetic: Sequence[E]) -> Evaluation:
        """See `pgkd.task.Learner.evaluate`."""
        mined = self._out_of_fold(synthetic, self._weight)
        judged, losses = mined, mined.losses
        if self.dataset.validation:
            judged = self.judge(student, self.dataset.validation)
            losses = np.concatenate([judged.losses, mined.losses])
        weight = self._weight if any(row.is_synthetic for row in synthetic) else None
        return self.evaluation(judged, mined, losses=losses, synthetic_weight=weight)

    def _out_of_fold(self, synthetic: Sequence[E], weight: float) -> Judged[E]:
        """Answers to the training rows by students that saw neither them nor their echoes."""
        key = (weight if synthetic else 1.0, tuple(synthetic))
        if key in self._known:
            return self._known[key]
        self._known = {k: v for k, v in self._known.items() if k[1] == key[1]}
        self._known[key] = self.judge_folds(self._fold_students(synthetic, weight))
        return self._known[key]

    def _fold_students(
        self, synthetic: Sequence[E], weight: float
    ) -> Iterator[tuple[list[int], S]]:
        for fold in np.unique(self._folds).tolist():
            training, held = self.split(fold, synthetic)
            yield held, self.fit_fold(training, weigh(training, weight))

    def split(self, fold: int, synthetic: Sequence[E]) -> tuple[list[E], list[int]]:
        """What to train on where a fold is held out, without its echoes; and its row numbers."""
        rows, held = self.dataset.train, np.flatnonzero(self._folds == fold).tolist()
        ids = {rows[i].id for i in held}
        texts = [s for s in synthetic if not (s.origin and ids & set(s.origin.parents))]
        return [*(row for row in rows if row.id not in ids), *texts], held


def weigh(rows: Sequence[Example], weight: float) -> NDArray[np.float64]:
    """Sample weights, shape (n,): 1 for the user's rows and for what a person has verified."""
    return np.array([1.0 if r.is_real or r.human_verified else weight for r in rows])
