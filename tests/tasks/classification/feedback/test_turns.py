"""Whether a round writes or labels: a share, or by which helped more for its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pgkd.tasks.classification.feedback.acquisition import (
    AcquisitionSchedule,
    Gain,
    Spent,
    compared,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS = 400
NOISE = np.random.default_rng(0).normal(0, 0.1, ROWS)
NOISE -= NOISE.mean()


def played(changes: Sequence[tuple[float, float]], costs: tuple[Spent, Spent]) -> str:
    """The turns of a run, in which a round that labels or writes lowers the loss by so much.

    Args:
        changes: of each round, nats if it labels and nats if it writes.
        costs: of a round that labels and of one that writes.
    """
    told: list[bool] = []
    turns = AcquisitionSchedule(None, lambda number: costs[0] if told[number - 1] else costs[1])
    losses = np.full(ROWS, 2.0)
    for number, (labelling, writing) in enumerate(changes, start=1):
        told.append(turns.labels(number, losses))
        losses = losses - (labelling if told[-1] else writing) + NOISE[::-1] * (-1) ** number
    return "".join("L" if labels else "w" for labels in told)


SAME = (Spent(32), Spent(32))


def test_both_are_tried_then_the_better_goes_on() -> None:
    assert played([(0.2, 0.0)] * 6, SAME) == "LwLLLL"
    assert played([(0.0, 0.2)] * 6, SAME) == "Lwwwww"


def test_within_the_error_they_take_turns() -> None:
    assert played([(0.05, 0.05)] * 6, SAME) == "LwLwLw"


def test_what_costs_less_wins_where_both_help_alike() -> None:
    calls = (Spent(32), Spent(8))
    assert played([(0.1, 0.1)] * 5, calls) == "Lwwww"
    dollars = (Spent(32, 0.001), Spent(8, 0.1))
    assert played([(0.1, 0.1)] * 5, dollars) == "LwLLL"


def test_a_way_that_is_used_up_gives_way() -> None:
    shrinking = [(0.2 / 2**i, 0.06) for i in range(7)]
    turns = played(shrinking, SAME)
    assert turns.startswith("LwL")
    assert "w" in turns[3:]


def test_dollars_count_only_where_both_were_billed() -> None:
    first, second = Gain(0.1, 0.0, Spent(10, 0.0)), Gain(0.1, 0.0, Spent(20, 0.5))
    assert compared(first, second) == 1  # by calls
    assert compared(second, first) == -1
    assert compared(first, first) == 0


def test_a_round_that_nobody_can_judge_decides_nothing() -> None:
    turns = AcquisitionSchedule(None, lambda number: Spent(1))
    nobody = np.full(3, np.nan)
    assert [turns.labels(n, nobody) for n in (1, 2, 3, 4)] == [True, False, True, False]


@pytest.mark.parametrize(
    ("share", "told"), [(0.0, "wwwwww"), (1.0, "LLLLLL"), (0.5, "wLwLwL"), (0.34, "wwLwwL")]
)
def test_a_share_is_dealt_out_evenly(share: float, told: str) -> None:
    turns = AcquisitionSchedule(share, lambda number: Spent(1))
    losses = np.zeros(2)
    assert "".join("L" if turns.labels(n, losses) else "w" for n in range(1, 7)) == told


def test_without_a_text_left_a_round_writes() -> None:
    turns = AcquisitionSchedule(1.0, lambda number: Spent(1))
    assert turns.labels(1, np.zeros(2))
    assert not turns.labels(2, np.zeros(2), left=False)
