"""The learner of a run of span extraction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pgkd.data.spans import find_span_errors, find_units
from pgkd.encoders.head import Calibration
from pgkd.encoders.tagging import (
    Floats,
    fine_tune_tags,
    fit_tagger,
    lower_half,
    make_tags,
    tag_names,
)
from pgkd.tasks.classification.students.head import fit_calibration, log_losses
from pgkd.tasks.common.encoders import EncoderLearner
from pgkd.tasks.common.labels import classes_of, label_folds
from pgkd.tasks.common.learning import Judged
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.tasks.slots.data import SlotText
from pgkd.tasks.slots.evaluation import SlotsEvaluation, slot_cells, spans_of
from pgkd.tasks.slots.prompts import SlotsPrompts
from pgkd.tasks.slots.student import SlotsStudent, find_answers


class SlotsLearner(EncoderLearner[SlotText, SlotsStudent]):
    """See `EncoderLearner`; a row's loss is the mean over its words, in nats."""

    strengths = (10.0, 100.0)

    def __init__(
        self,
        config: SlotsConfig,
        dataset: Rows[SlotText],
        weights: Sequence[float],
        recipe: str | None = None,
    ) -> None:
        labels = [row.labels for row in dataset.train]
        folds = label_folds(labels, config.guidance.folds, config.seed)
        super().__init__(config, dataset, folds, weights, recipe)
        self.encoder = lower_half(self.encoder)
        self._labels = tuple(each.name for each in classes_of(dataset))
        self._writer = SlotsPrompts(config, dataset, folds)

    def fit_model(
        self, rows: Sequence[SlotText], weights: Floats, recipe: str, strength: float
    ) -> SlotsStudent:
        """See `EncoderLearner.fit_model`: logistic regression over words."""
        texts, tags, encoder = [row.text for row in rows], list(map(self._tags, rows)), self.encoder
        head = fit_tagger(encoder, texts, tags, len(tag_names(self._labels)), weights, strength)
        if recipe == "finetune":
            encoder, head = fine_tune_tags(encoder, head, texts, tags, weights, self.config.seed)
        found = Calibration()
        return SlotsStudent(encoder, head, recipe, encoder.max_length, found, self._labels)

    def outputs(self, model: SlotsStudent, rows: Sequence[SlotText]) -> Sequence[Floats]:
        """See `SlotsStudent.logits` and `EncoderLearner.outputs`."""
        return model.logits([row.text for row in rows])

    def _tags(self, row: SlotText) -> Any:
        return make_tags(find_units(row.text), row.entities, self._labels)

    def fit_calibration(self, outputs: Sequence[Floats], rows: Sequence[SlotText]) -> Calibration:
        """See `EncoderLearner.fit_calibration`: a temperature."""
        logits = np.concatenate(outputs)
        gold = np.concatenate([self._tags(row) for row in rows])
        return fit_calibration(logits, np.zeros(logits.shape[1]), gold)

    def judge_outputs(
        self, outputs: Sequence[Floats], rows: Sequence[SlotText], calibration: Calibration
    ) -> Judged[SlotText]:
        """See `EncoderLearner.judge_outputs`."""
        texts, logits = [row.text for row in rows], [o / calibration.temperature for o in outputs]
        answers = find_answers(texts, logits, self._labels)
        gold = map(self._tags, rows)
        losses = [log_losses(*each).mean() for each in zip(logits, gold, strict=True)]
        return Judged(tuple(rows), tuple(answers), np.array(losses, dtype=np.float64))

    def evaluation(
        self, judged: Judged[SlotText], mined: Judged[SlotText], **known: Any
    ) -> SlotsEvaluation:
        """See `RowLearner.evaluation`."""
        return SlotsEvaluation(judged=judged, mined=mined, labels=self._labels, **known)

    def prompts(
        self, number: int, evaluation: SlotsEvaluation, synthetic: Sequence[SlotText]
    ) -> Sequence[SamplesPrompt]:
        """See `pgkd.task.Learner.prompts`."""
        mined = evaluation.mined
        errors = {
            row.id: find_span_errors(row.entities, spans_of(answer))
            for row, answer in zip(mined.examples, mined.answers, strict=True)
        }
        cells = [{**cell, "errors": errors} for cell in slot_cells(mined, self._labels)]
        return self._writer.prompts(number, cells, synthetic)
