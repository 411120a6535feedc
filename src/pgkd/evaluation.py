"""How sure one can be of a figure: bootstrap over the rows (Efron & Tibshirani, 1993)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
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


def resamples(n: int, times: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices of n rows drawn with replacement, so many times."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(0, n, n)


def percentiles(figures: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The interval that covers the middle `level` of the resampled figures."""
    tail = 50 * (1 - level)
    low, high = np.percentile(figures, [tail, 100 - tail])
    return float(low), float(high)


class Change(NamedTuple):
    """A mean change in loss, paired over rows.

    Attributes:
        mean: in nats; negative where the loss fell.
        error: standard error of the mean.
    """

    mean: float
    error: float

    @property
    def is_improvement(self) -> bool:
        """Whether the loss fell by more than one standard error (CART; Breiman et al., 1984)."""
        return self.mean < -self.error


def paired_change(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> Change:
    """The mean change in loss, and its standard error.

    Args:
        losses: shape (n,), NaN for a row that cannot be judged.
        reference: shape (n,), the losses of the same rows by another student.

    Returns:
        The change over the rows that both judge; (0, inf) for fewer than two of them.
    """
    both = np.isfinite(losses) & np.isfinite(reference)
    if both.sum() < 2:
        return Change(0.0, math.inf)
    change = losses[both] - reference[both]
    return Change(float(change.mean()), float(change.std(ddof=1) / math.sqrt(both.sum())))
