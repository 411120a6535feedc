"""What a written text weighs, against a labelled row's 1.

A strong teacher's texts are worth as much as real rows; of a small one's, a fifth and more miss
their class, and at full weight they outvote the rows. Which of the two a teacher is, the
validation rows tell (after SunGen, Gao et al., ICLR 2023, which learns a weight for every text;
a few hundred labelled rows can fit one weight for all).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.student.base import Student

# Two, not a grid: a few hundred validation rows can tell a strong teacher from a weak one, and no
# more. The light one is within half a point of the best for a weak teacher; the other costs it one
# point, and brings a strong one five or six of the nine that full weight would (docs/results.md).
WEIGHTS = (0.05, 0.3)
_MARGIN = 2.0  # standard errors
_ROWS_TO_JUDGE = 50  # with fewer, losses of single rows decide: the weight changes every round


def lightest_weight(
    train: Callable[[float], Student],
    losses_of: Callable[[Student], NDArray[np.float64]],
    weights: Sequence[float] = WEIGHTS,
) -> tuple[float, Student]:
    """The smallest weight that held-out rows cannot tell from the best, and its student.

    Small weights are the safe guess: the texts then fill what rows leave open, and outvote none.
    So a larger one has to lower the loss by more than two standard errors, over fifty rows or more.

    Args:
        train: a student whose written texts have a given weight.
        losses_of: the losses of a student on the held-out rows, shape (n,), in nats.
        weights: what to choose from, in rising order.
    """
    students = [train(weights[0])]
    losses = [losses_of(students[0])]
    if len(losses[0]) < _ROWS_TO_JUDGE:
        return weights[0], students[0]
    students += [train(weight) for weight in weights[1:]]
    losses += [losses_of(student) for student in students[1:]]
    chosen = _lightest(np.stack(losses))
    return weights[chosen], students[chosen]


def _lightest(losses: NDArray[np.float64]) -> int:
    """The first row that cannot be told from the best (Breiman et al., CART, 1984).

    The standard error is that of the paired differences: rows are hard or easy for all alike.

    Args:
        losses: shape (n_weights, n_rows), weights in rising order.
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    error = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int((excess.mean(axis=1) <= _MARGIN * error).argmax())
