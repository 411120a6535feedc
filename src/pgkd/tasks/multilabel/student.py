"""The student: one-vs-rest logistic regression on an encoder, with a threshold for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pgkd.data.cells import check_texts
from pgkd.encoders.one_vs_rest import Floats, LabelCalibration
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderModel


def decide(
    logits: Floats, calibration: LabelCalibration, labels: Sequence[str], *, never_empty: bool
) -> list[Answer]:
    """The answers that logits are.

    Args:
        logits: not calibrated, shape (n, k).
        calibration: of the labels.
        labels: k names in column order.
        never_empty: whether every text gets a label: where none reaches its threshold, the nearest.

    Returns:
        ``labels``, ``probabilities`` by label, and ``probability``, that of the whole set.
    """
    probabilities = calibration.probabilities(logits)
    above = probabilities / np.array(calibration.thresholds)
    given = above >= 1
    if never_empty:
        empty = np.flatnonzero(~given.any(axis=1))
        given[empty, above[empty].argmax(axis=1)] = True
    whole = np.where(given, probabilities, 1 - probabilities).prod(axis=1)
    return [
        {
            "labels": sorted(labels[j] for j in np.flatnonzero(row).tolist()),
            "probabilities": dict(zip(labels, p.tolist(), strict=True)),
            "probability": float(all_),
        }
        for row, p, all_ in zip(given, probabilities, whole, strict=True)
    ]


@dataclass(frozen=True)
class MultiLabelStudent(EncoderModel):
    """See `EncoderModel`; the head has a row for each label.

    Attributes:
        labels: k names in column order.
        never_empty: see `decide`.
    """

    labels: tuple[str, ...]
    never_empty: bool

    kind = "multilabel"

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `pgkd.task.Answering` and `decide`.

        Raises:
            StudentError: `inputs` is no list of texts.
        """
        check_texts(inputs)
        if not len(inputs):
            return []
        logits = self.logits(inputs)
        return decide(logits, self.calibration, self.labels, never_empty=self.never_empty)

    def logits(self, texts: Sequence[str]) -> Floats:
        """Not calibrated, shape (n, k); n is at least 1."""
        return self.head.logits(self.encoder.features(texts))

    def describe(self) -> dict[str, Any]:
        """See `EncoderModel.describe`."""
        return {"labels": self.labels, "never_empty": self.never_empty}

    @classmethod
    def undescribe(cls, data: dict[str, Any], common: dict[str, Any]) -> Self:
        """See `EncoderModel.undescribe`."""
        found = LabelCalibration(
            **{k: tuple(map(float, v)) for k, v in data["calibration"].items()}
        )
        labels = tuple(map(str, data["labels"]))
        sizes = {len(found.scale), len(found.shift), len(found.thresholds), len(labels)}
        if sizes != {len(common["head"].bias)}:
            raise ValueError("its arrays do not fit its labels")
        return cls(**common, calibration=found, labels=labels, never_empty=data["never_empty"])
