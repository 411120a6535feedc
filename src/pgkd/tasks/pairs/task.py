"""Pairs of texts as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from pgkd.runs.forms import Number, Str, SyntheticRow
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderTask
from pgkd.tasks.common.rows import Rows, read_rows
from pgkd.tasks.common.shares import Target
from pgkd.tasks.pairs.config import PairsConfig
from pgkd.tasks.pairs.data import (
    Pair,
    find_column,
    load_pairs,
    make_reader,
    pairs_from_arrays,
)
from pgkd.tasks.pairs.learner import PairLearner, pair_figures
from pgkd.tasks.pairs.prompts import PairPrompts
from pgkd.tasks.pairs.student import PairStudent


class _Pair(SyntheticRow):
    text_pair: Str
    label: Str | None = None
    score: Number | None = None


class Pairs(EncoderTask):
    """Two texts with a label or a score.

    Outputs are reviewed as text, for a score has no choices; an unknown label or a score out of
    bounds is refused when the student is trained again.
    """

    name = "pairs"
    example_type = Pair
    title = "A model for pairs of texts"
    pipeline_tag = "text-classification"
    model = PairStudent
    learner_type = PairLearner
    prompts_type = PairPrompts
    config = PairsConfig
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {"examples.jsonl": _Pair}
    inputs = ("text", "text_pair")
    review = "text"

    def load(self, config: PairsConfig) -> Rows[Pair]:
        """See `Task.load`."""
        return load_pairs(config)

    def from_arrays(self, config: PairsConfig, *args: Any, **kwargs: Any) -> Rows[Pair]:
        """See `Task.from_arrays` and `pairs_from_arrays`."""
        return pairs_from_arrays(config, *args, **kwargs)

    def choices(self, dataset: Any) -> tuple[str, ...]:
        """The label names; none of scores."""
        return Target.of(dataset.details).labels

    def output(self, answer: Answer) -> str:
        """See `Task.output`."""
        return str(answer["label"]) if "label" in answer else f"{answer['score']:g}"

    def agreement(self, one: Answer, other: Answer) -> float:
        """See `Task.agreement`: scores agree within a twentieth of the interval."""
        if "score" not in one:
            return super().agreement(one, other)
        return float(abs(one["score"] - other["score"]) <= (one["high"] - one["low"]) / 20)

    def read(self, path: Path, config: PairsConfig) -> list[Pair]:
        """See `Task.read`."""
        data = config.data
        column = find_column(data, path)
        return read_rows(path, data.inputs, (column,), make_reader(data, column))

    def figures(self, answers: Sequence[Answer], examples: Sequence[Pair]) -> dict[str, float]:
        """See `pair_figures`."""
        return pair_figures(answers, examples)

    def calibration_texts(self, student: PairStudent, rows: Sequence[Pair]) -> list[Any]:
        """See `EncoderTask.calibration_texts`: pairs, or their texts one by one."""
        if student.recipe == "finetune":
            return [row.texts for row in rows]
        return [text for row in rows for text in row.texts]

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there are two texts and a label or a score."""
        return {"text", "text_pair"} <= set(columns) and bool({"label", "score"} & set(columns))
