"""The learner of a multi-label run, and what it finds out about a student."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pgkd.encoders.head import fine_tune
from pgkd.encoders.one_vs_rest import (
    Flags,
    Floats,
    LabelCalibration,
    fit_heads,
    indicators,
    row_losses,
    torch_row_losses,
)
from pgkd.task import Answer
from pgkd.tasks.common.encoders import EncoderLearner
from pgkd.tasks.common.labels import label_folds, label_rates, taxonomy_of
from pgkd.tasks.common.learning import Judged, RowEvaluation
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.multilabel.config import MultiLabelConfig
from pgkd.tasks.multilabel.data import MultiLabelText
from pgkd.tasks.multilabel.prompts import NO_LABEL, MultiLabelPrompts
from pgkd.tasks.multilabel.student import MultiLabelStudent, decide


def multilabel_figures(
    answers: Sequence[Answer], examples: Sequence[MultiLabelText]
) -> dict[str, float]:
    """The figures of answers to n rows; the labels are those of both.

    Macro F1 over the labels that are right or given anywhere, micro F1, the share of rows whose
    set is right, mean average precision, and the mean of `row_losses`.
    """
    from sklearn.metrics import average_precision_score

    asked, said = [row.labels for row in examples], [answer["labels"] for answer in answers]
    names = {name for answer in answers for name in answer["probabilities"]}
    labels = sorted(names.union(*asked, *said))
    if not labels or not asked:
        return {}
    gold, given = indicators(asked, labels), indicators(said, labels)
    p = np.array(
        [[answer["probabilities"].get(name, 0.0) for name in labels] for answer in answers]
    )
    right, sizes = (gold & given).sum(axis=0), gold.sum(axis=0) + given.sum(axis=0)
    there = np.flatnonzero(gold.any(axis=0))
    ranked = [average_precision_score(gold[:, j], p[:, j]) for j in there]
    return {
        "macro_f1": float(np.mean(2 * right[sizes > 0] / sizes[sizes > 0])) if sizes.any() else 1.0,
        "micro_f1": float(2 * right.sum() / sizes.sum()) if sizes.any() else 1.0,
        "subset_accuracy": float((gold == given).all(axis=1).mean()),
        "map": float(np.mean(ranked)) if ranked else 1.0,
        "log_loss": float(row_losses(p, gold).mean()),
    }


def label_cells(judged: Judged[MultiLabelText], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Figures by label; rows without a label are a cell, too, where there are any.

    ``confused_with`` are labels that are given where this one is missed, or missed where this one
    is given, and ``forgotten_with`` those that are missed together with it, most often first.
    """
    gold = indicators([row.labels for row in judged.examples], labels)
    given, names = indicators([answer["labels"] for answer in judged.answers], labels), [*labels]
    if not gold.any(axis=1).all():
        gold, given = (np.hstack([m, ~m.any(axis=1, keepdims=True)]) for m in (gold, given))
        names.append(NO_LABEL)
    missed, invented = (gold & ~given).astype(int), (given & ~gold).astype(int)
    confused, forgotten = missed.T @ invented, missed.T @ missed
    confused += confused.T.copy()
    np.fill_diagonal(forgotten, 0)

    def first(counts: Any) -> list[str]:
        return [names[i] for i in np.argsort(-counts, kind="stable")[:3] if counts[i]]

    cells = []
    for j, name in enumerate(names):
        n, said, right = (int(m[:, j].sum()) for m in (gold, given, gold & given))
        cells.append(
            {
                "name": name,
                "n": n,
                **label_rates(n, said, right),
                "confused_with": first(confused[j]),
                "forgotten_with": first(forgotten[j]),
            }
        )
    return cells


@dataclass(frozen=True)
class MultiLabelEvaluation(RowEvaluation[MultiLabelText]):
    """See `RowEvaluation`."""

    labels: tuple[str, ...]

    @cached_property
    def figures(self) -> dict[str, float]:
        """See `multilabel_figures`."""
        return multilabel_figures(self.judged.answers, self.judged.examples)

    @cached_property
    def cells(self) -> list[dict[str, Any]]:
        """See `label_cells`."""
        return label_cells(self.judged, self.labels)

    def is_wrong(self, row: MultiLabelText, answer: Answer) -> bool:
        """See `RowEvaluation.is_wrong`."""
        return set(row.labels) != set(answer["labels"])


class MultiLabelLearner(EncoderLearner[MultiLabelText, MultiLabelStudent]):
    """See `EncoderLearner`."""

    def __init__(
        self,
        config: MultiLabelConfig,
        dataset: Rows[MultiLabelText],
        weights: Sequence[float],
        recipe: str | None = None,
    ) -> None:
        labels = [row.labels for row in dataset.train]
        folds = label_folds(labels, config.guidance.folds, config.seed)
        super().__init__(config, dataset, folds, weights, recipe)
        self._labels = taxonomy_of(dataset).names
        self._never_empty = all(row.labels for row in dataset.train)
        self._writer = MultiLabelPrompts(config, dataset, folds)

    def fit_model(
        self, rows: Sequence[MultiLabelText], weights: Floats, recipe: str, strength: float
    ) -> MultiLabelStudent:
        """See `EncoderLearner.fit_model`."""
        texts, gold, encoder = [row.text for row in rows], self._gold(rows), self.encoder
        head = fit_heads(encoder.features(texts), gold, weights, strength)
        if recipe == "finetune":
            encoder, head = fine_tune(
                encoder, head, torch_row_losses, texts, gold.astype(np.float32), weights,
                seed=self.config.seed,
            )  # fmt: skip
        return MultiLabelStudent(
            encoder, head, recipe, encoder.max_length, None, self._labels, self._never_empty
        )

    def _gold(self, rows: Sequence[MultiLabelText]) -> Flags:
        return indicators([row.labels for row in rows], self._labels)

    def outputs(self, model: MultiLabelStudent, rows: Sequence[MultiLabelText]) -> Any:
        """The logits, shape (n, k); see `EncoderLearner.outputs`."""
        return model.logits([row.text for row in rows])

    def fit_calibration(
        self, outputs: Sequence[Any], rows: Sequence[MultiLabelText]
    ) -> LabelCalibration:
        """See `EncoderLearner.fit_calibration`."""
        return LabelCalibration.fit(np.array(outputs), self._gold(rows))

    def judge_outputs(
        self, outputs: Sequence[Any], rows: Sequence[MultiLabelText], calibration: LabelCalibration
    ) -> Judged[MultiLabelText]:
        """See `EncoderLearner.judge_outputs`; the losses are `row_losses`."""
        logits = np.array(outputs)
        losses = row_losses(calibration.probabilities(logits), self._gold(rows))
        answers = decide(logits, calibration, self._labels, never_empty=self._never_empty)
        return Judged(tuple(rows), tuple(answers), losses)

    def evaluation(
        self, judged: Judged[MultiLabelText], mined: Judged[MultiLabelText], **known: Any
    ) -> MultiLabelEvaluation:
        """See `RowLearner.evaluation`."""
        return MultiLabelEvaluation(judged=judged, mined=mined, labels=self._labels, **known)

    def prompts(
        self, number: int, evaluation: MultiLabelEvaluation, synthetic: Sequence[MultiLabelText]
    ) -> Sequence[SamplesPrompt]:
        """See `pgkd.task.Learner.prompts`."""
        return self._writer.prompts(number, label_cells(evaluation.mined, self._labels), synthetic)
