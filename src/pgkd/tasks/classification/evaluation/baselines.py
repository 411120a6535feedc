"""What a student is held against: the teacher itself, asked for the class of some rows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.evaluation import percentiles, resamples
from pgkd.tasks.classification.evaluation.metrics import calibration_error
from pgkd.tasks.classification.prompts.labelling import label_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import Taxonomy
    from pgkd.tasks.classification.prompts.labelling import Labelled
    from pgkd.teachers.base import Reply, Teacher


@dataclass(frozen=True, slots=True)
class TeacherScore:
    """What a teacher alone gets right. An answer off the list is wrong; nothing replaces it.

    Attributes:
        n: rows it was asked for.
        accuracy: share of right answers.
        accuracy_interval: 95%, by bootstrap over the rows.
        macro_f1: mean F1 over the classes of the rows.
        invalid: answers off the list.
        seconds_per_text: wall time.
        ece: expected calibration error, over the answers that are classes of the list; None where
            the teacher does not tell how sure it is.
    """

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_f1: float
    invalid: int
    seconds_per_text: float
    ece: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, of the same shape as a student's figures."""
        return {
            "n": self.n,
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "intervals": {"accuracy": list(self.accuracy_interval)},
            "invalid": self.invalid,
            "seconds_per_text": round(self.seconds_per_text, 3),
            **({} if self.ece is None else {"ece": self.ece}),
        }


def draw_rows(n_rows: int, n: int, seed: int) -> NDArray[np.int64]:
    """Indices of at most `n` rows, drawn at random without replacement, in order."""
    rng = np.random.default_rng(seed)
    return np.sort(rng.choice(n_rows, size=min(n, n_rows), replace=False))


def score_teacher(
    teacher: Teacher,
    texts: Sequence[str],
    labels: Sequence[str],
    taxonomy: Taxonomy,
    *,
    seed: int = 0,
    on_reply: Callable[[Reply], object] = lambda reply: None,
) -> TeacherScore:
    """Let a teacher classify rows zero-shot, and count what it gets right.

    Args:
        teacher: who is asked, once a text.
        texts: n texts, at least one.
        labels: their classes.
        taxonomy: the classes to choose from.
        seed: of the requests and of the interval.
        on_reply: called with every reply: the place to show progress.

    Raises:
        TeacherError: a call gave no reply, or no reply names a class.
    """
    start = time.perf_counter()
    found = label_texts(teacher, texts, taxonomy, seed=seed, on_reply=on_reply, needs_some=True)
    return score_labels(found, labels, seconds=time.perf_counter() - start, seed=seed)


def score_labels(
    found: Sequence[Labelled], labels: Sequence[str], *, seconds: float = 0.0, seed: int = 0
) -> TeacherScore:
    """Count what of a teacher's answers is right.

    Args:
        found: n answers, at least one.
        labels: the true classes.
        seconds: that all answers took.
        seed: of the interval.
    """
    from sklearn.metrics import f1_score

    right = np.array([a.label == label for a, label in zip(found, labels, strict=True)])
    drawn = np.array([right[rows].mean() for rows in resamples(len(right), 1000, seed)])
    macro = f1_score(
        labels,
        [answer.label if answer.label is not None else "" for answer in found],
        labels=sorted(set(labels)),
        average="macro",
        zero_division=0.0,
    )
    confidence = np.array([a.confidence for a in found], dtype=np.float64)  # None is not-a-number
    told = ~np.isnan(confidence)
    return TeacherScore(
        n=len(right),
        accuracy=float(right.mean()),
        accuracy_interval=percentiles(drawn, 0.95),
        macro_f1=float(macro),
        invalid=sum(answer.label is None for answer in found),
        seconds_per_text=seconds / len(right),
        ece=calibration_error(confidence[told], right[told]) if told.any() else None,
    )
