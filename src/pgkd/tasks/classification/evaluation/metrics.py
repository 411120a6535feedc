"""How many predictions are right and how well they are calibrated, overall and by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.tasks.classification.data.examples import label_indices

MEASURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "log_loss": "log loss",
    "ece": "calibration error",
}
"""What is measured over all classes: names in JSON, and names to print."""

_MIN_PROBABILITY = 1e-6  # bounds the loss of one row at 13.8 nats: no row outvotes a hundred
_BINS = 15


@dataclass(frozen=True, slots=True)
class ClassMetrics:
    """One class; a figure is 0 where no row or prediction defines it, as in scikit-learn."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Predictions of similar confidence.

    Attributes:
        low: lower end of the bin, exclusive.
        high: upper end, inclusive.
        n: predictions in it.
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
        n: number of rows.
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
        figures = ("precision", "recall", "f1")
        return {
            "n": self.n,
            **{name: round(getattr(self, name), 6) for name in MEASURES},
            "cells": [
                {
                    "name": c.name,
                    **{name: round(getattr(c, name), 6) for name in figures},
                    "n": c.support,
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
    gold = label_indices(labels, classes)
    confusion = confusion_matrix(gold, probabilities.argmax(axis=1), len(classes))
    scores = (part.tolist() for part in (*class_scores(confusion), confusion.sum(axis=1)))
    return Metrics(
        n=len(gold),
        **measure(probabilities, gold),
        per_class=tuple(map(ClassMetrics, classes, *scores)),
        confusion=confusion,
    )


def measure(probabilities: NDArray[np.float64], gold: NDArray[np.int64]) -> dict[str, float]:
    """Each of `MEASURES`, all 0 without rows; `gold` holds class indices, shape (n,)."""
    n, predicted = len(gold), probabilities.argmax(axis=1)
    if not n:
        return dict.fromkeys(MEASURES, 0.0)
    confusion = confusion_matrix(gold, predicted, probabilities.shape[1])
    return {
        "accuracy": float(np.trace(confusion) / n),
        "macro_f1": macro_f1(confusion),
        "weighted_f1": float((class_scores(confusion)[2] * confusion.sum(axis=1)).sum() / n),
        "log_loss": float(row_log_losses(probabilities, gold).mean()),
        "ece": calibration_error(probabilities.max(axis=1), predicted == gold),
    }


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
    return -np.log(np.maximum(given, _MIN_PROBABILITY))


def calibration_error(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = _BINS
) -> float:
    """Expected calibration error over equal-width bins of confidence (Guo et al., ICML 2017).

    Args:
        confidence: probability of each prediction, shape (n,), n at least 1.
        right: whether each prediction is right, shape (n,).
        bins: number of bins.
    """
    bin_numbers = _find_bins(confidence, bins)
    gaps = np.bincount(bin_numbers, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(right))


def reliability(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10
) -> list[ReliabilityBin]:
    """The bins of a reliability diagram that have a prediction.

    Args:
        confidence: probability of each prediction, shape (n,).
        right: whether each prediction is right, shape (n,).
        bins: number of equal-width bins.
    """
    bin_numbers = _find_bins(confidence, bins)
    return [
        ReliabilityBin(
            low=i / bins,
            high=(i + 1) / bins,
            n=int((bin_numbers == i).sum()),
            confidence=float(confidence[bin_numbers == i].mean()),
            accuracy=float(right[bin_numbers == i].mean()),
        )
        for i in np.unique(bin_numbers)
    ]


def _find_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each prediction, from 0: open below and closed above, as in the paper."""
    found: NDArray[np.int64] = np.ceil(confidence * bins).astype(np.int64) - 1
    return np.clip(found, 0, bins - 1)
