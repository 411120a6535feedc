"""Honest predictions for the user's own rows: out of fold, and aware of parents.

A student fits its few hundred training rows almost perfectly, so its mistakes on them say little.
Out-of-fold predictions show the mistakes it would make on new rows. Written texts echo the rows
that the teacher was shown; a row held out therefore takes along every text whose prompt showed it,
else the loss of a fold flatters the round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.guidance.weighting import row_weights

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.student.base import Student
    from pgkd.task.example import Example

_SURVIVING_SHARE = 0.5  # of a class's texts: with fewer in its fold, a row cannot judge them


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of students that saw neither the row nor a text written from a look at it.

    Attributes:
        probabilities: shape (n_real, n_classes); uniform where a fold left one class to train on.
        testable: shape (n_real,). False where the fold could not show what the full student would
            do: no row and no text of the class was left, or over half of its texts had to go
            along with the rows held out. Such rows see the harm of a text and never its use.
    """

    probabilities: NDArray[np.float64]
    testable: NDArray[np.bool_]


def out_of_fold(
    student: Student,
    real: Sequence[Example],
    written: Sequence[Example],
    folds: NDArray[np.int64],
    *,
    written_weight: float = 1.0,
    labelled_weight: float = 1.0,
    class_list: Sequence[Example] = (),
    parent_aware: bool = True,
) -> OutOfFold:
    """Cross-validate a student over the real rows, parent-aware.

    Args:
        student: its probe is trained, once a fold.
        real: n_real rows of the user.
        written: texts of the teacher; they train and are never predicted.
        folds: shape (n_real,), the fold that holds out each row; the same in every round, so that
            rounds can be compared row by row.
        written_weight: sample weight of a written text; a real row weighs 1.
        labelled_weight: of a text of the pool that has its label from the teacher.
        class_list: the class list as texts; they train in every fold and weigh 1.
        parent_aware: whether a row takes along the texts whose prompt showed it. Without, losses
            flatter and cannot judge a round, but mistakes are mistakes all the same.
    """
    probabilities = np.full((len(real), len(student.classes)), 1 / len(student.classes))
    testable = np.zeros(len(real), dtype=bool)
    texts_of = Counter(example.label for example in written)
    for held, training, texts in _folds(real, written, folds, parent_aware):
        rows = [*training, *class_list, *texts]
        known = {row.label for row in rows}
        if len(known) < 2:
            continue
        weights = row_weights(rows, written_weight, labelled_weight)
        fitted = student.probe().fit([r.text for r in rows], [r.label for r in rows], weights)
        probabilities[held] = fitted.predict_proba([real[i].text for i in held])
        left = Counter(text.label for text in texts)
        for i in held:
            label = real[i].label
            enough = left[label] >= _SURVIVING_SHARE * texts_of[label]
            testable[i] = label in known and enough
    return OutOfFold(probabilities, testable)


def _folds(
    real: Sequence[Example],
    written: Sequence[Example],
    folds: NDArray[np.int64],
    parent_aware: bool,
) -> Iterator[tuple[list[int], list[Example], list[Example]]]:
    """Yield for every fold: held-out indices, training rows, texts without a held-out parent."""
    for fold in np.unique(folds):
        held = [int(i) for i in np.flatnonzero(folds == fold)]
        hidden = {real[i].id for i in held}
        training = [row for row in real if row.id not in hidden]
        texts = [
            text
            for text in written
            if not parent_aware or (text.origin and hidden.isdisjoint(text.origin.parents))
        ]
        yield held, training, texts
