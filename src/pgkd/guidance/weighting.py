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

    from pgkd.task.example import Example

# Two, not a grid: a few hundred validation rows can tell a strong teacher from a weak one, and no
# more. The light one is within half a point of the best for a weak teacher; the other costs it one
# point, and brings a strong one five or six of the nine that full weight would (docs/results.md).
WEIGHTS = (0.05, 0.3)
_MARGIN = 2.0  # standard errors
_LEAST_SURE = 0.01  # a weight of nothing would take the class out of the head
_ROWS_TO_JUDGE = 50  # with fewer, losses of single rows decide: the weight changes every round


def row_weights(
    rows: Sequence[Example], written_weight: float, labelled_weight: float = 1.0
) -> NDArray[np.float64]:
    """Sample weights, shape (n,): 1 for the user's rows, the class list, and what was reviewed.

    Other weights are taken times the teacher's confidence in the label, where it tells one: when it
    labelled the text, or when it read its own blind. What is worth a label is hard for it, too.

    Args:
        rows: n rows, texts and labelled texts.
        written_weight: of a text that a teacher wrote; low, because a fifth of a small teacher's
            texts miss their class. One that a person vouches for does not.
        labelled_weight: of a text of the pool that a teacher labelled.
    """

    def weight(row: Example) -> float:
        if row.origin is None or row.vouched:
            return 1.0
        sure = 1.0 if row.origin.confidence is None else row.origin.confidence
        return (labelled_weight if row.origin.labelled else written_weight) * max(sure, _LEAST_SURE)

    return np.array([weight(row) for row in rows])


def labelled_weight(right: int, asked: int, n_classes: int) -> float:
    """What a real text with the teacher's label weighs, by how often it agrees with the user.

    The text is as good as a row; its label is wrong as often as the teacher's labels of rows are.
    Of two labels that agree with the truth in a share `a` of cases, one tells as much as ``k**2``
    true ones, where ``k`` is what of the agreement is not chance: (a - 1/n) / (1 - 1/n). Counts
    are smoothed by one of each, so that ten right answers of ten are not taken for certainty.

    Args:
        right: rows of the user for which the teacher names the class that they have.
        asked: rows that it was asked for, unseen.
        n_classes: classes that it chose from.
    """
    chance = 1 / n_classes
    agreement = (right + 1) / (asked + 2)
    beyond = max(0.0, (agreement - chance) / (1 - chance))
    return max(WEIGHTS[0], beyond**2)


def safe_guess(written: Sequence[Example]) -> float:
    """What texts weigh where nothing can judge them.

    Where the teacher has read them blind, each weighs by what it said besides, so that a text which
    it takes for another class weighs next to nothing, and the others can count.
    """
    told = [
        text.origin.confidence
        for text in written
        if text.origin and text.is_written and not text.vouched
    ]
    return WEIGHTS[0] if None in told else WEIGHTS[-1]


def lightest_weight(
    losses_of: Callable[[float], NDArray[np.float64]],
    weights: Sequence[float] = WEIGHTS,
    *,
    unjudged: float | None = None,
) -> float:
    """The smallest weight that held-out rows cannot tell from the best.

    Small weights are the safe guess: the texts then fill what rows leave open, and outvote none.
    So a larger one has to lower the loss by more than two standard errors, over fifty rows or more.

    Args:
        losses_of: the losses on the held-out rows, shape (n,), in nats, of a student whose
            written texts have a given weight.
        weights: what to choose from, in rising order.
        unjudged: the weight where fewer rows are held out; default: the smallest.
    """
    losses = [losses_of(weights[0])]
    if len(losses[0]) < _ROWS_TO_JUDGE:
        return weights[0] if unjudged is None else unjudged
    losses += [losses_of(weight) for weight in weights[1:]]
    return weights[_lightest(np.stack(losses))]


def _lightest(losses: NDArray[np.float64]) -> int:
    """The first row that cannot be told from the best (Breiman et al., CART, 1984).

    The standard error is that of the paired differences: rows are hard or easy for all alike.

    Args:
        losses: shape (n_weights, n_rows), weights in rising order.
    """
    excess = losses - losses[losses.mean(axis=1).argmin()]
    error = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int((excess.mean(axis=1) <= _MARGIN * error).argmax())
