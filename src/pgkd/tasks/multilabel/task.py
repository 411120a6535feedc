"""Multi-label classification as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from pgkd.data.label_sets import holds_several, is_flag, join_labels
from pgkd.runs.forms import Str, SyntheticRow
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderTask
from pgkd.tasks.common.rows import Rows, read_rows
from pgkd.tasks.multilabel.config import MultiLabelConfig
from pgkd.tasks.multilabel.data import (
    MultiLabelText,
    file_reader,
    load_multilabel,
    multilabel_from_arrays,
)
from pgkd.tasks.multilabel.learner import MultiLabelLearner, multilabel_figures
from pgkd.tasks.multilabel.prompts import MultiLabelPrompts
from pgkd.tasks.multilabel.student import MultiLabelStudent


class _Example(SyntheticRow):
    labels: list[Str]


class MultiLabel(EncoderTask):
    """Any number of labels a text."""

    name = "multilabel"
    example_type = MultiLabelText
    title = "A multi-label classifier of texts"
    pipeline_tag = "text-classification"
    model = MultiLabelStudent
    learner_type = MultiLabelLearner
    prompts_type = MultiLabelPrompts
    config = MultiLabelConfig
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {"examples.jsonl": _Example}
    review = "many"

    def load(self, config: MultiLabelConfig) -> Rows[MultiLabelText]:
        """See `Task.load`."""
        return load_multilabel(config)

    def from_arrays(self, config: Any, *args: Any, **kwargs: Any) -> Rows[MultiLabelText]:
        """See `multilabel_from_arrays`."""
        return multilabel_from_arrays(config, *args, **kwargs)

    def output(self, answer: Answer) -> str:
        """See `Task.output`."""
        return join_labels(answer["labels"])

    def agreement(self, one: Answer, other: Answer) -> float:
        """See `Task.agreement`: the share of all labels that both give, or both do not."""
        return 1 - len({*one["labels"]} ^ {*other["labels"]}) / len(one["probabilities"])

    def read(self, path: Path, config: MultiLabelConfig) -> list[MultiLabelText]:
        """See `Task.read`."""
        data = config.data
        return read_rows(path, (data.text_column,), data.columns, file_reader(data, path))

    def figures(self, answers: Sequence[Answer], examples: Sequence[Any]) -> dict[str, float]:
        """See `multilabel_figures`."""
        return multilabel_figures(answers, examples)

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there is a column of lists or of separated labels, or several of 0 and 1."""
        flags = [name for name in columns if rows and all(is_flag(row.get(name)) for row in rows)]
        cells = [cell for row in rows for cell in (row.get("labels"), row.get("label"))]
        return len(flags) > 1 or any(map(holds_several, cells))
