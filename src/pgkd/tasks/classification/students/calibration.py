"""Calibration of a head's logits: a temperature, and how much the class prior counts.

A head with a strong L2 penalty ranks classes well and is far too unsure; one whose classes were
balanced knows nothing of how common they are. Two numbers put both right: logits are divided by a
temperature (Guo et al., ICML 2017), and a share of the log class frequency is added (the logit
adjustment of Menon et al., ICLR 2021, with a weight that is fitted). Both are fitted on held-out
rows, so candidates can be compared by log loss at their best, not by how sure they happen to be.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_RIDGE = 0.5  # rows' worth of pull towards where the fit starts: few rows cannot tell much
_BOUND = 5.0  # of the log temperature, and of the prior's weight


@dataclass(frozen=True, slots=True)
class Calibration:
    """What is done to logits before they are made probabilities.

    Attributes:
        temperature: logits are divided by it.
        prior_weight: times the log class frequency of the training rows, which is then added.
            Negative where rare classes are missed more than their rarity explains.
    """

    temperature: float = 1.0
    prior_weight: float = 0.0

    def __call__(
        self, logits: NDArray[np.float64], log_prior: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Calibrated logits, shape of `logits`; `log_prior` is broadcast over it."""
        return logits / self.temperature + self.prior_weight * log_prior


def fit_calibration(
    logits: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    gold: NDArray[np.int64],
    *,
    prior_weight: float = 0.0,
) -> Calibration:
    """The calibration with the lowest log loss on held-out rows.

    Args:
        logits: shape (n, n_classes); -inf for a class that had no training row.
        log_prior: of the rows that the logits of each row come from; shape (n, n_classes), or
            (n_classes,) where those are the same for all.
        gold: shape (n,), column of each row's class; its logit is finite.
        prior_weight: the share of the prior that is likeliest before any row is looked at.
    """
    from scipy.optimize import minimize

    def loss(values: NDArray[np.float64]) -> float:
        found = Calibration(float(np.exp(values[0])), float(values[1]))
        mean = log_losses(found(logits, log_prior), gold).mean()
        return float(mean + _RIDGE / len(gold) * ((values - start) ** 2).sum())

    start = np.array([0.0, prior_weight])
    bounds = [(-_BOUND, _BOUND)] * 2
    found = minimize(loss, start, method="L-BFGS-B", bounds=bounds).x
    return Calibration(float(np.exp(found[0])), float(found[1]))


def log_losses(logits: NDArray[np.float64], gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log loss of each row, shape (n,), in nats."""
    logits = logits - logits.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(logits).sum(axis=1))
    return losses - logits[np.arange(len(gold)), gold]
