"""Which texts of an unlabelled pool may be trained on: none that a row of the user is near to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.generation.rejection import Reason
from pgkd.generation.similarity import letters, near_any

if TYPE_CHECKING:
    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.data.pool import Pool


def without_rows(pool: Pool, task: Task, *, near_duplicate: float) -> Pool:
    """The pool without the texts that equal or nearly equal a row of the user.

    A text near a validation row would flatter every later round, and the label of one near a
    training row is known already. The rule is the one for written texts.

    Args:
        pool: the texts.
        task: the rows.
        near_duplicate: least similarity (1 - normalised edit distance of letters and digits).
    """
    given = [letters(text.text) for text in pool.texts]
    reasons: dict[str, str] = {}
    for reason, rows in (
        (Reason.CONTAMINATION, task.validation),
        (Reason.REAL_DUPLICATE, task.train),
    ):
        near = near_any(given, [letters(row.text) for row in rows], near_duplicate)
        for text, is_near in zip(pool.texts, near, strict=True):
            if is_near:
                reasons.setdefault(text.id, str(reason))
    return pool.without(reasons)
