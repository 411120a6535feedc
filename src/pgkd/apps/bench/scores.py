"""Accuracy and macro F1, over all classes and over some of them, and how sure one can be of them.

The scores of one set of predictions and those of a thousand resamples of its rows are the same
sums, weighted by how often a row was drawn; so they are computed at once, as matrix products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.evaluation import Difference, percentiles, resamples

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Predictions:
    """What one cell predicts for the test rows of its data set.

    Attributes:
        gold: shape (n,), class indices.
        predicted: shape (n,); the number of classes where the answer was none of them.
        counts: shape (n,), False for rows that are not judged.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    counts: NDArray[np.bool_]


def figures(
    gold: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Accuracy, macro F1, and macro F1 of every group that has classes.

    Args:
        gold: shape (n,), class indices.
        predicted: shape (n,), class indices; `n_classes` stands for none of them.
        n_classes: number of classes.
        groups: the classes of each group.
    """
    everything = Predictions(gold, predicted, np.ones(len(gold), dtype=bool))
    found = scores(everything, np.ones((1, len(gold))), n_classes, groups)
    return {name: round(float(values[0]), 6) for name, values in found.items()}


def scores(
    found: Predictions,
    drawn: NDArray[np.float64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, NDArray[np.float64]]:
    """The scores of many weightings of the rows, each of shape (n_weightings,).

    Args:
        found: the predictions.
        drawn: shape (n_weightings, n), how often each row counts.
        n_classes: number of classes.
        groups: the classes of each group.
    """
    from scipy.sparse import csr_array

    weights = drawn[:, found.counts]
    gold, predicted = found.gold[found.counts], found.predicted[found.counts]
    n = len(gold)

    def sums(of: NDArray[np.int64], where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Weight of the rows of every class, shape (n_weightings, n_classes)."""
        ones = np.ones(n) if where is None else where.astype(np.float64)
        of_class = csr_array((ones, (np.arange(n), of)), shape=(n, n_classes + 1))
        return np.asarray(weights @ of_class)[:, :n_classes]

    support, guessed = sums(gold), sums(predicted)
    right = sums(gold, gold == predicted)
    f1 = 2 * right / np.maximum(support + guessed, 1)
    occurs = support + guessed > 0
    result = {"accuracy": right.sum(axis=1) / np.maximum(weights.sum(axis=1), 1)}
    for name, members in {"macro_f1": range(n_classes), **groups}.items():
        if len(members):
            mine = list(members)
            among = np.maximum(occurs[:, mine].sum(axis=1), 1)
            result[name] = (f1 * occurs)[:, mine].sum(axis=1) / among
    return result


def mean_changes(
    pairs: Sequence[tuple[Predictions, Predictions]],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
    *,
    n_resamples: int,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[Difference, tuple[float, ...]]]:
    """How scores change from one arm to another, on average over seeds, by a paired bootstrap.

    The test rows are resampled, the same ones for both arms and for all seeds; so the interval is
    that of the mean over these seeds, and the spread over seeds stands beside it.

    Args:
        pairs: for every seed what both arms predict for the same n rows; rows that do not count for
            one of the two count for none.
        n_classes: number of classes.
        groups: the classes of each group.
        n_resamples: times that n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.

    Returns:
        For every score its change with an interval, and the change of every seed.
    """
    n = len(pairs[0][0].gold)
    drawn = np.stack([np.bincount(rows, minlength=n) for rows in resamples(n, n_resamples, seed)])
    weights = np.vstack([np.ones(n), drawn]).astype(np.float64)
    changes = [_change(*pair, weights, n_classes, groups) for pair in pairs]
    result = {}
    for name in changes[0]:
        values = np.stack([change[name] for change in changes])
        mean = values.mean(axis=0)
        interval = percentiles(mean[1:], level)
        result[name] = Difference(float(mean[0]), *interval), tuple(map(float, values[:, 0]))
    return result


def _change(
    before: Predictions,
    after: Predictions,
    weights: NDArray[np.float64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, NDArray[np.float64]]:
    both = before.counts & after.counts
    old, new = (
        scores(Predictions(p.gold, p.predicted, both), weights, n_classes, groups)
        for p in (before, after)
    )
    return {name: new[name] - old[name] for name in old}
