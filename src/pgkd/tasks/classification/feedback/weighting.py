"""What a synthetic text weighs, against a labelled row's 1.

Two things decide. One weight for all texts, chosen by cross-validation on the labelled rows
(`tune_head`): a strong teacher's texts are worth nearly as much as rows, of a small one's a fifth
and more miss their class. And for each text whether the others agree with it:
a head that was trained without it tells how likely its class is, against the likeliest one. That
takes most of the harm out of wrong texts and costs right ones nothing (docs/results.md); it is the
self-confidence of confident learning (Northcutt et al., JAIR 2021), used as a weight.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pgkd.tasks.classification.data.dataset import stratified_folds
from pgkd.tasks.classification.data.examples import columns_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student

_LEAST_SURE = 0.01  # a weight of nothing would take the class out of the head
_LEAST_AGREEMENT = 0.1
_FOLDS = 5
_OTHERS = 3  # rows and texts of its class: with fewer, nothing can agree with a text


def row_weights(
    rows: Sequence[LabelledText],
    written_weight: float,
    labelled_weight: float = 1.0,
    agreement: Mapping[str, float] | None = None,
) -> NDArray[np.float64]:
    """Sample weights, shape (n,): 1 for the user's rows, the class list, and what was reviewed.

    Other weights are taken times the teacher's confidence in the label, where it tells one: when it
    labelled the text, or when it read its own blind. What is worth a label is hard for it, too.

    Args:
        rows: n rows, texts and labelled texts.
        written_weight: of a text that a teacher wrote; low, because a fifth of a small teacher's
            texts miss their class. A human-verified one does not.
        labelled_weight: of a text of the pool that a teacher labelled.
        agreement: a factor of each written text's weight, by its id; 1 where it has none.
    """
    agreement = agreement or {}

    def weight(row: LabelledText) -> float:
        if row.origin is None or row.human_verified:
            return 1.0
        sure = 1.0 if row.origin.confidence is None else row.origin.confidence
        given = labelled_weight if row.origin.labelled else written_weight
        return given * max(sure, _LEAST_SURE) * agreement.get(row.id, 1.0)

    return np.array([weight(row) for row in rows])


def label_agreement(
    student: Student,
    rows: Sequence[LabelledText],
    texts: Sequence[LabelledText],
    weight: float,
    *,
    seed: int,
) -> dict[str, float]:
    """How far heads that were trained without a text agree with its class, by the text's id.

    The square root of the probability of its class over that of the likeliest one, at least .1.
    A text of a class that has next to nothing else is not judged: it gets 1.

    Args:
        student: its probe is trained, once a fold.
        rows: what weighs 1: labelled rows, and label names where they train.
        texts: synthetic texts.
        weight: of a text while the others are judged.
        seed: of the folds.
    """
    if len({text.label for text in texts}) < 2:
        return {}
    classes = student.classes
    alike = np.ones(len(classes))  # no class is likelier for being frequent
    others = Counter(row.label for row in (*rows, *texts))
    folds = stratified_folds([text.label for text in texts], min(_FOLDS, len(texts)), seed)
    found: dict[str, float] = {}
    for fold in np.unique(folds):
        held = [texts[i] for i in np.flatnonzero(folds == fold).tolist()]
        training = [*rows, *(texts[i] for i in np.flatnonzero(folds != fold).tolist())]
        weights = np.full(len(training), weight)
        weights[: len(rows)] = 1.0
        head = student.probe().fit(
            [r.text for r in training], [r.label for r in training], weights, alike
        )
        logits = head.logits([text.text for text in held])
        own = logits[np.arange(len(held)), columns_of((text.label for text in held), classes)]
        ratio = np.exp((own - logits.max(axis=1)) / 2)
        for text, value in zip(held, ratio, strict=True):
            judged = others[text.label] > _OTHERS
            found[text.id] = max(float(value), _LEAST_AGREEMENT) if judged else 1.0
    return found
