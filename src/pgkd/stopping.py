"""When to stop, and which round to keep.

The paper keeps the student with the lowest validation loss and stops on patience. Two hundred
validation rows cannot rank rounds that well: the paired standard error of a difference is as large
as a round's gain. So rounds are compared row by row on every real row that can judge them. The
round of lowest loss is kept, as in the paper; where the teacher is known to know the classes, a
later round is kept unless it is worse by more than one standard error (Breiman et al., 1984), for
it has seen more. Where the teacher is weak, that would be a bias towards harm.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.evaluation import paired_change

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the stop rule says of a round.

    Attributes:
        keep: the round's student becomes the best so far.
        stop: patience has run out.
        change: mean change of the loss, in nats, against the round of lowest loss before it.
        standard_error: of that change, paired over rows.
        waited: rounds since the loss was last improved.
    """

    keep: bool
    stop: bool
    change: float
    standard_error: float
    waited: int


class StopRule:
    """Judges rounds in order.

    Args:
        patience: stop after this many rounds in a row without a lower loss.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._lowest: NDArray[np.float64] | None = None
        self._waited = 0

    def judge(self, losses: NDArray[np.float64], margin: float = 0.0) -> Verdict:
        """Judge the next round; the first one is always kept.

        Args:
            losses: shape (n,), of the same examples every round, in nats.
            margin: standard errors by which the round may seem worse and still be kept.
        """
        if self._lowest is None:
            self._lowest = losses
            return Verdict(keep=True, stop=False, change=0.0, standard_error=0.0, waited=0)
        change, error = paired_change(losses, self._lowest)
        keep = change <= margin * error if margin else change < 0
        if change < 0:
            self._lowest, self._waited = losses, 0
        else:
            self._waited += 1
        return Verdict(keep, self._waited >= self._patience, change, error, self._waited)
