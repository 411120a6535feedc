"""The stop rule: the lowest loss, row by row, and patience."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgkd.evaluation import paired_change
from pgkd.stopping import StopRule

if TYPE_CHECKING:
    from numpy.typing import NDArray

RNG = np.random.default_rng(0)
BASE = RNG.uniform(0.2, 2.0, 400)


def shifted(by: float, spread: float = 0.2) -> NDArray[np.float64]:
    noise = np.random.default_rng(1).normal(0, spread, len(BASE))
    return np.asarray(BASE + by + noise - noise.mean())


def test_round_zero_is_always_a_candidate() -> None:
    verdict = StopRule(1).judge(BASE)
    assert verdict.keep
    assert not verdict.stop


def test_a_better_round_is_kept_and_a_worse_one_is_not() -> None:
    rule = StopRule(3)
    rule.judge(BASE)
    assert rule.judge(shifted(-0.1)).keep
    worse = rule.judge(shifted(0.1))
    assert not worse.keep
    assert worse.change == pytest.approx(0.2)


def test_a_round_that_is_a_little_worse_is_not_kept() -> None:
    """To prefer the later of two that are alike is a bias towards harm with a weak teacher."""
    rule = StopRule(3)
    rule.judge(BASE)
    verdict = rule.judge(shifted(0.005))  # half a standard error worse
    assert 0 < verdict.change < verdict.standard_error
    assert not verdict.keep


def test_patience_counts_rounds_without_a_lower_loss() -> None:
    rule = StopRule(2)
    rule.judge(BASE)
    assert not rule.judge(shifted(0.1)).stop
    assert not rule.judge(shifted(-0.1)).stop
    assert not rule.judge(shifted(0.1)).stop
    assert rule.judge(shifted(0.1)).stop


def test_rows_that_cannot_judge_are_left_out() -> None:
    before = np.array([1.0, 1.0, 1.0, np.nan])
    after = np.array([0.5, np.nan, 0.7, 0.0])
    change, error = paired_change(after, before)
    assert change == pytest.approx(-0.4)
    assert error == pytest.approx(0.1)


def test_no_row_in_common_changes_nothing() -> None:
    rule = StopRule(5)
    rule.judge(np.array([1.0, np.nan]))
    assert rule.judge(np.array([np.nan, 1.0])).change == 0


@given(st.lists(st.floats(0, 14), min_size=2, max_size=30), st.floats(-1, 1))
@settings(max_examples=60, deadline=None)
def test_the_change_is_the_mean_of_the_differences(values: list[float], by: float) -> None:
    losses = np.array(values)
    change, error = paired_change(losses + by, losses)
    assert change == pytest.approx(by, abs=1e-9)
    assert error == pytest.approx(0, abs=1e-9)
