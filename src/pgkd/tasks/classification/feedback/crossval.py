"""Out-of-fold predictions for the user's own rows, aware of echoes.

A student fits its few hundred training rows almost perfectly, so its mistakes on them say little.
Out-of-fold predictions show the mistakes it would make on new rows. Synthetic texts can echo the
rows that the teacher was shown; a row held out therefore takes along its echoes, else the loss of a
fold flatters the round.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.tasks.classification.feedback.weighting import row_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student

_PAIRS = 20  # of one class, to tell how near two of them are that have not seen each other
_NEARER = 0.95
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
    real: Sequence[LabelledText],
    written: Sequence[LabelledText],
    folds: NDArray[np.int64],
    *,
    written_weight: float = 1.0,
    labelled_weight: float = 1.0,
    class_list: Sequence[LabelledText] = (),
    agreement: Mapping[str, float] | None = None,
    hidden: NDArray[np.bool_] | None = None,
) -> OutOfFold:
    """Cross-validate a student over the real rows.

    Args:
        student: its probe is trained, once a fold.
        real: n_real rows of the user.
        written: texts of the teacher; they train and are never predicted.
        folds: shape (n_real,), the fold that holds out each row; the same in every round, so that
            rounds can be compared row by row.
        written_weight: sample weight of a written text; a real row weighs 1.
        labelled_weight: of a text of the pool that has its label from the teacher.
        class_list: the class list as texts; they train in every fold and weigh 1.
        agreement: see `row_weights`.
        hidden: shape (n_real, n_written); a fold that holds out the row may not train on the text;
            default: the `echoes`.
    """
    if hidden is None:
        hidden = echoes(student, real, written)
    texts_of = Counter(example.label for example in written)
    probabilities = np.full((len(real), len(student.classes)), 1 / len(student.classes))
    testable = np.zeros(len(real), dtype=bool)
    for fold in np.unique(folds):
        held = np.flatnonzero(folds == fold).tolist()
        training = [real[i] for i in np.flatnonzero(folds != fold).tolist()]
        texts = [written[j] for j in np.flatnonzero(~hidden[held].any(axis=0)).tolist()]
        rows = [*training, *class_list, *texts]
        known = {row.label for row in rows}
        if len(known) < 2:
            continue
        weights = row_weights(rows, written_weight, labelled_weight, agreement)
        seen = Counter(row.label for row in training)
        fitted = student.probe().fit(
            [r.text for r in rows], [r.label for r in rows], weights,
            np.array([seen[name] for name in student.classes], dtype=np.float64),
        )  # fmt: skip
        probabilities[held] = fitted.predict_proba([real[i].text for i in held])
        left = Counter(text.label for text in texts)
        for i in held:
            label = real[i].label
            enough = left[label] >= _SURVIVING_SHARE * texts_of[label]
            testable[i] = label in known and enough
    return OutOfFold(probabilities, testable)


def echoes(
    student: Student, real: Sequence[LabelledText], texts: Sequence[LabelledText]
) -> NDArray[np.bool_]:
    """Which texts repeat a row of the user that their prompt showed, shape (n_real, n_texts).

    Such a text is nearer to the row than all but one in twenty pairs of the same class where
    neither has seen the other. Without features of texts to compare, every text counts as an echo
    of every row of its class that its prompt showed.

    Args:
        student: gives the features.
        real: rows of the user.
        texts: synthetic texts, or texts of the pool with the teacher's label.
    """
    index = {row.id: i for i, row in enumerate(real)}
    shown = np.zeros((len(real), len(texts)), dtype=bool)
    for j, text in enumerate(texts):
        for parent in text.origin.parents if text.origin else ():
            if parent in index:
                shown[index[parent], j] = True
    if not shown.any():
        return shown
    features = student.probe().features([row.text for row in (*real, *texts)])
    if features is None:
        return shown
    rows, others = features[: len(real)], features[len(real) :]
    labels = np.array([row.label for row in real], dtype=object)
    same = labels[:, None] == np.array([text.label for text in texts], dtype=object)[None, :]
    similar = rows @ others.T
    pairs = np.triu(labels[:, None] == labels[None, :], k=1)
    unrelated = np.concatenate([similar[same & ~shown], (rows @ rows.T)[pairs]])
    if len(unrelated) < _PAIRS:
        return shown
    return np.asarray(shown & (similar > np.quantile(unrelated, _NEARER)))
