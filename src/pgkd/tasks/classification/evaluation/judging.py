"""Students side by side on the same rows, as plain data: what `pgkd evaluate` tells and keeps."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.evaluation.intervals import bootstrap_intervals, compare
from pgkd.tasks.classification.evaluation.metrics import evaluate, reliability

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

AFTER = "after"
EARLIER = ("before",)
"""Roles of the students that the one of `AFTER` is held against."""


def judge_students(
    probabilities: Mapping[str, NDArray[np.float64]],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    repeats: Mapping[str, Sequence[NDArray[np.float64]]] | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Metrics of each student with 95% intervals, and what changed from the earlier ones.

    Args:
        probabilities: of each student by its role, each of shape (n, n_classes), n at least 1.
        labels: n class names.
        classes: class names in column order.
        repeats: those of students that were trained again with other seeds, by role.
        seed: of the bootstrap.
    """
    found: dict[str, Any] = {
        "students": {
            role: _judged(each, labels, classes, seed) for role, each in probabilities.items()
        }
    }
    repeats = repeats or {}
    for role in EARLIER:
        if role in probabilities and AFTER in probabilities:
            changes = compare(
                probabilities[role], probabilities[AFTER], labels, classes,
                repeats=(repeats.get(role, ()), repeats.get(AFTER, ())), seed=seed,
            )  # fmt: skip
            found[f"after_minus_{role}"] = {
                name: {"difference": change.difference, "interval": [change.low, change.high]}
                for name, change in changes.items()
            }
    return found


def _judged(
    probabilities: NDArray[np.float64], labels: Sequence[str], classes: Sequence[str], seed: int
) -> dict[str, Any]:
    metrics = evaluate(probabilities, labels, classes).to_json()
    intervals = bootstrap_intervals(probabilities, labels, classes, seed=seed)
    right = probabilities.argmax(axis=1) == columns_of(labels, classes)
    return {
        **metrics,
        "intervals": {name: list(pair) for name, pair in intervals.items()},
        "reliability": [asdict(each) for each in reliability(probabilities.max(axis=1), right)],
    }
