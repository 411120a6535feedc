"""Whose turn a round is: texts that the teacher writes, or labels for texts of the pool.

A round goes one way or the other, so that what it brought can be told: the change of the loss on
real rows, for what the round has cost. A mix is rounds in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.evaluation import paired_change

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Spent:
    """What a round has cost: calls that were answered, and US dollars where a price is known."""

    calls: int
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Gain:
    """What a round has brought.

    Attributes:
        nats: by which the mean loss on real rows fell.
        error: standard error of that.
        spent: what it cost.
    """

    nats: float
    error: float
    spent: Spent


class Turns:
    """Decides whether a round asks for labels.

    With a share, rounds are dealt out evenly: of any first n, that share of them label, rounded
    down. Without one, the first round labels and the second one writes. From then on the last round
    of each kind is compared, by what it brought for its cost: dollars, or calls where nothing was
    billed. The better kind goes on, by a margin of one standard error; within it, the two take
    turns.

    Args:
        share: of the rounds that label; None chooses by what helped more.
        spent: what a round has cost, by its number.
    """

    def __init__(self, share: float | None, spent: Callable[[int], Spent]) -> None:
        self._share = share
        self._spent = spent
        self._losses: NDArray[np.float64] | None = None
        self._labelled = False  # in the last round
        self._gains: dict[bool, Gain] = {}

    def labels(self, number: int, losses: NDArray[np.float64], *, left: bool = True) -> bool:
        """Whether round `number` asks for labels; called once a round, in order.

        Args:
            number: of the round, from 1.
            losses: shape (n,), on real rows after the round before it, in nats; the same rows in
                every round, NaN where a row cannot judge.
            left: whether there is a text to label.
        """
        if self._losses is not None:
            change, error = paired_change(losses, self._losses)
            self._gains[self._labelled] = Gain(-change, error, self._spent(number - 1))
        self._losses = losses
        self._labelled = left and self._turn(number)
        return self._labelled

    def _turn(self, number: int) -> bool:
        if self._share is not None:
            return math.floor(number * self._share) > math.floor((number - 1) * self._share)
        if len(self._gains) < 2:
            return not self._labelled
        better = compared(self._gains[True], self._gains[False])
        return not self._labelled if better == 0 else better > 0


def compared(first: Gain, second: Gain) -> int:
    """1 where the first brought more for its cost, -1 where the second did, 0 within the error."""
    billed = first.spent.usd > 0 and second.spent.usd > 0
    costs = [g.spent.usd if billed else max(g.spent.calls, 1) for g in (first, second)]
    rates = [g.nats / cost for g, cost in zip((first, second), costs, strict=True)]
    errors = [g.error / cost for g, cost in zip((first, second), costs, strict=True)]
    difference = rates[0] - rates[1]
    return 0 if abs(difference) <= math.hypot(*errors) else int(math.copysign(1, difference))
