"""A linear head on shares of columns: labels, or a score as 1-s and s, its share of a scale.

A score is learnt by logistic regression on a soft target, so a prediction is always within its
bounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.head import Head
from pgkd.errors import DataError
from pgkd.tasks.classification.students.head import HeadSettings, fit_calibration, fit_head
from pgkd.text import shown

Floats = NDArray[np.float64]

COVERAGE = 0.9  # of the intervals
_BANDS = 5
_LEAST = 1e-9  # of a share: its logarithm is a number


class Judgeable(Protocol):
    """An example with a label or a score."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def label(self) -> str | None: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Target:
    """What is predicted.

    Attributes:
        labels: names in column order; none where a score is predicted.
        low: the lowest score.
        high: the highest score.
    """

    labels: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, details: Mapping[str, Any]) -> Target:
        """From `Rows.details`."""
        return cls(tuple(details["labels"]), details["score_min"], details["score_max"])

    def to_json(self) -> dict[str, Any]:
        """Plain data, for `Rows.details`."""
        return {"labels": list(self.labels), "score_min": self.low, "score_max": self.high}

    @property
    def band(self) -> float:
        """The width of a band: a fifth of the scale."""
        return (self.high - self.low) / _BANDS

    @property
    def cells(self) -> tuple[str, ...]:
        """The labels, or names of five equal bands of scores."""
        edges = [f"{self.low + i * self.band:.6g}" for i in range(_BANDS + 1)]
        return self.labels or tuple(f"{a} to {b}" for a, b in pairwise(edges))

    def bounds(self, cell: str) -> tuple[float, float]:
        """The lowest and the highest score of a band."""
        low = self.low + self.cells.index(cell) * self.band
        return low, low + self.band

    def cell(self, row: Judgeable) -> str:
        """The cell of a row."""
        if self.labels:
            return str(row.label)
        i = int((float(row.score or 0.0) - self.low) / self.band)
        return self.cells[min(max(i, 0), _BANDS - 1)]

    def gold(self, rows: Sequence[Judgeable]) -> Floats:
        """What n rows have, shape (n, columns): one-hot labels; or 1-s and s, a share of the scale.

        Raises:
            DataError: a row has another label, or a score out of bounds.
        """
        if self.labels:
            column = {name: i for i, name in enumerate(self.labels)}
            if wrong := next((row for row in rows if row.label not in column), None):
                raise DataError(f"{wrong.id}: there is no label '{shown(wrong.label)}'.")
            found: Floats = np.eye(len(column))[[column[str(r.label)] for r in rows]]
            return found
        scores = np.array([row.score for row in rows], dtype=np.float64)
        share = (scores - self.low) / (self.high - self.low)
        if (bad := ~((share >= 0) & (share <= 1))).any():
            wrong = rows[int(np.flatnonzero(bad)[0])]
            bounds = f"{self.low:g} to {self.high:g}"
            raise DataError(f"{wrong.id}: the score {wrong.score} is not from {bounds}.")
        return np.stack([1 - share, share], axis=1)


def fit_shares(features: Floats, gold: Floats, weights: Floats, strength: float) -> Head:
    """Fit a head.

    Args:
        features: shape (n, width).
        gold: shape (n, columns), shares that sum to one.
        weights: shape (n,), of the rows.
        strength: scikit-learn's C.
    """
    row, column = np.nonzero(gold)  # a row stands once for each column that it has a share of
    names = [str(i) for i in range(gold.shape[1])]
    if len(set(column.tolist())) < 2:  # of a fold: nothing to tell apart
        bias = np.where(gold.any(axis=0), 0.0, -np.inf)
        return Head(np.zeros((len(names), features.shape[1])), bias)
    labels, shares = [names[i] for i in column], weights[row] * gold[row, column]
    return fit_head(features[row], labels, names, HeadSettings(C=strength), shares)


@dataclass(frozen=True, slots=True)
class ShareCalibration:
    """What is fitted on rows that were held out.

    Attributes:
        scored: whether the columns are those of a score.
        temperature: divides the logits of labels (Guo et al., ICML 2017).
        spread: standard deviation of the errors of a score's share.
        half_width: of its intervals: split conformal (Lei et al., JASA 2018), they hold 90% of new
            rows if those are alike.
    """

    scored: bool
    temperature: float = 1.0
    spread: float = 1.0
    half_width: float = 1.0

    @classmethod
    def fit(cls, shares: Floats, gold: Floats, *, scored: bool) -> Self:
        """From uncalibrated shares of held-out rows; both have the shape (n, columns)."""
        if not scored:
            logits, no_prior = np.log(np.maximum(shares, _LEAST)), np.zeros(gold.shape[1])
            found = fit_calibration(logits, no_prior, gold.argmax(axis=1))
            return cls(scored, found.temperature)
        errors = np.sort(np.abs(shares[:, 1] - gold[:, 1]))
        rank = math.ceil((len(errors) + 1) * COVERAGE)
        half = float(errors[rank - 1]) if rank <= len(errors) else 1.0
        return cls(scored, 1.0, max(float(np.sqrt((errors**2).mean())), 1e-3), half)

    def calibrated(self, shares: Floats) -> Floats:
        """Calibrated shares."""
        powers = np.maximum(shares, _LEAST) ** (1 / self.temperature)
        found: Floats = powers / powers.sum(axis=1, keepdims=True)
        return found

    def losses(self, shares: Floats, gold: Floats) -> Floats:
        """In nats, shape (n,): log loss of labels, Gaussian log loss of a score's share."""
        if not self.scored:
            found: Floats = -(gold * np.log(np.maximum(self.calibrated(shares), 1e-6))).sum(1)
            return found
        z: Floats = (shares[:, 1] - gold[:, 1]) / self.spread
        return 0.5 * z**2 + math.log(self.spread * math.sqrt(2 * math.pi))
