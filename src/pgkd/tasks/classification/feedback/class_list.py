"""The class list as training texts: it says what a class is about, and costs no call.

SetFit trains on templated class names where there are no rows at all (Tunstall et al., 2022). They
are worth as much where there are few: with 100 rows of 77 classes more than the teacher's first
300 texts. Where names say nothing (``class_17``), cross-validation finds it out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.evaluation import paired_change
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.evaluation.metrics import row_log_losses
from pgkd.tasks.classification.feedback.crossval import out_of_fold

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import Taxonomy
    from pgkd.tasks.classification.students.base import Student


@dataclass(frozen=True, slots=True)
class ClassListTrial:
    """Whether the class list helps a student, by cross-validation over the real rows.

    Attributes:
        texts: one text a class, to train on like a real row; none where they do not help.
        change: mean change of the log loss that they bring, in nats.
        standard_error: of that change, paired over rows.
    """

    texts: tuple[LabelledText, ...]
    change: float
    standard_error: float


def class_texts(taxonomy: Taxonomy) -> tuple[LabelledText, ...]:
    """One text a class: its name as people say it, and its description where it has one."""
    return tuple(
        LabelledText(
            f"{c.readable}: {c.description}" if c.description else c.readable,
            c.name,
            f"class:{c.name}",
        )
        for c in taxonomy
    )


def try_class_list(
    student: Student, real: Sequence[LabelledText], taxonomy: Taxonomy, folds: NDArray[np.int64]
) -> ClassListTrial:
    """Cross-validate the student with and without the class list.

    It is used where it lowers the log loss by more than one standard error: else the simpler
    student is the better guess (Breiman et al., CART, 1984).

    Args:
        student: its probe is trained, twice a fold.
        real: n_real rows of the user.
        taxonomy: the classes.
        folds: shape (n_real,), the fold that holds out each row.
    """
    texts = class_texts(taxonomy)
    gold = np.array([taxonomy.index[row.label] for row in real], dtype=np.int64)

    def losses(given: Sequence[LabelledText]) -> NDArray[np.float64]:
        found = out_of_fold(student, real, [], folds, class_list=given)
        return row_log_losses(found.probabilities, gold)

    change, error = paired_change(losses(texts), losses(()))
    return ClassListTrial(texts if change < -error else (), change, error)
