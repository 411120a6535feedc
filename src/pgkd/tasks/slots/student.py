"""The student: a linear head on an encoder's token features, decoded to spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from pgkd.data.cells import check_texts
from pgkd.data.spans import find_units
from pgkd.encoders.head import Calibration, Head
from pgkd.encoders.tagging import (
    Floats,
    decode,
    fine_tune_tags,
    make_tags,
    tag_names,
    tagged_spans,
    unit_features,
)
from pgkd.encoders.transformer import Encoder
from pgkd.task import Answer
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from pgkd.tasks.common.encoders import EncoderModel
from pgkd.tasks.slots.data import SlotText

_UNSEEN = -10.0  # logit of a tag that no row had, above the mean of the others


def find_answers(
    texts: Sequence[str], logits: Sequence[Floats], temperature: float, labels: Sequence[str]
) -> list[Answer]:
    """The answers that logits of words are: ``entities`` in order, and ``probability`` of all."""
    answers = []
    found = decode([rows / temperature for rows in logits])
    for text, (tags, probability) in zip(texts, found, strict=True):
        spans = tagged_spans(find_units(text), tags, labels)
        entities = [
            {"start": start, "end": end, "label": label, "text": text[start:end]}
            for start, end, label in spans
        ]
        answers.append({"entities": entities, "probability": probability})
    return answers


def fit_student(
    encoder: Encoder,
    rows: Sequence[SlotText],
    weights: Floats,
    labels: Sequence[str],
    *,
    recipe: str,
    strength: float,
    seed: int,
) -> SlotsStudent:
    """A fresh student, not calibrated yet.

    Args:
        encoder: where training starts.
        rows: n rows.
        weights: shape (n,).
        labels: their labels.
        recipe: ``"frozen"`` for logistic regression, ``"finetune"`` to train the encoder after it.
        strength: scikit-learn's C.
        seed: of fine-tuning.
    """
    texts, names = [row.text for row in rows], tag_names(labels)
    units = [find_units(text) for text in texts]
    tags = [make_tags(u, row.entities, labels) for u, row in zip(units, rows, strict=True)]
    sizes, gold = [len(each) for each in tags], np.concatenate(tags)
    features = np.concatenate(unit_features(encoder, texts))
    head = fit_head(
        features, [names[tag] for tag in gold], names, HeadSettings(C=strength),
        np.repeat(weights, sizes),
    )  # fmt: skip
    seen = np.isfinite(head.bias)
    bias = np.where(seen, head.bias, head.bias[seen].mean() + _UNSEEN)
    head = Head(head.weights, bias)
    if recipe == "finetune":
        encoder, head = fine_tune_tags(encoder, head, texts, units, tags, weights, seed)
    return SlotsStudent(encoder, head, recipe, encoder.max_length, Calibration(), tuple(labels))


@dataclass(frozen=True)
class SlotsStudent(EncoderModel):
    """See `EncoderModel`; the head has a row for each of `tag_names`.

    Attributes:
        labels: k names in order.
    """

    calibration: Calibration
    labels: tuple[str, ...]

    kind = "slots"

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `pgkd.task.Answering` and `find_answers`.

        Raises:
            StudentError: `inputs` is no list of texts.
        """
        check_texts(inputs)
        if not len(inputs):
            return []
        temperature = self.calibration.temperature
        return find_answers(inputs, self.logits(inputs), temperature, self.labels)

    def logits(self, texts: Sequence[str]) -> list[Floats]:
        """Of the tags of each text's words, not calibrated, shape (words, tags)."""
        return [self.head.logits(rows) for rows in unit_features(self.encoder, texts)]

    def describe(self) -> dict[str, Any]:
        """See `EncoderModel.describe`."""
        return {"labels": self.labels}

    @classmethod
    def undescribe(cls, data: dict[str, Any], common: dict[str, Any]) -> Self:
        """See `EncoderModel.undescribe`."""
        labels = tuple(map(str, data["labels"]))
        if len(common["head"].bias) != len(tag_names(labels)):
            raise ValueError("its head does not fit its labels")
        return cls(**common, calibration=Calibration(**data["calibration"]), labels=labels)
