"""How sure one can be of a classifier's figures: bootstrap over the judged rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pgkd.evaluation import Difference, percentiles, resamples
from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.evaluation.metrics import (
    calibration_error,
    class_scores,
    confusion_matrix,
    macro_f1,
    row_log_losses,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


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
