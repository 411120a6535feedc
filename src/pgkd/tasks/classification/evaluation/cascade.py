"""What a cascade would give and cost, threshold by threshold, on labelled rows.

A text goes to the teacher where the student's most probable class is less probable than the
threshold. The same figures help to choose a threshold of abstention: the student's accuracy on what
it keeps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.evaluation import percentiles, resamples

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)
"""Of the rows, sent to the teacher: from them come the thresholds that are tried."""


@dataclass(frozen=True, slots=True)
class CascadePoint:
    """One threshold.

    Attributes:
        below: the threshold.
        sent: share of the rows that go to the teacher.
        accuracy: of the cascade; where the teacher has no answer, the student's counts.
        interval: 95% of it, by bootstrap over the rows.
        gain: accuracy of the cascade minus the student's alone.
        gain_interval: 95% of it, by paired bootstrap.
        kept_accuracy: the student's, on the rows that it keeps; None where it keeps none.
        usd_per_1000: what 1,000 texts cost; None where no price is known.
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
    """Accuracy and cost by threshold, the lowest first.

    Args:
        probabilities: the student's, shape (n, n_classes), n at least 1; of rows that neither its
            training nor its calibration has seen.
        labels: n class names.
        classes: class names in column order.
        answers: the teacher's class of each row; None, or a name off the list, is no answer.
        usd_per_call: what asking for one text costs.
        thresholds: to try; default: those that send the shares `SHARES` to the teacher.
        seed: of the bootstrap.
        n_resamples: times that n rows are drawn with replacement.
    """
    sure = probabilities.max(axis=1)
    said = [classes[i] for i in probabilities.argmax(axis=1)]
    known = frozenset(classes)
    asked = [a if a in known else own for a, own in zip(answers, said, strict=True)]
    right = np.array([own == label for own, label in zip(said, labels, strict=True)])
    taught = np.array([a == label for a, label in zip(asked, labels, strict=True)])
    drawn = list(resamples(len(right), n_resamples, seed))
    found = []
    for below in _thresholds(sure) if thresholds is None else sorted(thresholds):
        sent = sure < below
        both = np.where(sent, taught, right)
        change = both.astype(np.float64) - right
        found.append(
            CascadePoint(
                below=float(below),
                sent=float(sent.mean()),
                accuracy=float(both.mean()),
                interval=percentiles(np.array([both[rows].mean() for rows in drawn]), 0.95),
                gain=float(change.mean()),
                gain_interval=percentiles(np.array([change[rows].mean() for rows in drawn]), 0.95),
                kept_accuracy=None if sent.all() else float(right[~sent].mean()),
                usd_per_1000=None
                if usd_per_call is None
                else 1000 * float(sent.mean()) * usd_per_call,
            )
        )
    return found


def _thresholds(sure: NDArray[np.float64]) -> list[float]:
    """Rounded up to what one types, so that they send at least the shares they are made for."""
    cuts = [0.0, *(float(np.quantile(sure, share)) for share in SHARES[1:])]
    return sorted({min(1.0, float(np.ceil(cut * 1e4) / 1e4)) for cut in cuts})
