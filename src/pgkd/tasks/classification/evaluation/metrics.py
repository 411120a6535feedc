"""What a student gets right, over all and class by class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.tasks.classification.data.examples import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_LEAST_PROBABILITY = 1e-6  # bounds the loss of one row at 13.8 nats: no row outvotes a hundred
_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class; figures without a row or prediction to rest on are 0, as in scikit-learn."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Answers of like confidence.

    Attributes:
        low: lower end of the bin, which it does not hold.
        high: upper end, which it holds.
        n: answers in it.
        confidence: their mean probability.
        accuracy: share of them that is right.
    """

    low: float
    high: float
    n: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Metrics:
    """How good predictions are.

    Attributes:
        n: rows judged.
        accuracy: share of rows whose most probable class is right.
        macro_f1: mean F1 over the classes that occur in the labels or the predictions.
        weighted_f1: mean F1 weighted by support.
        log_loss: mean negative log probability of the right class, in nats, each probability
            taken as at least 1e-6.
        ece: expected calibration error of the most probable class (Guo et al., ICML 2017).
        per_class: every class of the task, in column order.
        confusion: shape (n_classes, n_classes), rows of class i that were predicted as j.
    """

    n: int
    accuracy: float
    macro_f1: float
    weighted_f1: float
    log_loss: float
    ece: float
    per_class: tuple[ClassMetrics, ...]
    confusion: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Plain data; the confusion matrix as its cells off the diagonal that are not zero."""
        names = [c.name for c in self.per_class]
        wrong = self.confusion - np.diag(np.diag(self.confusion))
        return {
            "n": self.n,
            "accuracy": round(self.accuracy, 6),
            "macro_f1": round(self.macro_f1, 6),
            "weighted_f1": round(self.weighted_f1, 6),
            "log_loss": round(self.log_loss, 6),
            "ece": round(self.ece, 6),
            "per_class": [
                {
                    "name": c.name,
                    "precision": round(c.precision, 6),
                    "recall": round(c.recall, 6),
                    "f1": round(c.f1, 6),
                    "support": c.support,
                }
                for c in self.per_class
            ],
            "confused": [
                {"gold": names[i], "predicted": names[j], "rows": int(wrong[i, j])}
                for i, j in np.argwhere(wrong)
            ],
        }


def evaluate(
    probabilities: NDArray[np.float64], labels: Sequence[str], classes: Sequence[str]
) -> Metrics:
    """Judge predictions.

    Args:
        probabilities: shape (n, n_classes).
        labels: n class names.
        classes: class names in column order.
    """
    gold = columns_of(labels, classes)
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(gold, predicted, len(classes))
    precision, recall, f1 = class_scores(confusion)
    support = confusion.sum(axis=1)
    n = len(gold)
    return Metrics(
        n=n,
        accuracy=float(np.trace(confusion) / n) if n else 0.0,
        macro_f1=float(macro_f1(confusion)),
        weighted_f1=float((f1 * support).sum() / n) if n else 0.0,
        log_loss=float(row_log_losses(probabilities, gold).mean()) if n else 0.0,
        ece=calibration_error(probabilities.max(axis=1), predicted == gold) if n else 0.0,
        per_class=tuple(
            ClassMetrics(name, float(precision[i]), float(recall[i]), float(f1[i]), int(support[i]))
            for i, name in enumerate(classes)
        ),
        confusion=confusion,
    )


def confusion_matrix(
    gold: NDArray[np.int64], predicted: NDArray[np.int64], n_classes: int
) -> NDArray[np.int64]:
    """Rows of class i predicted as j, shape (n_classes, n_classes)."""
    cells = np.bincount(gold * n_classes + predicted, minlength=n_classes**2)
    return cells.reshape(n_classes, n_classes)


def class_scores(
    confusion: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Precision, recall and F1, each of shape (n_classes,); 0 where nothing defines them."""
    right = np.diag(confusion).astype(float)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = right / np.maximum(predicted, 1)
    recall = right / np.maximum(support, 1)
    return precision, recall, 2 * right / np.maximum(predicted + support, 1)


def macro_f1(confusion: NDArray[np.int64]) -> float:
    """Mean F1 over the classes that occur in the labels or the predictions; 0 if none does."""
    occurs = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    return float(class_scores(confusion)[2][occurs].mean()) if occurs.any() else 0.0


def row_log_losses(
    probabilities: NDArray[np.float64], gold: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Negative log probability of each row's class, in nats, shape (n,), at most 13.8.

    Args:
        probabilities: shape (n, n_classes).
        gold: shape (n,), class indices.
    """
    given = probabilities[np.arange(len(gold)), gold]
    return -np.log(np.maximum(given, _LEAST_PROBABILITY))


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = _BINS
) -> float:
    """Expected calibration error over equal-width bins of confidence (Guo et al., ICML 2017).

    Args:
        confidence: probability of each answer, shape (n,), n at least 1.
        right: whether each answer is right, shape (n,).
        bins: number of bins.
    """
    gaps = np.bincount(_bins_of(confidence, bins), weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10
) -> list[ReliabilityBin]:
    """What a reliability diagram shows: the bins of confidence that hold an answer.

    Args:
        confidence: probability of each answer, shape (n,).
        right: whether each answer is right, shape (n,).
        bins: number of equal-width bins.
    """
    bin_of = _bins_of(confidence, bins)
    return [
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            n=int((bin_of == i).sum()),
            confidence=float(confidence[bin_of == i].mean()),
            accuracy=float(right[bin_of == i].mean()),
        )
        for i in np.unique(bin_of)
    ]


def _bins_of(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each answer, from 0. Bins are open below and closed above, as in the paper."""
    found: NDArray[np.int64] = np.ceil(confidence * bins).astype(np.int64) - 1
    return np.clip(found, 0, bins - 1)
