"""Choosing a head's hyper-parameters and the weight of synthetic texts by cross-validation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.head import Head
from pgkd.evaluation import paired_change
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.students.head import (
    HeadSettings,
    fit_calibration,
    fit_head,
    log_losses,
    log_prior,
)
from pgkd.tasks.common.folds import stratified_folds

_FOLDS = 5


@dataclass(frozen=True)
class SyntheticTexts:
    """LLM-written texts in tuning: students train on them and are never judged by them.

    Attributes:
        texts: m texts.
        labels: their classes.
        weights: shape (m,), relative to each other.
        scaled: shape (m,), False for texts that have weight `weights`, whatever is chosen.
        candidates: factors of `weights` to choose from; a later one replaces an earlier one if it
            is better by more than a standard error.
        hidden: shape (n_rows, m); a fold that holds out the row may not train on the text.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    weights: NDArray[np.float64]
    scaled: NDArray[np.bool_]
    candidates: Sequence[float]
    hidden: NDArray[np.bool_]

    @classmethod
    def none(cls, n_rows: int) -> Self:
        """No synthetic texts."""
        no = np.zeros(0, dtype=bool)
        return cls((), (), np.zeros(0), no, (1.0,), np.zeros((n_rows, 0), dtype=bool))

    def scaled_by(self, weight: float) -> NDArray[np.float64]:
        """Sample weights at a candidate, shape (m,)."""
        return np.asarray(self.weights * np.where(self.scaled, weight, 1.0))


@dataclass(frozen=True)
class Split:
    """A fold of the rows held out, and the rows and synthetic texts to train on.

    Attributes:
        texts: to train on, the rows first.
        labels: their classes.
        counts: shape (n_classes,), rows of each class among those to train on.
        synthetic: indices of the synthetic texts to train on.
        held_out: indices of the rows held out, without those of classes with nothing to train on,
            which cannot tell good settings from bad ones.
        gold: columns of their classes.
    """

    texts: list[str]
    labels: list[str]
    counts: NDArray[np.float64]
    synthetic: NDArray[np.int64]
    held_out: NDArray[np.int64]
    gold: NDArray[np.int64]

    def weights(self, synthetic: SyntheticTexts, weight: float) -> NDArray[np.float64]:
        """Sample weights of the texts: 1 for a row."""
        scaled = synthetic.scaled_by(weight)[self.synthetic]
        return np.concatenate([np.ones(len(self.texts) - len(scaled)), scaled])


def hold_out(
    held_out: NDArray[np.bool_],
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    synthetic: SyntheticTexts,
) -> Split:
    """Hold out some rows; `held_out` has shape (n,)."""
    gold = label_indices(labels, classes)
    rows, out = np.flatnonzero(~held_out).tolist(), np.flatnonzero(held_out)
    visible = np.flatnonzero(~synthetic.hidden[out].any(axis=0))
    known = [labels[i] for i in rows] + [synthetic.labels[i] for i in visible.tolist()]
    out = out[np.isin(gold[out], label_indices(known, classes))]
    return Split(
        texts=[texts[i] for i in rows] + [synthetic.texts[i] for i in visible.tolist()],
        labels=known,
        counts=np.bincount(gold[rows], minlength=len(classes)).astype(np.float64),
        synthetic=visible,
        held_out=out,
        gold=gold[out],
    )


def tune_head(
    strengths: Sequence[float],
    make_features: Callable[[Sequence[str], Sequence[str]], tuple[Any, Any]],
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
    synthetic: SyntheticTexts | None = None,
    fit: Callable[..., Head] = fit_head,
) -> tuple[HeadSettings, float, float]:
    """Choose C, and the weight of synthetic texts, by stratified cross-validation over the rows.

    Candidates are compared by log loss after calibration, which uses all of a prediction: before
    it, a C that is too large wins because it is surer, and accuracy on a few hundred rows cannot
    tell candidates apart. Classes are balanced, which costs no accuracy because the calibration
    knows how common they are. The weight is chosen first, at the C in the middle.

    Args:
        strengths: values of C to choose from, in rising order.
        make_features: of texts to train on and of texts held out. Whatever it fits, it may fit to
            the former only.
        texts: n texts of the user.
        labels: their class names.
        classes: class names in column order.
        seed: of the folds.
        synthetic: texts to train on, too.
        fit: fits a head, as `fit_head` does.

    Returns:
        The settings with the lowest loss, the weight of synthetic texts, and the loss. Where no
        fold can be judged: the C in the middle, no calibration, the first weight, and infinity.
    """
    added = synthetic or SyntheticTexts.none(len(texts))
    middle, weight = strengths[len(strengths) // 2], added.candidates[0]
    folds = stratified_folds(labels, min(_FOLDS, len(labels)), seed)
    splits = [hold_out(folds == fold, texts, labels, classes, added) for fold in np.unique(folds)]
    splits = [s for s in splits if len(s.held_out) and len(set(s.labels)) > 1]
    if not splits:
        return HeadSettings(middle, "balanced"), weight, math.inf
    features = [make_features(s.texts, [texts[i] for i in s.held_out.tolist()]) for s in splits]
    gold = np.concatenate([s.gold for s in splits])
    prior = np.concatenate([np.tile(log_prior(s.counts), (len(s.held_out), 1)) for s in splits])

    @cache
    def judge(strength: float, weight: float) -> tuple[NDArray[np.float64], HeadSettings]:
        settings = HeadSettings(strength, "balanced")
        parts = []
        for split, (training, held_out) in zip(splits, features, strict=True):
            mass = split.weights(added, weight)
            # The same penalty per row as with all rows: else the final head is surer than these.
            total = len(texts) + mass[len(mass) - len(split.synthetic) :].sum()
            scaled = replace(settings, C=strength * (total / mass.sum()))
            parts.append(fit(training, split.labels, classes, scaled, mass).logits(held_out))
        logits = np.concatenate(parts)
        calibration = fit_calibration(logits, prior, gold)
        losses = log_losses(calibration(logits, prior), gold)
        return losses, replace(settings, calibration=calibration)

    for candidate in added.candidates[1:]:
        change = paired_change(judge(middle, candidate)[0], judge(middle, weight)[0])
        if change.is_improvement:
            weight = candidate
    best = min(strengths, key=lambda strength: float(judge(strength, weight)[0].mean()))
    losses, settings = judge(best, weight)
    return settings, weight, float(losses.mean())
