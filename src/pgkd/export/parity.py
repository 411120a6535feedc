"""Parity: does what was exported answer as the student does?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.tasks.classification.data.examples import columns_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an export may be from its student; one text may always be answered otherwise.

    Attributes:
        difference: of any probability, at most; None bounds the answers alone.
        same: share of texts with the same answer, at least.
        accuracy_loss: at most.
    """

    difference: float | None = None
    same: float = 0.0
    accuracy_loss: float = 1.0


EXACT = Tolerance(difference=1e-4)
"""Of what computes the same: float32 sums in another order."""

ROUNDED = Tolerance(same=0.99, accuracy_loss=0.005)
"""Of what computes with 8 bits."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export compares with its student on the same labelled texts.

    Attributes:
        n: texts compared.
        difference: the largest one of a probability.
        same: share of the texts with the same answer.
        student_accuracy: of the student on them.
        accuracy: of the export on them.
    """

    n: int
    difference: float
    same: float
    student_accuracy: float
    accuracy: float

    def faults(self, tolerance: Tolerance) -> list[str]:
        """What of a tolerance is not kept, with the figures; none where all is well."""
        found = []
        # Compared so that a figure which is no number is a fault.
        if tolerance.difference is not None and not self.difference <= tolerance.difference:
            found.append(
                f"probabilities differ by up to {self.difference:.2g}, allowed are "
                f"{tolerance.difference:.2g}"
            )
        if self._texts(1 - self.same) > self._allowed(1 - tolerance.same):
            found.append(
                f"{self.same:.1%} of {self.n} texts have the same answer, needed are "
                f"{tolerance.same:.0%}"
            )
        lost = self.student_accuracy - self.accuracy
        if self._texts(lost) > self._allowed(tolerance.accuracy_loss):
            found.append(
                f"accuracy on {self.n} texts is {self.accuracy:.3f}, the student's "
                f"{self.student_accuracy:.3f}, and may be lower by {tolerance.accuracy_loss:.3f}"
            )
        return found

    def _texts(self, share: float) -> int:
        """How many texts a share of them is."""
        return round(share * self.n)

    def _allowed(self, share: float) -> int:
        """How many texts may differ: one always may, for 1% of fewer than a hundred is none."""
        return max(1, math.floor(share * self.n + 1e-9))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            name: round(value, 8) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def compare(
    student: NDArray[np.float64],
    exported: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
) -> Parity:
    """Compare probabilities of the same n texts, both of shape (n, n_classes), n at least 1."""
    gold = columns_of(labels, classes)
    before, after = student.argmax(axis=1), exported.argmax(axis=1)
    return Parity(
        n=len(gold),
        difference=float(np.abs(student - exported).max()),
        same=float((before == after).mean()),
        student_accuracy=float((before == gold).mean()),
        accuracy=float((after == gold).mean()),
    )
