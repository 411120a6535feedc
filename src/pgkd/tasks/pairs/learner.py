"""The learner of a run on pairs, and what it finds out about a student."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pgkd.errors import DataError
from pgkd.evaluation import score_figures
from pgkd.task import Answer
from pgkd.tasks.classification.students.encoder import fine_tune_classes
from pgkd.tasks.common.allocation import error_rate
from pgkd.tasks.common.encoders import EncoderLearner
from pgkd.tasks.common.folds import grouped_folds
from pgkd.tasks.common.learning import Judged, RowEvaluation
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.common.shares import Floats, ShareCalibration, Target, fit_shares
from pgkd.tasks.pairs.config import PairsConfig
from pgkd.tasks.pairs.data import Pair
from pgkd.tasks.pairs.prompts import PairPrompts
from pgkd.tasks.pairs.student import PairStudent, decide, pair_features


def pair_figures(answers: Sequence[Answer], rows: Sequence[Pair]) -> dict[str, float]:
    """Accuracy and macro F1; or `score_figures`.

    Raises:
        DataError: scores are to be judged, and a row has none.
    """
    if answers and "score" in answers[0]:
        if missing := next((row for row in rows if row.score is None), None):
            raise DataError(f"Row {missing.id.lstrip(':')} has no score, but '{missing.label}'.")
        return score_figures(answers, [float(row.score or 0.0) for row in rows])
    said, true = [a["label"] for a in answers], [row.label for row in rows]
    right = Counter(t for s, t in zip(said, true, strict=True) if s == t)
    total = Counter(said) + Counter(true)
    return {
        "accuracy": right.total() / max(1, len(rows)),
        "macro_f1": float(np.mean([2 * right[n] / total[n] for n in total])) if total else 0.0,
    }


def pair_error(answer: Answer, row: Pair, target: Target) -> float:
    """How wrong an answer is, from 0 to 1; a score that is off by a band or more is wrong."""
    if target.labels:
        return float(answer["label"] != row.label)
    return min(1.0, abs(float(answer["score"]) - float(row.score or 0.0)) / target.band)


def pair_cells(judged: Judged[Pair], target: Target) -> list[dict[str, Any]]:
    """Figures by label or band of scores, with the commonest mistake."""
    cells = []
    for name in target.cells:
        of = [i for i, row in enumerate(judged.examples) if target.cell(row) == name]
        rows, answers = [judged.examples[i] for i in of], [judged.answers[i] for i in of]
        errors = [pair_error(a, r, target) for a, r in zip(answers, rows, strict=True)]
        cell: dict[str, Any] = {"name": name, "n": len(of)}
        if target.labels:
            said = Counter(a["label"] for a in answers if a["label"] != name)
            cell["recall"] = 1 - float(np.mean(errors)) if of else 0.0
            cell["taken_for"] = said.most_common(1)[0][0] if said else ""
        elif of:
            off = float(np.mean([a["score"] - r.score for a, r in zip(answers, rows, strict=True)]))
            cell |= {"mae": pair_figures(answers, rows)["mae"], "bias": off}
        cells.append({**cell, "error_rate": error_rate(len(of), sum(errors))})
    return cells


@dataclass(frozen=True)
class PairEvaluation(RowEvaluation[Pair]):
    """See `RowEvaluation`; `target` is what is predicted."""

    target: Target

    @property
    def figures(self) -> Mapping[str, float]:
        """See `pair_figures`."""
        return pair_figures(self.judged.answers, self.judged.examples)

    @property
    def cells(self) -> Sequence[Mapping[str, Any]]:
        """See `pair_cells`."""
        return pair_cells(self.judged, self.target)

    def is_wrong(self, row: Pair, answer: Answer) -> bool:
        """See `RowEvaluation.is_wrong`."""
        return pair_error(answer, row, self.target) >= 1


class PairLearner(EncoderLearner[Pair, PairStudent]):
    """See `EncoderLearner`; frozen features are those of two towers."""

    strengths = (0.1, 0.3, 1.0, 3.0, 10.0)

    def __init__(
        self,
        config: PairsConfig,
        dataset: Rows[Pair],
        weights: Sequence[float],
        recipe: str | None = None,
    ) -> None:
        self._target = Target.of(dataset.details)
        cells = [self._target.cell(row) for row in dataset.train]
        folds = grouped_folds(dataset.train, cells, config.guidance.folds, config.seed)
        super().__init__(config, dataset, folds, weights, recipe)
        self._writer = PairPrompts(config, dataset, folds)

    def fit_model(
        self, rows: Sequence[Pair], weights: Floats, recipe: str, strength: float
    ) -> PairStudent:
        """See `EncoderLearner.fit_model`.

        Raises:
            DataError: a row has a label or a score that is none of the target's.
        """
        gold, pairs, encoder = self._target.gold(rows), [row.texts for row in rows], self.encoder
        features = pair_features(encoder.features, pairs, crossed=recipe == "finetune")
        head = fit_shares(features, gold, weights, strength)
        if recipe == "finetune":
            seed = self.config.seed
            encoder, head = fine_tune_classes(encoder, head, pairs, gold, weights, seed=seed)
        return PairStudent(encoder, head, recipe, encoder.max_length, None, self._target)

    def outputs(self, model: PairStudent, rows: Sequence[Pair]) -> Any:
        """Shares, shape (n, columns); see `EncoderLearner.outputs`."""
        return model.shares([row.texts for row in rows])

    def fit_calibration(self, outputs: Sequence[Any], rows: Sequence[Pair]) -> ShareCalibration:
        """See `EncoderLearner.fit_calibration`."""
        target = self._target
        return ShareCalibration.fit(np.array(outputs), target.gold(rows), scored=not target.labels)

    def judge_outputs(
        self, outputs: Sequence[Any], rows: Sequence[Pair], calibration: ShareCalibration
    ) -> Judged[Pair]:
        """See `EncoderLearner.judge_outputs`."""
        shares, target = np.array(outputs), self._target
        losses = calibration.losses(shares, target.gold(rows))
        return Judged(tuple(rows), tuple(decide(shares, calibration, target)), losses)

    def evaluation(self, judged: Judged[Pair], mined: Judged[Pair], **known: Any) -> PairEvaluation:
        """See `RowLearner.evaluation`."""
        return PairEvaluation(judged=judged, mined=mined, target=self._target, **known)

    def prompts(
        self, number: int, evaluation: PairEvaluation, synthetic: Sequence[Pair]
    ) -> Sequence[SamplesPrompt]:
        """See `pgkd.task.Learner.prompts`."""
        return self._writer.prompts(number, pair_cells(evaluation.mined, self._target), synthetic)
