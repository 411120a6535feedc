"""Students compared on the same rows, with bootstrap intervals, and their speed."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
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
from pgkd.tasks.classification.students.base import Student

BEFORE, AFTER = "before", "after"
"""Roles of the students that are compared: at round 0, and the best one."""

_TIMED_TEXTS = 50  # enough for a median, done in a second


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


@dataclass(frozen=True, slots=True)
class Timing:
    """Texts predicted one after the other, in this process.

    Attributes:
        n: number of texts.
        median: seconds per text.
        p95: seconds that 95% of the texts stay under.
        machine: processor, cores and system.
    """

    n: int
    median: float
    p95: float
    machine: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def time_student(student: Student, texts: Sequence[str]) -> Timing:
    """Time single predictions on the first texts; each text has to be new to the student.

    A student caches features of texts, so time it before it predicts anything else.

    Args:
        student: a fitted student.
        texts: at least one.
    """
    student.predict_proba(["A first text, which pays for everything that is loaded late."])
    seconds = []
    for text in list(dict.fromkeys(texts))[:_TIMED_TEXTS]:
        start = time.perf_counter()
        student.predict_proba([text])
        seconds.append(time.perf_counter() - start)
    p95 = float(np.percentile(seconds, 95))
    return Timing(len(seconds), float(np.median(seconds)), p95, _describe_machine())


def _describe_machine() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}"
