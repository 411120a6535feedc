"""Span extraction as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from pgkd.data.spans import format_spans, has_spans, has_tags
from pgkd.runs.forms import Count, Form, Str, SyntheticRow
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderTask
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.tasks.slots.data import (
    COLUMNS,
    SlotText,
    load_slots,
    read_slots,
    slots_from_arrays,
)
from pgkd.tasks.slots.evaluation import slot_figures
from pgkd.tasks.slots.learner import SlotsLearner
from pgkd.tasks.slots.prompts import SlotsPrompts
from pgkd.tasks.slots.student import SlotsStudent


class _Span(Form):
    start: Count
    end: Count
    label: Str


class _Example(SyntheticRow):
    entities: list[_Span]


class Slots(EncoderTask):
    """The parts of a text that have a label."""

    name = "slots"
    example_type = SlotText
    title = "A tagger of spans"
    pipeline_tag = "token-classification"
    model = SlotsStudent
    learner_type = SlotsLearner
    prompts_type = SlotsPrompts
    pooled = False
    config = SlotsConfig
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {"examples.jsonl": _Example}

    def load(self, config: SlotsConfig) -> Rows[SlotText]:
        """See `Task.load`."""
        return load_slots(config)

    def from_arrays(self, config: Any, *args: Any, **kwargs: Any) -> Rows[SlotText]:
        """See `slots_from_arrays`."""
        return slots_from_arrays(config, *args, **kwargs)

    def output(self, answer: Answer) -> str:
        """See `Task.output`."""
        return format_spans(answer["entities"])

    def read(self, path: Path, config: SlotsConfig) -> list[SlotText]:
        """See `Task.read`."""
        return read_slots(path, config)

    def figures(self, answers: Sequence[Answer], examples: Sequence[Any]) -> dict[str, float]:
        """See `slot_figures`."""
        return slot_figures(answers, examples)

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there is a column of lists of entities, or texts with tags."""
        cells = [(row.get(name), row.get("text")) for name in COLUMNS for row in rows]
        return any(has_spans(*pair) for pair in cells) or any(has_tags(text) for _, text in cells)
