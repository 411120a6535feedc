"""How sure one can be of a figure: bootstrap over the rows (Efron & Tibshirani, 1993)."""

from __future__ import annotations

import math
import os
import platform
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson, 1927); all of [0, 1] where nothing was asked."""
    if not asked:
        return 0.0, 1.0
    z = 1.96
    share, spread = right / asked, z * z / asked
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / asked + spread / (4 * asked))
    return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Difference:
    """A change of a figure, with its interval.

    Attributes:
        difference: the second figure minus the first.
        low: lower end of the interval.
        high: upper end of the interval.
    """

    difference: float
    low: float
    high: float


def resamples(n: int, times: int, seed: int) -> Iterator[NDArray[np.int64]]:
    """Indices of n rows drawn with replacement, so many times."""
    rng = np.random.default_rng(seed)
    for _ in range(times):
        yield rng.integers(0, n, n)


def percentiles(figures: NDArray[np.float64], level: float) -> tuple[float, float]:
    """The interval that covers the middle `level` of the resampled figures."""
    tail = 50 * (1 - level)
    low, high = np.percentile(figures, [tail, 100 - tail])
    return float(low), float(high)


class Change(NamedTuple):
    """A mean change in loss, paired over rows.

    Attributes:
        mean: in nats; negative where the loss fell.
        error: standard error of the mean.
    """

    mean: float
    error: float

    @property
    def is_improvement(self) -> bool:
        """Whether the loss fell by more than one standard error (CART; Breiman et al., 1984)."""
        return self.mean < -self.error


def paired_change(losses: NDArray[np.float64], reference: NDArray[np.float64]) -> Change:
    """The mean change in loss, and its standard error.

    Args:
        losses: shape (n,), NaN for a row that cannot be judged.
        reference: shape (n,), the losses of the same rows by another student.

    Returns:
        The change over the rows that both judge; (0, inf) for fewer than two of them.
    """
    both = np.isfinite(losses) & np.isfinite(reference)
    if both.sum() < 2:
        return Change(0.0, math.inf)
    change = losses[both] - reference[both]
    return Change(float(change.mean()), float(change.std(ddof=1) / math.sqrt(both.sum())))


ERRORS = frozenset({"log_loss", "ece", "error", "loss", "mae", "rmse"})
"""Names of figures of which less is better; of all others more is."""

_RESAMPLES = 200  # where a figure is computed in Python, example by example
_LEVEL = 0.95


def judge_models(
    figures: Callable[[Sequence[Any], Sequence[Any]], Mapping[str, float]],
    answers: Mapping[str, Sequence[Any]],
    examples: Sequence[Any],
    *,
    seed: int = 0,
) -> dict[str, Any]:
    """Figures of each model with 95% intervals, and the change between two, as plain data.

    Args:
        figures: of answers to examples; `pgkd.task.Task.figures`. A resample that lacks one, such
            as that of a level which none of its examples has, does not count for it.
        answers: of each model to all n examples, by its role; the change is that from ``before``
            to ``after``.
        examples: n of them, at least 1.
        seed: of the bootstrap.
    """
    drawn = [rows.tolist() for rows in resamples(len(examples), _RESAMPLES, seed)]

    def resampled(of: Sequence[Any], rows: Sequence[int]) -> Mapping[str, float]:
        return figures([of[i] for i in rows], [examples[i] for i in rows])

    found: dict[str, Any] = {"students": {}}
    every = {role: [resampled(of, rows) for rows in drawn] for role, of in answers.items()}
    for role, of in answers.items():
        known = dict(figures(of, examples))
        found["students"][role] = {
            "n": len(examples),
            **{name: round(float(value), 6) for name, value in known.items()},
            "intervals": {
                name: list(
                    percentiles(
                        np.array([each[name] for each in every[role] if name in each]), _LEVEL
                    )
                )
                for name in known
            },
        }
    if {"before", "after"} <= answers.keys():
        first, second = found["students"]["before"], found["students"]["after"]
        found["after_minus_before"] = {
            name: {
                "difference": second[name] - first[name],
                "interval": list(
                    percentiles(
                        np.array(
                            [
                                b[name] - a[name]
                                for a, b in zip(every["before"], every["after"], strict=True)
                                if name in a and name in b
                            ]
                        ),
                        _LEVEL,
                    )
                ),
            }
            for name in second["intervals"]
        }
    return found


def score_figures(answers: Sequence[dict[str, Any]], scores: Sequence[float]) -> dict[str, float]:
    """Mean error, correlations, and the coverage of intervals, of n answers with a ``score``."""
    from scipy.stats import pearsonr, spearmanr

    found, low, high = (np.array([a[k] for a in answers]) for k in ("score", "low", "high"))
    gold = np.array(scores, dtype=np.float64)
    varied = len(gold) > 1 and found.std() * gold.std() > 0
    return {
        "mae": float(np.abs(found - gold).mean()),
        "spearman": float(spearmanr(found, gold).statistic) if varied else 0.0,
        "pearson": float(pearsonr(found, gold).statistic) if varied else 0.0,
        "coverage": float(((gold >= low) & (gold <= high)).mean()),
    }


def titled(name: str) -> str:
    """A figure's name as people write it: ``macro_f1`` is "macro F1"."""
    abbreviations = {"ece": "calibration error", "map": "mAP", "mae": "mean absolute error"}
    if name in abbreviations:
        return abbreviations[name]
    return name.replace("_f1", " F1").replace("_", " ").replace("f1", "F1")


_TIMED_TEXTS = 50  # enough for a median, done in a second


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


def time_student(student: Any, inputs: Sequence[Any]) -> Timing:
    """Time single answers to the first inputs; each has to be new to the student.

    A student caches features of texts, so time it before it answers anything else.

    Args:
        student: a `pgkd.task.Answering`.
        inputs: at least one.
    """
    first = "A first text, which pays for everything that is loaded late."
    student.answers([first if isinstance(inputs[0], str) else (first,) * len(inputs[0])])
    seconds = []
    for given in list(dict.fromkeys(inputs))[:_TIMED_TEXTS]:
        start = time.perf_counter()
        student.answers([given])
        seconds.append(time.perf_counter() - start)
    p95 = float(np.percentile(seconds, 95))
    return Timing(len(seconds), float(np.median(seconds)), p95, _describe_machine())


def _describe_machine() -> str:
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8", errors="replace") if info.is_file() else ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    processor = found[1].strip() if found else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}"
