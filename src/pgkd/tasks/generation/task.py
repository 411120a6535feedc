"""Generation as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from pgkd.errors import ConfigError
from pgkd.runs.forms import Str, SyntheticRow
from pgkd.task import Answer
from pgkd.tasks.common.learning import Judged
from pgkd.tasks.common.rows import Rows, load_rows, read_rows, rows_from_arrays
from pgkd.tasks.common.task import RowsTask
from pgkd.tasks.generation.config import GenerationConfig, MetricConfig
from pgkd.tasks.generation.data import GenerationExample, make_example
from pgkd.tasks.generation.learner import GenerationLearner
from pgkd.tasks.generation.metrics import OutputMetric
from pgkd.teachers.base import Request, Teacher

_Rows = Rows[GenerationExample]


class _Written(SyntheticRow):
    output: Str


class Generation(RowsTask):
    """Text to text."""

    name = "generation"
    config = GenerationConfig
    example_type = GenerationExample
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {"examples.jsonl": _Written}

    def load(self, config: GenerationConfig) -> _Rows:
        """See `Task.load`."""
        data, make = config.data, _maker(config)
        rows = load_rows(config, (data.text_column,), (data.output_column,), make)
        return _with_metric(config, rows)

    def from_arrays(
        self, config: GenerationConfig, inputs: Sequence[str], outputs: Sequence[str],
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> _Rows:  # fmt: skip
        """See `Task.from_arrays`."""
        rows = rows_from_arrays(config, inputs, outputs, _maker(config), validation)
        return _with_metric(config, rows)

    def dataset(self, data: dict[str, Any]) -> _Rows:
        """See `Task.dataset`."""
        metric = OutputMetric(MetricConfig.model_validate(data["details"]["metric"]))
        return Rows.from_json(data, partial(GenerationExample.from_json, metric=metric))

    def row_learner(
        self, config: Any, dataset: Any, weights: tuple[float, ...], student: Any = None
    ) -> GenerationLearner:
        """See `RowsTask.row_learner`."""
        return GenerationLearner(config, dataset, weights)

    def estimate(
        self, config: GenerationConfig, dataset: _Rows, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """See `Task.estimate`: as if the student were wrong everywhere."""
        learner, rows = GenerationLearner(config, dataset, (1.0,)), dataset.train
        answers = [{"output": row.target[::-1], "probability": 0.0} for row in rows]
        mined = Judged(rows, tuple(answers), np.zeros(len(rows)))
        evaluation = learner.evaluation(mined, mined, losses=mined.losses)
        for number in range(1, config.rounds + 1):
            for prompt in learner.prompts(number, evaluation, ()):
                yield prompt.request, prompt.count

    def load_student(self, folder: Path) -> Any:
        """See `Task.load_student`."""
        from pgkd.encoders.language_model import load_language_model

        return load_language_model(folder)

    def output(self, answer: Answer) -> str:
        """See `Task.output`."""
        return str(answer["output"])

    def read(self, path: Path, config: GenerationConfig) -> list[GenerationExample]:
        """See `Task.read`."""
        data = config.data
        return read_rows(path, (data.text_column,), (data.output_column,), _maker(config))

    def figures(
        self, answers: Sequence[Answer], examples: Sequence[GenerationExample]
    ) -> dict[str, float]:
        """See `Task.figures`. Examples bring their metric; those that have none compare exactly."""
        metric = next((e.metric for e in examples if e.metric), OutputMetric(MetricConfig()))
        pairs = zip(answers, examples, strict=True)
        return metric.figures([metric.score(e.text, e.target, a["output"]) for a, e in pairs])

    def formats(self, student: Any) -> tuple[str, ...]:
        """See `Task.formats`: both are a folder that transformers loads."""
        return ("huggingface", "plain")

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """See `Task.recognises`."""
        return {"input", "output"} <= set(columns)


def _maker(config: GenerationConfig) -> Any:
    database = config.metric.database
    if database is not None and not database.is_file():
        raise ConfigError(f"metric.database: there is no file {database}.")
    return partial(make_example, OutputMetric(config.metric))


def _with_metric(config: GenerationConfig, rows: _Rows) -> _Rows:
    """The rows with the settings of their metric, by which a run's copy scores outputs."""
    return replace(rows, details={"metric": config.metric.model_dump(mode="json")})
