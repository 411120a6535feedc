"""The student: two towers with a head on both texts' features, or a cross-encoder.

The head of two towers sees u, v, |u-v| and u*v (InferSent; Conneau et al., EMNLP 2017) and the
cosine, of the frozen features of each text. A cross-encoder reads both texts as one input and is
fine-tuned (BERT; Devlin et al., NAACL 2019). Segment ids are zero for both texts: the separator
tells them apart, and one exported graph serves both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pgkd.data.cells import check_pairs
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderModel
from pgkd.tasks.common.shares import Floats, ShareCalibration, Target

_COSINE = 10.0  # its scale: a large feature is hardly penalised
Embed = Callable[[Sequence[Any]], Floats]


def decide(shares: Floats, calibration: ShareCalibration, target: Target) -> list[Answer]:
    """The answers that uncalibrated shares, of the shape (n, columns), are.

    A label has ``label``, ``probability`` and ``probabilities`` by name; a score has ``score``,
    ``low`` and ``high``.
    """
    p = calibration.calibrated(shares)
    if target.labels:
        return [
            {
                "label": target.labels[int(row.argmax())],
                "probability": float(row.max()),
                "probabilities": dict(zip(target.labels, row.tolist(), strict=True)),
            }
            for row in p
        ]
    half = calibration.half_width
    at = p[:, [1]] + np.array([0.0, -half, half])
    scores = target.low + (target.high - target.low) * at.clip(0, 1)
    return [dict(zip(("score", "low", "high"), row, strict=True)) for row in scores.tolist()]


@dataclass(frozen=True)
class PairStudent(EncoderModel):
    """See `EncoderModel`; a fine-tuned one is a cross-encoder.

    Attributes:
        target: what is predicted; the head has the columns of `Target.gold`.
    """

    target: Target

    kind = "pairs"

    def answers(self, inputs: Sequence[tuple[str, str]]) -> list[Answer]:
        """See `pgkd.task.Answering` and `decide`.

        Raises:
            StudentError: `inputs` is no list of pairs of texts.
        """
        pairs = check_pairs(inputs)
        return decide(self.shares(pairs), self.calibration, self.target) if pairs else []

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
        target, calibration = Target.of(data["target"]), ShareCalibration(**data["calibration"])
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
