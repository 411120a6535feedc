"""The teacher as a classifier: alone, and behind a student in a cascade.

In a cascade a text goes to the teacher where the student's most probable class is less probable
than a threshold. The same figures help to choose a threshold below which a student abstains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd.evaluation import percentiles, resamples
from pgkd.tasks.classification.evaluation.metrics import calibration_error
from pgkd.tasks.classification.prompts.labelling import Labelled, label_texts

if TYPE_CHECKING:
    from pgkd.tasks.classification.data.examples import Taxonomy
    from pgkd.teachers.base import Reply, Teacher

SENT_SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Shares of the rows sent to the teacher, which the default thresholds are made for."""


@dataclass(frozen=True, slots=True)
class TeacherScore:
    """Accuracy of a teacher alone. An answer that is not a class of the task is wrong.

    Attributes:
        n: rows it labelled.
        accuracy: share of right answers.
        accuracy_interval: 95%, by bootstrap over the rows.
        macro_f1: mean F1 over the classes of the rows.
        invalid: answers that are not a class.
        seconds_per_text: wall time.
        ece: expected calibration error, over the valid answers; None where the teacher does not
            give its confidence.
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
    """Let a teacher classify rows zero-shot, and score its answers.

    Args:
        teacher: called once per text.
        texts: n texts, at least one.
        labels: their classes.
        taxonomy: the classes to choose from.
        seed: of the requests and of the interval.
        on_reply: called with every reply, for progress.

    Raises:
        TeacherError: a call gave no reply, or no reply names a class.
    """
    start = time.perf_counter()
    found = label_texts(teacher, texts, taxonomy, seed=seed, on_reply=on_reply, needs_some=True)
    return score_labels(found, labels, seconds=time.perf_counter() - start, seed=seed)


def score_labels(
    found: Sequence[Labelled], labels: Sequence[str], *, seconds: float = 0.0, seed: int = 0
) -> TeacherScore:
    """Score a teacher's answers.

    Args:
        found: n answers, at least one.
        labels: the true classes.
        seconds: time that all answers took.
        seed: of the interval.
    """
    from sklearn.metrics import f1_score

    right = np.array([a.label == label for a, label in zip(found, labels, strict=True)])
    macro = f1_score(
        labels,
        [answer.label if answer.label is not None else "" for answer in found],
        labels=sorted(set(labels)),
        average="macro",
        zero_division=0.0,
    )
    confidence = np.array([a.confidence for a in found], dtype=np.float64)  # None becomes NaN
    known = ~np.isnan(confidence)
    return TeacherScore(
        n=len(right),
        accuracy=float(right.mean()),
        accuracy_interval=_interval(right, resamples(len(right), 1000, seed)),
        macro_f1=float(macro),
        invalid=sum(answer.label is None for answer in found),
        seconds_per_text=seconds / len(right),
        ece=calibration_error(confidence[known], right[known]) if known.any() else None,
    )


@dataclass(frozen=True, slots=True)
class CascadePoint:
    """A cascade at one threshold.

    Attributes:
        below: the threshold.
        sent: share of the rows that go to the teacher.
        accuracy: of the cascade; where the teacher has no answer, the student's counts.
        interval: 95% of it, by bootstrap over the rows.
        gain: accuracy of the cascade minus the student's alone.
        gain_interval: 95% of it, by paired bootstrap.
        kept_accuracy: the student's, on the rows that are not sent; None where all are.
        usd_per_1000: cost of 1,000 texts; None where no price is known.
    """

    below: float
    sent: float
    accuracy: float
    interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]
    kept_accuracy: float | None
    usd_per_1000: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def cascade_curve(
    probabilities: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    answers: Sequence[str | None],
    *,
    usd_per_call: float | None = None,
    thresholds: Sequence[float] | None = None,
    seed: int = 0,
    n_resamples: int = 1000,
) -> list[CascadePoint]:
    """Accuracy and cost of a cascade by threshold, the lowest first.

    Args:
        probabilities: the student's, shape (n, n_classes), n at least 1; of rows that neither its
            training nor its calibration has seen.
        labels: n class names.
        classes: class names in column order.
        answers: the teacher's class of each row; None, or an unknown name, is no answer.
        usd_per_call: cost of one text.
        thresholds: to try; default: those that send `SENT_SHARES` of the rows to the teacher.
        seed: of the bootstrap.
        n_resamples: how often n rows are drawn with replacement.
    """
    confidence = probabilities.max(axis=1)
    own = [classes[i] for i in probabilities.argmax(axis=1)]
    known = frozenset(classes)
    sent_on = [a if a in known else mine for a, mine in zip(answers, own, strict=True)]
    own_right = np.array([mine == label for mine, label in zip(own, labels, strict=True)])
    sent_right = np.array([a == label for a, label in zip(sent_on, labels, strict=True)])
    drawn = list(resamples(len(labels), n_resamples, seed))

    def point(below: float) -> CascadePoint:
        sent = confidence < below
        right = np.where(sent, sent_right, own_right)
        gain = right.astype(np.float64) - own_right
        share = float(sent.mean())
        return CascadePoint(
            below=float(below),
            sent=share,
            accuracy=float(right.mean()),
            interval=_interval(right, drawn),
            gain=float(gain.mean()),
            gain_interval=_interval(gain, drawn),
            kept_accuracy=None if sent.all() else float(own_right[~sent].mean()),
            usd_per_1000=None if usd_per_call is None else 1000 * share * usd_per_call,
        )

    if thresholds is None:
        # Rounded up to what one types, so that they send at least these shares.
        cuts = [0.0, *(float(np.quantile(confidence, share)) for share in SENT_SHARES[1:])]
        thresholds = list({min(1.0, float(np.ceil(cut * 1e4) / 1e4)) for cut in cuts})
    return [point(below) for below in sorted(thresholds)]


def _interval(values: NDArray[Any], drawn: Iterable[NDArray[np.int64]]) -> tuple[float, float]:
    """The 95% interval of a mean, over resampled rows."""
    return percentiles(np.array([values[rows].mean() for rows in drawn]), 0.95)
