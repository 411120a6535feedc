"""Students compared on the same rows, with bootstrap intervals, and their speed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.evaluation import Difference, percentiles, resamples
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.evaluation.metrics import (
    MEASURES,
    confusion_matrix,
    evaluate,
    macro_f1,
    measure,
    reliability,
)

BEFORE, AFTER = "before", "after"
"""Roles of the students that are compared: at round 0, and the best one."""


def judge_students(
    probabilities: Mapping[str, NDArray[np.float64]],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    repeats: Mapping[str, Sequence[NDArray[np.float64]]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of each student with 95% intervals, and the change between two, as plain data.

    Args:
        probabilities: of each student by its role, each of shape (n, n_classes), n at least 1.
        labels: n class names.
        classes: class names in column order.
        repeats: those of students that were trained again with other seeds, by role.
        seed: of the bootstrap.
    """
    students = {}
    for role, each in probabilities.items():
        right = each.argmax(axis=1) == label_indices(labels, classes)
        intervals = bootstrap_intervals(each, labels, classes, seed=seed)
        students[role] = {
            **evaluate(each, labels, classes).to_json(),
            "intervals": {name: list(pair) for name, pair in intervals.items()},
            "reliability": [asdict(part) for part in reliability(each.max(axis=1), right)],
        }
    found: dict[str, Any] = {"students": students}
    if BEFORE in probabilities and AFTER in probabilities:
        again = repeats or {}
        changes = compare(
            probabilities[BEFORE], probabilities[AFTER], labels, classes,
            repeats=(again.get(BEFORE, ()), again.get(AFTER, ())), seed=seed,
        )  # fmt: skip
        found["after_minus_before"] = {
            name: {"difference": change.difference, "interval": [change.low, change.high]}
            for name, change in changes.items()
        }
    return found


def bootstrap_intervals(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of accuracy, F1s, log loss and calibration error.

    Args:
        probabilities: shape (n, n_classes), n at least 1.
        labels: n class names.
        classes: class names in column order.
        n_resamples: how often n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.
    """
    gold = label_indices(labels, classes)
    figures = [
        measure(probabilities[drawn], gold[drawn])
        for drawn in resamples(len(gold), n_resamples, seed)
    ]
    return {
        name: percentiles(np.array([figure[name] for figure in figures]), level)
        for name in MEASURES
    }


def compare(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    repeats: tuple[Sequence[NDArray[np.float64]], Sequence[NDArray[np.float64]]] = ((), ()),
    n_resamples: int = 1000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Difference]:
    """The change of accuracy and macro F1, by a paired bootstrap over the same rows.

    With repeats, every resample also draws one training of each student: the interval then covers
    the randomness of training as well as that of the rows.

    Args:
        before: shape (n, n_classes), probabilities of the first student.
        after: shape (n, n_classes), of the second one.
        labels: n class names.
        classes: class names in column order.
        repeats: probabilities of the first and of the second student trained again with other
            seeds, each of that shape.
        n_resamples: how often n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.
    """
    gold = label_indices(labels, classes)
    first = [each.argmax(axis=1) for each in (before, *repeats[0])]
    second = [each.argmax(axis=1) for each in (after, *repeats[1])]
    rng = np.random.default_rng(seed)

    def change(rows: NDArray[np.int64], one: int, other: int) -> tuple[float, float]:
        old = confusion_matrix(gold[rows], first[one][rows], len(classes))
        new = confusion_matrix(gold[rows], second[other][rows], len(classes))
        accuracy = (np.trace(new) - np.trace(old)) / len(rows)
        return float(accuracy), macro_f1(new) - macro_f1(old)

    found = change(np.arange(len(gold)), 0, 0)
    drawn = np.array(
        [
            change(rows, int(rng.integers(len(first))), int(rng.integers(len(second))))
            for rows in resamples(len(gold), n_resamples, seed)
        ]
    )
    return {
        name: Difference(found[i], *percentiles(drawn[:, i], level))
        for i, name in enumerate(("accuracy", "macro_f1"))
    }
