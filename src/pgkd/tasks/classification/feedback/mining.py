"""Hard-negative mining: which rows show the teacher where the student is weak.

After step 2b of PGKD (Di Palo et al., EMNLP 2024), with two differences. The predictions are out
of fold: a student makes almost no mistake on its own training rows. And rows whose *given* label
is suspect are kept out of the hard negatives and listed for the user: the most confident mistakes
of an out-of-fold student are mostly label noise (confident learning, Northcutt et al., JAIR 2021).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.task import Evaluation
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.evaluation.metrics import Metrics

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText

_SURE = (
    0.5  # of another class: a doubt is raised only where it is likelier than all others together
)
_ROWS_TO_JUDGE = 3  # of a class: with fewer, a threshold of its self-confidence means nothing


@dataclass(frozen=True, slots=True)
class MinedRow:
    """A real row and its out-of-fold prediction.

    Attributes:
        example: the row.
        predicted: the class that the student found most probable.
        confidence: probability of that class.
        suspect: whether confident learning doubts the given label.
    """

    example: LabelledText
    predicted: str
    confidence: float
    is_label_issue: bool = False

    @property
    def is_mistake(self) -> bool:
        """Whether the prediction differs from the given label."""
        return self.predicted != self.example.label


@dataclass(frozen=True, slots=True)
class ConfusedPair:
    """Rows of `gold` that the student takes for `predicted`; the direction matters."""

    gold: str
    predicted: str
    rows: tuple[MinedRow, ...]


@dataclass(frozen=True)
class Mined:
    """All real rows, judged by out-of-fold predictions; label_issues are in `label_issues` alone.

    Attributes:
        correct: rows that the student gets right, most confident first.
        mistakes: rows that it gets wrong, most confident mistake first: its head are the paper's
            hard negatives.
        label_issues: rows whose given label is doubtful, most doubtful first.
        pairs: confused pairs among the mistakes, most frequent first.
    """

    correct: tuple[MinedRow, ...]
    mistakes: tuple[MinedRow, ...]
    label_issues: tuple[MinedRow, ...]
    pairs: tuple[ConfusedPair, ...]


def mine(
    real: Sequence[LabelledText],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    *,
    trusted: NDArray[np.bool_] | None = None,
) -> Mined:
    """Sort the real rows by what out-of-fold predictions say of them.

    Args:
        real: n rows.
        probabilities: shape (n, n_classes), out of fold.
        classes: class names in column order.
        trusted: shape (n,); rows whose prediction says something (`OutOfFold.testable`). The
            others are neither mined nor suspected. None trusts all.
    """
    trusted = np.ones(len(real), dtype=bool) if trusted is None else trusted
    labels = label_indices((row.label for row in real), classes)
    doubtful = suspected(labels[trusted], probabilities[trusted])
    rows = [
        MinedRow(real[i], classes[int(p.argmax())], float(p.max()), is_label_issue=bool(doubt))
        for i, p, doubt in zip(
            np.flatnonzero(trusted).tolist(), probabilities[trusted], doubtful, strict=True
        )
    ]
    rows.sort(key=lambda row: -row.confidence)
    sound = [row for row in rows if not row.is_label_issue]
    mistakes = tuple(row for row in sound if row.is_mistake)
    return Mined(
        correct=tuple(row for row in sound if not row.is_mistake),
        mistakes=mistakes,
        label_issues=tuple(row for row in rows if row.is_label_issue),
        pairs=confused_pairs(mistakes),
    )


def confused_pairs(mistakes: Sequence[MinedRow]) -> tuple[ConfusedPair, ...]:
    """Group mistakes by direction, most frequent first, names breaking ties."""
    groups: dict[tuple[str, str], list[MinedRow]] = {}
    for row in mistakes:
        groups.setdefault((row.example.label, row.predicted), []).append(row)
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
    return tuple(ConfusedPair(gold, predicted, tuple(rows)) for (gold, predicted), rows in ordered)


def suspected(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mark rows whose given label is probably wrong, by confident learning.

    Its thresholds are the mean self-confidence of each class. Where a student is unsure of all it
    says, as over dozens of classes with few rows, they are so low that nearly every mistake passes.
    So a suspect's other class has to have half of the probability.

    Classes with fewer than three rows are never suspected: their thresholds mean nothing, and a
    rare class must not lose the few rows that it has.

    Args:
        labels: shape (n,), given class indices.
        probabilities: shape (n, n_classes), out of fold.

    Returns:
        Shape (n,), True for label_issues.
    """
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    judged = np.flatnonzero(counts >= _ROWS_TO_JUDGE)
    rows = np.flatnonzero(np.isin(labels, judged))
    label_issues = np.zeros(len(labels), dtype=bool)
    if len(judged) < 2:
        return label_issues
    # Cleanlab wants every class to occur: judge among the classes that have rows enough.
    column = {int(c): i for i, c in enumerate(judged)}
    among = probabilities[np.ix_(rows, judged)] + 1e-9
    among /= among.sum(axis=1, keepdims=True)
    from cleanlab.filter import find_label_issues

    given = np.array([column[int(c)] for c in labels[rows]])
    issues = find_label_issues(given, among, filter_by="confident_learning", n_jobs=1)
    best = probabilities[rows].argmax(axis=1)
    sure = (best != labels[rows]) & (probabilities[rows].max(axis=1) >= _SURE)
    label_issues[rows] = issues & sure
    return label_issues


