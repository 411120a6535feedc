"""A linear head on an encoder's features: two arrays, which predict without torch or scikit-learn.

What its outputs mean is its user's affair: logits of classes that exclude each other, or of labels
that do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pgkd.encoders.training import FineTuning
    from pgkd.encoders.transformer import Encoder

_UNSEEN = 1e-5  # probability of a class without rows: its log loss stays finite


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits are corrected before they become probabilities.

    Attributes:
        temperature: divides the logits.
        prior_weight: share of the log class frequency of the training rows that is added. Negative
            where rare classes are missed more often than their rarity explains.
    """

    temperature: float = 1.0
    prior_weight: float = 0.0

    def __call__(
        self, logits: NDArray[np.float64], log_prior: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Calibrated logits, shape of `logits`; `log_prior` is broadcast over it."""
        return logits / self.temperature + self.prior_weight * log_prior


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        weights: shape (n_classes, n_features).
        bias: shape (n_classes,); -inf where a class had no row.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: Any) -> NDArray[np.float64]:
        """Unnormalized log probabilities of features, dense or sparse, shape (n, n_classes)."""
        logits: NDArray[np.float64] = np.asarray(features @ self.weights.T) + self.bias
        return logits

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        """Class probabilities of features, dense or sparse, shape (n, n_classes)."""
        logits = self.logits(features)
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        unseen = np.isneginf(self.bias)
        if unseen.any():
            probabilities *= 1 - _UNSEEN * unseen.sum()
            probabilities[:, unseen] = _UNSEEN
        return probabilities

    def calibrated(self, calibration: Calibration, prior: NDArray[np.float64]) -> Head:
        """The head with calibrated logits; `prior` is the `log_prior` of its training rows."""
        return Head(self.weights / calibration.temperature, calibration(self.bias, prior))


def fine_tune(
    encoder: Encoder,
    head: Head,
    loss: Callable[[Any, Any], Any],
    texts: Sequence[Any],
    targets: NDArray[Any],
    weights: NDArray[np.float64],
    *,
    seed: int,
    recipe: FineTuning | None = None,
) -> tuple[Encoder, Head]:
    """Train a copy of an encoder together with a head that was fitted on its features.

    Args:
        encoder: where training starts; it is not changed.
        head: where training starts; all of its numbers are finite.
        loss: of each row of a batch, shape (rows,), from logits and targets as torch tensors.
        texts: n texts, or pairs of texts that are read as one.
        targets: n targets; the first axis is that of the rows.
        weights: shape (n,), of each row's loss.
        seed: of the order of the rows and of dropout.
        recipe: how long and how fast.
    """
    import torch

    from pgkd.encoders.training import train_encoder

    # Mean 1 over all rows, not over a batch: else a batch of light rows counts like a heavy one.
    row_weights = weights / weights.mean()

    def mean_loss(logits: Any, rows: NDArray[np.int64]) -> Any:
        wanted = torch.tensor(targets[rows], device=logits.device)
        scale = torch.tensor(row_weights[rows], dtype=torch.float32, device=logits.device)
        return (loss(logits, wanted) * scale).mean()

    trained, layer = train_encoder(
        encoder, lambda: make_linear(head), mean_loss, texts, seed=seed, recipe=recipe
    )
    return trained, read_linear(layer)


def make_linear(head: Head) -> Any:
    """A head as a torch module; all of its numbers are finite."""
    import torch

    layer = torch.nn.Linear(head.weights.shape[1], len(head.bias))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(head.weights))
        layer.bias.copy_(torch.tensor(head.bias))
    return layer


def read_linear(layer: Any) -> Head:
    """What `make_linear` made, trained, as a head."""
    weights, bias = (part.detach().cpu().double().numpy() for part in (layer.weight, layer.bias))
    return Head(weights, bias)
