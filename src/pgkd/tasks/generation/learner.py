"""Trains and evaluates text generators, and asks the teacher for what they get wrong.

A language model repeats the rows that it was fine-tuned on, so mistakes are mined out of fold. Each
fold is one more training, so there are two of them, and the weight of synthetic rows is fixed. A
weak teacher costs nothing but its calls, as the stop rule keeps the best round.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.devices import find_device
from pgkd.task import Answer
from pgkd.tasks.common.allocation import allocate, error_rate, portions, scheduled
from pgkd.tasks.common.folds import random_folds
from pgkd.tasks.common.learning import Judged, RowEvaluation, RowLearner
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.generation.config import GenerationConfig
from pgkd.tasks.generation.data import GenerationExample
from pgkd.tasks.generation.metrics import OutputMetric, OutputScore
from pgkd.tasks.generation.prompts import MinedPair, PairWriter

if TYPE_CHECKING:
    from pgkd.encoders.language_model import LanguageModel

_Judged = Judged[GenerationExample]
_Rows = Rows[GenerationExample]


@dataclass(frozen=True)
class GenerationEvaluation(RowEvaluation[GenerationExample]):
    """Outputs for rows that the figures are of (`judged`), and for training rows out of fold."""

    metric: OutputMetric

    @property
    def figures(self) -> Mapping[str, float]:
        """See `Evaluation.figures`."""
        loss = float(np.mean(self.judged.losses))
        return {**self.metric.figures(score_all(self.judged, self.metric)), "log_loss": loss}

    @property
    def cells(self) -> Sequence[Mapping[str, Any]]:
        """The parts of outputs, over the training rows: ``n`` that have it, expected or written."""
        scores = score_all(self.mined, self.metric)
        parts = [self.metric.parts(row.target) for row in self.mined.examples]
        found: dict[str, list[float]] = {name: [] for name in sorted(set(chain(*parts)))}
        for having, score in zip(parts, scores, strict=True):
            wrong = found.keys() & score.wrong or set(having)  # students make up fields
            for name in {*having, *wrong}:
                found[name].append(1 - score.value if name in wrong else 0.0)
        return [
            {"name": name, "n": len(lost), "mistakes": sum(lost), "error_rate": sum(lost) / n}
            for name, lost in found.items() if (n := len(lost))
        ]  # fmt: skip

    @property
    def mistakes(self) -> Sequence[Mapping[str, Any]]:
        """See `Evaluation.mistakes`; with the ``reason`` for each. The surest come first."""
        scores = score_all(self.judged, self.metric)
        rows = list(zip(self.judged.examples, self.judged.answers, scores, strict=True))
        rows.sort(key=lambda each: (each[2].value, -each[1]["probability"]))
        return [
            {"id": row.id, "text": row.text, "expected": row.target, "answer": answer["output"],
             "reason": score.reason}
            for row, answer, score in rows if score.value < 1
        ]  # fmt: skip

    def is_wrong(self, row: GenerationExample, answer: Answer) -> bool:
        """See `RowEvaluation.is_wrong`."""
        return self.metric.score(row.text, row.target, answer["output"]).value < 1


class GenerationLearner(RowLearner[GenerationExample, "LanguageModel"]):
    """Fine-tunes a language model anew each round."""

    def __init__(self, config: GenerationConfig, dataset: _Rows, weights: Sequence[float]) -> None:
        rows = dataset.train
        folds = random_folds(len(rows), min(config.guidance.folds, len(rows)), config.seed)
        super().__init__(dataset, folds, weights)
        self._config, self._metric = config, OutputMetric(config.metric)
        self._writer = PairWriter(config, rows, self._metric)

    def fit(self, rows: Sequence[GenerationExample], weights: NDArray[np.float64]) -> LanguageModel:
        """See `RowLearner.fit`."""
        import torch

        from pgkd.encoders import language_model
        from pgkd.encoders.training import FineTuning

        student = self._config.student
        if student.threads is not None:
            torch.set_num_threads(student.threads)
        device = find_device(student.device, student.precision)
        return language_model.train_language_model(
            language_model.load_base(student.model, student.max_length, device),
            [row.text for row in rows], [row.target for row in rows], weights,
            recipe=FineTuning(student.epochs, student.batch_size, student.learning_rate),
            max_output=student.max_output, seed=self._config.seed,
        )  # fmt: skip

    def judge(self, student: LanguageModel, rows: Sequence[GenerationExample]) -> _Judged:
        """See `RowLearner.judge`."""
        texts = [row.text for row in rows]
        losses = student.losses(texts, [row.target for row in rows])
        return Judged(tuple(rows), tuple(student.answers(texts)), losses)

    def evaluation(self, judged: _Judged, mined: _Judged, **known: Any) -> GenerationEvaluation:
        """See `RowLearner.evaluation`. The validation rows judge alone.

        Students of a half learn the form of an output from any teacher: they would flatter it.
        """
        known["losses"] = judged.losses
        return GenerationEvaluation(judged=judged, mined=mined, metric=self._metric, **known)

    def prompts(
        self, number: int, evaluation: GenerationEvaluation, synthetic: Sequence[GenerationExample]
    ) -> list[SamplesPrompt]:
        """The parts of outputs that go wrong most often get most rows; see `Learner.prompts`."""
        config, mined = self._config, evaluation.mined
        rates = {cell["name"]: error_rate(cell["n"], cell["mistakes"]) for cell in evaluation.cells}
        if config.guidance.allocation == "even":
            rates = dict.fromkeys(rates, 1.0)
        asked = Counter(part for row in synthetic for part in self._metric.parts(row.target))
        budget = scheduled(config.texts, config.rounds, number)
        shares = portions(allocate(rates, asked, budget).items(), self._writer.per_request)
        scores = score_all(mined, self._metric)
        rows = list(map(MinedPair, mined.examples, mined.answers, scores, self._folds.tolist()))
        return [
            self._writer.prompt(f"r{number}-{i:04d}", part, count, rows)
            for i, (part, count) in enumerate(shares, start=1)
        ]


def score_all(judged: _Judged, metric: OutputMetric) -> list[OutputScore]:
    """The scores of all answers."""
    return [
        metric.score(row.text, row.target, answer["output"])
        for row, answer in zip(judged.examples, judged.answers, strict=True)
    ]
