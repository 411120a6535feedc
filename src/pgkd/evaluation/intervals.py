"""How sure one can be of a figure: bootstrap over the rows (Efron & Tibshirani, 1993)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.evaluation.metrics import (
    calibration_error,
    class_scores,
    confusion_matrix,
    macro_f1,
    row_log_losses,
)
from pgkd.task.columns import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson, 1927); all of [0, 1] where nothing was asked."""
    if not asked:
        return 0.0, 1.0
    z = 1.96
    share, spread = right / asked, z * z / asked
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / asked + spread / (4 * asked))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Difference:
    """A change of a figure, with its interval.

    Attributes:
        difference: the second figure minus the first.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    difference: float
    low: float
    high: float


def bootstrap_intervals(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of accuracy, F1s, log loss and calibration error.

    Args:
        probabilities: shape (n, n_classes), n at least 1.
        labels: n class names.
        classes: class names in column order.
        n_resamples: times that n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.
    """
    gold = columns_of(labels, classes)
    figures = [
        _figures(probabilities[drawn], gold[drawn])
        for drawn in resamples(len(gold), n_resamples, seed)
    ]
    return {
        name: percentiles(np.array([figure[name] for figure in figures]), level)
        for name in figures[0]
    }


def compare(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    repeats: tuple[Sequence[NDArray[np.float64]], Sequence[NDArray[np.float64]]] = ((), ()),
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """How accuracy and macro F1 change, by a paired bootstrap: both are judged on the same rows.

    With repeats, every resample also draws which training of each student it looks at: the interval
    then holds the chance of training as well as that of the rows.

    Args:
        before: shape (n, n_classes), probabilities of the first student.
        after: shape (n, n_classes), of the second one.
        labels: n class names.
        classes: class names in column order.
        repeats: probabilities of the first and of the second student trained again with other
            seeds, each of that shape.
        n_resamples: times that n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.
    """
    gold = columns_of(labels, classes)
    first = [each.argmax(axis=1) for each in (before, *repeats[0])]
    second = [each.argmax(axis=1) for each in (after, *repeats[1])]
    rng = np.random.default_rng(seed)

    def change(rows: NDArray[np.int64], one: int, other: int) -> tuple[float, float]:
        old = confusion_matrix(gold[rows], first[one][rows], len(classes))
        new = confusion_matrix(gold[rows], second[other][rows], len(classes))
        accuracy = (np.trace(new) - np.trace(old)) / len(rows)
        return float(accuracy), macro_f1(new) - macro_f1(old)

    found = change(np.arange(len(gold)), 0, 0)
    drawn = np.array(
        [
            change(rows, int(rng.integers(len(first))), int(rng.integers(len(second))))
            for rows in resamples(len(gold), n_resamples, seed)
        ]
    )
    return {
        name: Difference(found[i], *percentiles(drawn[:, i], level))
        for i, name in enumerate(("accuracy", "macro_f1"))
    }


def resamples(n: int, times: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices of n rows drawn with replacement, so many times."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(0, n, n)


def _figures(probabilities: NDArray[np.float64], gold: NDArray[np.int64]) -> dict[str, float]:
    confusion = confusion_matrix(gold, probabilities.argmax(axis=1), probabilities.shape[1])
    n = len(gold)
    return {
        "accuracy": float(np.trace(confusion) / n),
        "macro_f1": macro_f1(confusion),
        "weighted_f1": float((class_scores(confusion)[2] * confusion.sum(axis=1)).sum() / n),
        "log_loss": float(row_log_losses(probabilities, gold).mean()),
        "ece": calibration_error(probabilities.max(axis=1), probabilities.argmax(axis=1) == gold),
    }


def percentiles(figures: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The interval that covers the middle `level` of the resampled figures."""
    tail = 50 * (1 - level)
    low, high = np.percentile(figures, [tail, 100 - tail])
    return float(low), float(high)


def paired_change(
    losses: NDArray[np.float64], reference: NDArray[np.float64]
) -> tuple[float, float]:
    """Mean and standard error of a change in loss.

    Args:
        losses: shape (n,), NaN where a row cannot judge.
        reference: shape (n,), the losses of the same rows by another student.

    Returns:
        Mean and standard error over rows that judge both; (0, inf) where fewer than two do.
    """
    both = np.isfinite(losses) & np.isfinite(reference)
    if both.sum() < 2:
        return 0.0, math.inf
    change = losses[both] - reference[both]
    return float(change.mean()), float(change.std(ddof=1) / math.sqrt(both.sum()))
