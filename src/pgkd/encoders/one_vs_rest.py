"""One-vs-rest logistic regression: a head for labels that do not exclude each other.

Each label's logits are calibrated on rows that were held out: scaled around its log odds (Guo et
al., ICML 2017) and shifted (Platt, 1999). A shared scale and shift carry labels with few rows.

Its threshold is the one that maximises its F1 on those rows, and on what the probabilities
themselves expect (Lipton et al., ECML 2014); where a label has few rows, it is shrunk towards a
shared one that maximises micro F1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.head import Head

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

_OWN_SCALE, _OWN_SHIFT, _SHARED = 5.0, 0.5, 0.05  # rows' worth of pull towards no correction
_GRID = np.exp(np.linspace(np.log(0.01), np.log(0.9), 120))  # thresholds to choose from
_EXPECTED = 3.0  # weight of what the probabilities expect, beside the rows seen
_LEAST = 1e-9  # probability in a loss
_FEW = 5  # rows with a label whose own threshold counts as much as the shared one


def fit_heads(features: Floats, gold: Flags, weights: Floats, strength: float) -> Head:
    """Fit a logistic regression for each label.

    Args:
        features: shape (n, width).
        gold: shape (n, k).
        weights: shape (n,), of the rows.
        strength: scikit-learn's C.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    positive = weights @ gold
    found, bias = np.zeros((gold.shape[1], features.shape[1])), log_odds(positive, weights.sum())
    # A label that all rows have, or none, has nothing to learn. The last digit of a sum over
    # several threads depends on their number.
    with threadpool_limits(limits=1):
        for j in np.flatnonzero((positive > 0) & (positive < weights.sum())):
            model = LogisticRegression(C=strength, max_iter=300).fit(features, gold[:, j], weights)
            found[j], bias[j] = model.coef_[0], model.intercept_[0]
    return Head(found, bias)


@dataclass(frozen=True)
class LabelCalibration:
    """Of k labels: a correction of their logits, and the thresholds that go with it."""

    scale: tuple[float, ...]
    shift: tuple[float, ...]
    thresholds: tuple[float, ...]

    @classmethod
    def fit(cls, logits: Floats, gold: Flags) -> LabelCalibration:
        """Fit it to rows that the heads were not fitted to; both have the shape (n, k)."""
        from scipy.optimize import minimize

        k, odds = gold.shape[1], log_odds(gold.sum(axis=0), len(gold))
        signs, around = np.where(gold, 1.0, -1.0), logits - odds
        pull = np.array([_SHARED, _SHARED, *[_OWN_SCALE] * k, *[_OWN_SHIFT] * k])

        def objective(x: Floats) -> tuple[float, Floats]:
            spread = np.exp(x[0] + x[2 : 2 + k]) * around
            found = spread + odds + x[1] + x[2 + k :]
            by_shift = sigmoid(found) - gold
            slopes = (by_shift * spread).sum(axis=0), by_shift.sum(axis=0)
            value = np.logaddexp(0, -signs * found).sum() + (pull * x**2).sum()
            return float(value), np.hstack([*map(np.sum, slopes), *slopes]) + 2 * pull * x

        x = minimize(objective, np.zeros(2 + 2 * k), jac=True, method="L-BFGS-B").x
        scale = np.exp(x[0] + x[2 : 2 + k])
        shift = odds * (1 - scale) + x[1] + x[2 + k :]
        thresholds = choose_thresholds(sigmoid(scale * logits + shift), gold)
        return cls(tuple(scale.tolist()), tuple(shift.tolist()), thresholds)

    def probabilities(self, logits: Floats) -> Floats:
        """Of logits, shape (n, k)."""
        return sigmoid(np.array(self.scale) * logits + np.array(self.shift))


def choose_thresholds(probabilities: Floats, gold: Flags) -> tuple[float, ...]:
    """A threshold for each label, from probabilities out of fold; both have the shape (n, k)."""
    seen, mixed, positive = [], [], gold.sum(axis=0)
    for threshold in _GRID:
        given = probabilities >= threshold
        right, sizes = (given & gold).sum(axis=0), given.sum(axis=0)
        seen.append(2 * right.sum() / max(1, sizes.sum() + positive.sum()))
        expected = right + _EXPECTED * (given * probabilities).sum(axis=0)
        wanted = positive + _EXPECTED * probabilities.sum(axis=0)
        mixed.append(2 * expected / np.maximum((1 + _EXPECTED) * sizes + wanted, 1e-9))
    shared, own = np.log(_GRID[int(np.argmax(seen))]), np.log(_GRID[np.argmax(mixed, axis=0)])
    trust = positive / (positive + _FEW)
    return tuple(np.exp(trust * own + (1 - trust) * shared).tolist())


def log_odds(positive: Floats, mass: float) -> Floats:
    """Log odds of labels, with half a row more on either side."""
    found: Floats = np.log((positive + 0.5) / (mass - positive + 0.5))
    return found


def sigmoid(logits: Floats) -> Floats:
    """Probabilities of logits."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))


def row_losses(probabilities: Floats, gold: Flags) -> Floats:
    """Binary cross-entropy of each row, summed over its labels, in nats; shape (n,)."""
    probabilities = np.clip(probabilities, _LEAST, 1 - _LEAST)
    losses: Floats = -np.log(np.where(gold, probabilities, 1 - probabilities)).sum(axis=1)
    return losses


def torch_row_losses(logits: Any, gold: Any) -> Any:
    """`row_losses` of logits, in torch."""
    from torch.nn.functional import binary_cross_entropy_with_logits

    return binary_cross_entropy_with_logits(logits, gold, reduction="none").sum(dim=1)


def indicators(rows: Iterable[Iterable[str]], names: Sequence[str]) -> Flags:
    """Which of k names each of n sets of labels has, shape (n, k)."""
    sets = [set(labels) for labels in rows]
    found = [[name in labels for name in names] for labels in sets]
    return np.array(found, dtype=bool).reshape(len(sets), len(names))