def rotate(rows: Sequence[MinedRow], shown: Counter[str], n: int) -> list[MinedRow]:
    """The first n rows among those shown least often before.

    Mistakes run out after a few rounds; showing each before any is repeated keeps prompts fresh.

    Args:
        rows: candidates, best first.
        shown: how often each row id was shown; the chosen are counted in.
        n: how many are wanted; fewer come back where there are fewer.
    """
    chosen = sorted(rows, key=lambda row: shown[row.example.id])[:n]
    shown.update(row.example.id for row in chosen)
    return chosen


@dataclass(frozen=True)
class ClassifierEvaluation(Evaluation):
    """What is known of a round's student; see `Evaluation`.

    Attributes:
        validation: metrics on the validation rows; where there are none, those out of fold.
        out_of_fold: metrics on the training rows, from students that did not see them.
        mined: the training rows, sorted by what those students predict for them.
        labelled_weight: what a text of the pool weighs that the teacher labelled; None where there
            is none.
    """

    validation: Metrics
    out_of_fold: Metrics
    mined: Mined
    labelled_weight: float | None = None

    @property
    def n(self) -> int:
        """See `Evaluation.n`."""
        return self.validation.n

    @property
    def held_out(self) -> bool:
        """See `Evaluation.held_out`."""
        return self.validation is not self.out_of_fold

    @property
    def figures(self) -> dict[str, float]:
        """See `Evaluation.figures`."""
        v = self.validation
        return {
            "accuracy": v.accuracy, "macro_f1": v.macro_f1, "log_loss": v.log_loss, "ece": v.ece,
        }  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """See `Evaluation.to_json`."""
        return {
            "labelled_weight": self.labelled_weight,
            "mined": {
                "correct": len(self.mined.correct),
                "mistakes": len(self.mined.mistakes),
                "label_issues": len(self.mined.label_issues),
            },
            "validation": self.validation.to_json(),
            "out_of_fold": self.out_of_fold.to_json(),
        }

    def label_issues(self) -> list[dict[str, Any]]:
        """See `Evaluation.label_issues`: confident learning doubts these labels."""
        return [
            {
                "id": row.example.id,
                "label": row.example.label,
                "by": "confident learning",
                "suggested": row.predicted,
                "confidence": round(row.confidence, 6),
                "text": row.example.text,
            }
            for row in self.mined.label_issues
        ]
