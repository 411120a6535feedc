"""The figures of answers with entities, and what is wrong with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pgkd.data.spans import Span
from pgkd.task import Answer
from pgkd.tasks.common.learning import RowEvaluation
from pgkd.tasks.slots.data import SlotText

KINDS = ("missed", "boundary", "wrong_label", "invented")
"""What can be wrong with an entity."""


@dataclass(frozen=True, slots=True)
class SlotError:
    """A difference between what a text has and what an answer gives.

    Attributes:
        kind: one of `KINDS`.
        row: id of the text.
        expected: the entity; None where it is invented.
        answer: what was given for it; None where it is missed.
        value: its part of the text; of `answer` where it is invented.
    """

    kind: str
    row: str
    expected: Span | None
    answer: Span | None
    value: str

    @property
    def label(self) -> str:
        """Of the entity, or of what is invented."""
        span = self.expected or self.answer
        return span.label if span else ""


def spans_of(answer: Answer) -> list[Span]:
    """The entities of an answer."""
    return [Span(each["start"], each["end"], each["label"]) for each in answer["entities"]]


def find_errors(rows: Sequence[SlotText], answers: Sequence[Answer]) -> list[SlotError]:
    """What is wrong with the answers to n rows.

    An entity that was not given as it is has a boundary error if one of its label overlaps it, a
    wrong label if another one does, and else is missed. What overlaps no entity is invented.
    """
    errors = []
    for row, answer in zip(rows, answers, strict=True):
        given = spans_of(answer)
        for span in set(row.entities).difference(given):
            near = [each for each in given if each.overlaps(span)]
            same = [each for each in near if each.label == span.label]
            kind = "boundary" if same else "wrong_label" if near else "missed"
            value = row.text[span.start : span.end]
            errors.append(SlotError(kind, row.id, span, next(iter(same or near), None), value))
        for span in given:
            if not any(span.overlaps(each) for each in row.entities):
                value = row.text[span.start : span.end]
                errors.append(SlotError("invented", row.id, None, span, value))
    return sorted(errors, key=lambda e: (e.row, e.expected or e.answer or Span(0, 0, ""), e.kind))


def slot_cells(
    rows: Sequence[SlotText], answers: Sequence[Answer], labels: Iterable[str]
) -> list[dict[str, Any]]:
    """Figures by label, and how many of its errors are of which kind.

    ``error_rate`` is 1 - F1 with one more mistake than there was: no label is perfect.
    """
    kinds = Counter((error.label, error.kind) for error in find_errors(rows, answers))
    n, said, right = Counter[str](), Counter[str](), Counter[str]()
    for row, answer in zip(rows, answers, strict=True):
        given = spans_of(answer)
        n.update(span.label for span in row.entities)
        said.update(span.label for span in given)
        right.update(span.label for span in set(given).intersection(row.entities))
    return [
        {
            "name": name,
            "n": n[name],
            "precision": right[name] / said[name] if said[name] else 0.0,
            "recall": right[name] / n[name] if n[name] else 0.0,
            "f1": 2 * right[name] / (n[name] + said[name]) if n[name] + said[name] else 0.0,
            "error_rate": (n[name] + said[name] - 2 * right[name] + 1) / (n[name] + said[name] + 1),
            **{kind: kinds[name, kind] for kind in KINDS},
        }
        for name in labels
    ]


def slot_figures(answers: Sequence[Answer], examples: Sequence[SlotText]) -> dict[str, float]:
    """The figures of answers to n rows; an entity is right if its span and its label are.

    Micro F1, macro F1 over the labels that are right or given anywhere, precision, recall, and the
    share of texts that are wholly right. As seqeval counts (Nakayama, 2018).
    """
    said_spans = [set(spans_of(answer)) for answer in answers]
    pairs = [(set(row.entities), each) for row, each in zip(examples, said_spans, strict=True)]
    n, said = Counter[str](), Counter[str]()
    right = Counter(span.label for asked, given in pairs for span in asked & given)
    for asked, given in pairs:
        n.update(span.label for span in asked)
        said.update(span.label for span in given)
    scores = [2 * right[name] / (n[name] + said[name]) for name in sorted({*n, *said})]
    total = n.total() + said.total()
    return {
        "micro_f1": 2 * right.total() / total if total else 1.0,
        "macro_f1": float(np.mean(scores)) if scores else 1.0,
        "precision": right.total() / said.total() if said else float(not n),
        "recall": right.total() / n.total() if n else 1.0,
        "exact": float(np.mean([asked == given for asked, given in pairs])) if pairs else 1.0,
    }


@dataclass(frozen=True)
class SlotsEvaluation(RowEvaluation[SlotText]):
    """See `RowEvaluation`."""

    labels: tuple[str, ...]

    @cached_property
    def figures(self) -> dict[str, float]:
        """See `slot_figures`; and the mean of the losses."""
        figures = slot_figures(self.judged.answers, self.judged.examples)
        return {**figures, "log_loss": float(self.judged.losses.mean())}

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """See `slot_cells`."""
        return slot_cells(self.judged.examples, self.judged.answers, self.labels)

    def is_wrong(self, row: SlotText, answer: Answer) -> bool:
        """See `RowEvaluation.is_wrong`."""
        return set(row.entities) != set(spans_of(answer))
