"""The student: two towers with a head on both texts' features, or a cross-encoder.

The head of two towers sees u, v, |u-v| and u*v (InferSent; Conneau et al., EMNLP 2017) and the
cosine, of the frozen features of each text. A cross-encoder reads both texts as one input and is
fine-tuned (BERT; Devlin et al., NAACL 2019). Segment ids are zero for both texts: the separator
tells them apart, and one exported graph serves both ways.

A score is learnt as its share of the scale, by logistic regression on a soft target: a prediction
is always within the bounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.data.cells import check_pairs
from pgkd.task import Answer
from pgkd.tasks.classification.students.head import fit_calibration
from pgkd.tasks.common.encoders import EncoderModel
from pgkd.tasks.pairs.data import Pair, Target

COVERAGE = 0.9  # of the prediction intervals
_LEAST = 1e-9  # of a share: its logarithm is a number
_COSINE = 10.0  # its scale: a large feature is hardly penalised
Floats = NDArray[np.float64]
Embed = Callable[[Sequence[Any]], Floats]


@dataclass(frozen=True, slots=True)
class PairCalibration:
    """What is fitted on rows that were held out.

    Attributes:
        temperature: divides the logits of labels (Guo et al., ICML 2017).
        spread: standard deviation of the errors of shares of the scale.
        half_width: of the intervals of such shares: split conformal (Lei et al., JASA 2018), they
            hold 90% of new rows if those are alike.
    """

    temperature: float = 1.0
    spread: float = 1.0
    half_width: float = 1.0

    @classmethod
    def fit(cls, shares: Floats, target: Target, rows: Sequence[Pair]) -> Self:
        """From uncalibrated shares of n held-out rows, shape (n, columns)."""
        gold = target.gold(rows)
        if target.labels:
            logits, no_prior = np.log(np.maximum(shares, _LEAST)), np.zeros(gold.shape[1])
            return cls(fit_calibration(logits, no_prior, gold.argmax(axis=1)).temperature)
        errors = np.sort(np.abs(shares[:, 1] - gold[:, 1]))
        rank = math.ceil((len(errors) + 1) * COVERAGE)
        half = float(errors[rank - 1]) if rank <= len(errors) else 1.0
        return cls(1.0, max(float(np.sqrt((errors**2).mean())), 1e-3), half)

    def __call__(self, shares: Floats) -> Floats:
        """Calibrated shares."""
        powers = np.maximum(shares, _LEAST) ** (1 / self.temperature)
        found: Floats = powers / powers.sum(axis=1, keepdims=True)
        return found

    def answers(self, shares: Floats, target: Target) -> list[Answer]:
        """The answers that uncalibrated shares, of the shape (n, columns), are.

        A label has ``label``, ``probability`` and ``probabilities`` by name; a score has ``score``,
        ``low`` and ``high``.
        """
        p = self(shares)
        if target.labels:
            return [
                {
                    "label": target.labels[int(row.argmax())],
                    "probability": float(row.max()),
                    "probabilities": dict(zip(target.labels, row.tolist(), strict=True)),
                }
                for row in p
            ]
        at = p[:, [1]] + np.array([0.0, -self.half_width, self.half_width])
        scores = target.low + (target.high - target.low) * at.clip(0, 1)
        names = ("score", "low", "high")
        return [dict(zip(names, row, strict=True)) for row in scores.tolist()]

    def losses(self, shares: Floats, target: Target, rows: Sequence[Pair]) -> Floats:
        """In nats, shape (n,): log loss of labels, Gaussian log loss of shares of the scale."""
        gold = target.gold(rows)
        if target.labels:
            found: Floats = -(gold * np.log(np.maximum(self(shares), 1e-6))).sum(1)
            return found
        z: Floats = (shares[:, 1] - gold[:, 1]) / self.spread
        return 0.5 * z**2 + math.log(self.spread * math.sqrt(2 * math.pi))


@dataclass(frozen=True)
class PairStudent(EncoderModel):
    """See `EncoderModel`; a fine-tuned one is a cross-encoder.

    Attributes:
        target: what is predicted; the head has the columns of `Target.gold`.
    """

    target: Target

    kind = "pairs"

    def answers(self, inputs: Sequence[tuple[str, str]]) -> list[Answer]:
        """See `pgkd.task.Answering` and `PairCalibration.answers`.

        Raises:
            StudentError: `inputs` is no list of pairs of texts.
        """
        pairs = check_pairs(inputs)
        return self.calibration.answers(self.shares(pairs), self.target) if pairs else []

    def shares(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """Uncalibrated, of n pairs, n at least 1, shape (n, columns)."""
        crossed = self.recipe == "finetune"
        return self.head.predict_proba(pair_features(self.encoder.features, pairs, crossed=crossed))

    @classmethod
    def head_width(cls, width: int, recipe: str) -> int:
        """See `pair_features`."""
        return width if recipe == "finetune" else 4 * width + 1

    def describe(self) -> dict[str, Any]:
        """See `EncoderModel.describe`."""
        return {"target": self.target.to_json()}

    @classmethod
    def undescribe(cls, data: dict[str, Any], common: dict[str, Any]) -> Self:
        """See `EncoderModel.undescribe`."""
        target, calibration = Target.of(data["target"]), PairCalibration(**data["calibration"])
        if len(common["head"].bias) != (len(target.labels) or 2):
            raise ValueError("its head does not fit its labels")
        return cls(**common, calibration=calibration, target=target)


def pair_features(embed: Embed, pairs: Sequence[tuple[str, str]], *, crossed: bool) -> Floats:
    """Features of n pairs, n at least 1, from an encoder's of each text, or of the pair."""
    if crossed:
        return embed(list(pairs))
    u, v = embed([a for a, _ in pairs]), embed([b for _, b in pairs])
    product = u * v
    cosine = product.sum(axis=1, keepdims=True)
    return np.hstack([u, v, np.abs(u - v), product, _COSINE * cosine])
