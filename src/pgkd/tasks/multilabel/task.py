"""Multi-label classification as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from pgkd.data.cells import is_missing, name_of
from pgkd.data.label_sets import join_labels
from pgkd.runs.forms import Str, SyntheticRow
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderTask
from pgkd.tasks.common.labels import taxonomy_of
from pgkd.tasks.common.rows import Rows, read_rows
from pgkd.tasks.multilabel.config import MultiLabelConfig
from pgkd.tasks.multilabel.data import (
    MultiLabelText,
    load_multilabel,
    make_reader,
    multilabel_from_arrays,
    output_columns,
)
from pgkd.tasks.multilabel.learner import MultiLabelLearner, multilabel_figures
from pgkd.tasks.multilabel.prompts import MultiLabelPrompts
from pgkd.tasks.multilabel.student import MultiLabelStudent
from pgkd.teachers.base import Request, Teacher

_SEPARATED = re.compile(r"[^|;]{1,60}([|;][^|;]{1,60})+")


class _Example(SyntheticRow):
    labels: list[Str]


class MultiLabel(EncoderTask):
    """Any number of labels a text."""

    name = "multilabel"
    model = MultiLabelStudent
    config = MultiLabelConfig
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {"examples.jsonl": _Example}
    review = "many"

    def load(self, config: MultiLabelConfig) -> Rows[MultiLabelText]:
        """See `Task.load`."""
        return load_multilabel(config)

    def from_arrays(self, config: Any, *args: Any, **kwargs: Any) -> Rows[MultiLabelText]:
        """See `multilabel_from_arrays`."""
        return multilabel_from_arrays(config, *args, **kwargs)

    def example(self, data: dict[str, Any]) -> MultiLabelText:
        """See `Task.example`."""
        return MultiLabelText.from_json(data)

    def row_learner(
        self, config: Any, dataset: Any, weights: tuple[float, ...], student: Any = None
    ) -> MultiLabelLearner:
        """See `RowsTask.row_learner`."""
        return MultiLabelLearner(config, dataset, weights, student and student.recipe)

    def estimate(
        self, config: Any, dataset: Any, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """See `Task.estimate`: the requests if the student is equally weak in all labels."""
        writer = MultiLabelPrompts(config, dataset, np.zeros(len(dataset.train), dtype=np.int64))
        for number in range(1, config.rounds + 1):
            yield from ((each.request, each.count) for each in writer.prompts(number, (), ()))

    def choices(self, dataset: Any) -> tuple[str, ...]:
        """The label names."""
        return taxonomy_of(dataset).names

    def output(self, answer: Answer) -> str:
        """See `Task.output`."""
        return join_labels(answer["labels"])

    def read(self, path: Path, config: MultiLabelConfig) -> list[MultiLabelText]:
        """See `Task.read`."""
        make = make_reader(config, path, None)
        return read_rows(path, (config.data.text_column,), output_columns(config), make)

    def figures(self, answers: Sequence[Answer], examples: Sequence[Any]) -> dict[str, float]:
        """See `multilabel_figures`."""
        return multilabel_figures(answers, examples)

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there is a column of lists or of separated labels, or several of 0 and 1."""
        flags = [name for name in columns if rows and all(_is_flag(row.get(name)) for row in rows)]
        cells = [cell for row in rows for cell in (row.get("labels"), row.get("label"))]
        return len(flags) > 1 or any(
            isinstance(cell, list)
            or (isinstance(cell, str) and (cell[:1] == "[" or _SEPARATED.fullmatch(cell)))
            for cell in cells
        )


def _is_flag(cell: Any) -> bool:
    return not is_missing(cell) and name_of(cell) in ("0", "1")
