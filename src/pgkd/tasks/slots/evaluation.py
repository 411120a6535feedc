"""The figures of answers with entities, as seqeval counts (Nakayama, 2018)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np

from pgkd.data.spans import ERRORS, Span, count_spans, find_span_errors
from pgkd.task import Answer
from pgkd.tasks.common.labels import label_rates
from pgkd.tasks.common.learning import Judged, RowEvaluation
from pgkd.tasks.slots.data import SlotText


def spans_of(answer: Answer) -> list[Span]:
    """The entities of an answer."""
    return [Span(each["start"], each["end"], each["label"]) for each in answer["entities"]]


def slot_cells(judged: Judged[SlotText], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Figures by label, see `label_rates`, and how many of its errors are of which of `ERRORS`."""
    expected = [row.entities for row in judged.examples]
    given = [spans_of(answer) for answer in judged.answers]
    errors = chain.from_iterable(map(find_span_errors, expected, given))
    kinds = Counter((error.span.label, error.kind) for error in errors)
    has, said, right = count_spans(expected, given)
    return [
        {"name": name, "n": has[name], **label_rates(has[name], said[name], right[name]),
         **{kind: kinds[name, kind] for kind in ERRORS}}
        for name in labels
    ]  # fmt: skip


def slot_figures(answers: Sequence[Answer], examples: Sequence[SlotText]) -> dict[str, float]:
    """The figures of answers to n rows; an entity is right if its span and its label are.

    Micro F1, macro F1 over the labels that are right or given anywhere, precision, recall, and the
    share of texts that are wholly right.
    """
    expected, given = [row.entities for row in examples], list(map(spans_of, answers))
    has, said, right = count_spans(expected, given)
    n, found, total = has.total(), right.total(), said.total()
    scores = [2 * right[name] / (has[name] + said[name]) for name in sorted({*has, *said})]
    exact = [set(one) == set(other) for one, other in zip(expected, given, strict=True)]
    return {
        "micro_f1": 2 * found / (n + total) if n + total else 1.0,
        "macro_f1": float(np.mean(scores)) if scores else 1.0,
        "precision": found / total if total else float(not n),
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
