"""The student: a linear head on an encoder's token features, decoded to spans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from pgkd.data.cells import check_texts
from pgkd.encoders.head import Calibration
from pgkd.encoders.tagging import Floats, find_spans, tag_names, unit_features
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderModel


def find_answers(
    texts: Sequence[str], logits: Sequence[Floats], labels: Sequence[str]
) -> list[Answer]:
    """The answers that logits of words are: ``entities`` in order, and ``probability`` of all."""
    found = zip(texts, find_spans(texts, logits, labels), strict=True)
    return [
        {"entities": [span.to_json(text) for span in spans], "probability": probability}
        for text, (spans, probability) in found
    ]


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
        logits = [rows / self.calibration.temperature for rows in self.logits(inputs)]
        return find_answers(inputs, logits, self.labels)

    def logits(self, texts: Sequence[str]) -> list[Floats]:
        """Of the tags of each text's words, not calibrated, shape (words, tags)."""
        return [self.head.logits(rows) for rows in unit_features(self.encoder, texts)]

    @classmethod
    def head_width(cls, width: int, recipe: str) -> int:
        """See `unit_features`."""
        return 3 * width

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
