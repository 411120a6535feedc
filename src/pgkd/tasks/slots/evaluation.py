"""The figures of answers with entities, as seqeval counts (Nakayama, 2018)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pgkd.data.spans import ERRORS, Span, find_span_errors
from pgkd.task import Answer
from pgkd.tasks.common.learning import Judged, RowEvaluation
from pgkd.tasks.slots.data import SlotText


def spans_of(answer: Answer) -> list[Span]:
    """The entities of an answer."""
    return [Span(each["start"], each["end"], each["label"]) for each in answer["entities"]]


def _count(rows: Sequence[SlotText], answers: Sequence[Answer]) -> tuple[Counter[str], ...]:
    """How many entities of each label n rows have, are given, and are right."""
    has, said, right = Counter[str](), Counter[str](), Counter[str]()
    for row, answer in zip(rows, answers, strict=True):
        given = spans_of(answer)
        has.update(span.label for span in row.entities)
        said.update(span.label for span in given)
        right.update(span.label for span in set(given).intersection(row.entities))
    return has, said, right


def slot_cells(judged: Judged[SlotText], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Figures by label, and how many of its errors are of which of `ERRORS`.

    ``error_rate`` is 1 - F1 with one more mistake than there was: no label is perfect.
    """
    rows, answers, kinds = judged.examples, judged.answers, Counter[tuple[str, str]]()
    for row, answer in zip(rows, answers, strict=True):
        errors = find_span_errors(row.entities, spans_of(answer))
        kinds.update((error.span.label, error.kind) for error in errors)
    cells = []
    counts = _count(rows, answers)
    for name in labels:
        n, said, right = (count[name] for count in counts)
        figures = {
            "precision": right / said if said else 0.0,
            "recall": right / n if n else 0.0,
            "f1": 2 * right / (n + said) if n + said else 0.0,
            "error_rate": (n + said - 2 * right + 1) / (n + said + 1),
        }
        cells.append(
            {"name": name, "n": n, **figures, **{kind: kinds[name, kind] for kind in ERRORS}}
        )
    return cells


def slot_figures(answers: Sequence[Answer], examples: Sequence[SlotText]) -> dict[str, float]:
    """The figures of answers to n rows; an entity is right if its span and its label are.

    Micro F1, macro F1 over the labels that are right or given anywhere, precision, recall, and the
    share of texts that are wholly right.
    """
    has, said, right = _count(examples, answers)
    n, given, found = has.total(), said.total(), right.total()
    scores = [2 * right[name] / (has[name] + said[name]) for name in sorted({*has, *said})]
    pairs = zip(examples, answers, strict=True)
    exact = [set(row.entities) == set(spans_of(answer)) for row, answer in pairs]
    return {
        "micro_f1": 2 * found / (n + given) if n + given else 1.0,
        "macro_f1": float(np.mean(scores)) if scores else 1.0,
        "precision": found / given if given else float(not n),
        "recall": found / n if n else 1.0,
        "exact": float(np.mean(exact)) if exact else 1.0,
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
        return slot_cells(self.judged, self.labels)

    def is_wrong(self, row: SlotText, answer: Answer) -> bool:
        """See `RowEvaluation.is_wrong`."""
        return set(row.entities) != set(spans_of(answer))
