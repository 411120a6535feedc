"""The contract of a guide: everything about the task that the loop must not know.

`loop.py` knows no class. A guide trains and judges the student of its kind of task, and
decides what the teacher is asked; a text-to-text task will bring its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.example import Example
    from pgkd.tasks.classification.evaluation.metrics import Metrics
    from pgkd.tasks.classification.feedback.mining import Mined
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.students.base import Student


@dataclass(frozen=True)
class Assessment:
    """What is known of a student after a round.

    Attributes:
        validation: metrics on the validation rows; where there are none, those out of fold.
        out_of_fold: metrics on the training rows, from students that did not see them.
        mined: the training rows, sorted by what those students say of them.
        losses: shape (n_judged,), the loss of each judged real row in nats, the same rows in the
            same order every round; NaN where the row cannot judge this round. The stop rule
            compares rounds by these.
        written_weight: what a written text weighs in the student; None where there are none.
        labelled_weight: what a text of the pool weighs that the teacher labelled; likewise.
    """

    validation: Metrics
    out_of_fold: Metrics
    mined: Mined
    losses: NDArray[np.float64]
    written_weight: float | None = None
    labelled_weight: float | None = None

    @property
    def cross_validated(self) -> bool:
        """Whether no rows are held out for validation."""
        return self.validation is self.out_of_fold


class Guide(Protocol):
    """Trains, assesses and asks, for one kind of task."""

    def train(self, written: Sequence[Example]) -> Student:
        """A fresh student, trained on the real rows and the written texts."""

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """The gradual evaluation check and the mining of a round, for the student just trained."""

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """The requests of round `number`, from what the last round showed."""
