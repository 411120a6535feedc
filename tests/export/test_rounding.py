"""Weights in 7 bits that err little on inputs such as were seen."""

from __future__ import annotations

import numpy as np

from pgkd.export.quantize import LARGEST, round_weights


def test_inputs_that_move_together_make_good_for_each_other() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(500, 6)) @ rng.normal(size=(6, 90))  # more rows than a block holds
    weight = rng.normal(size=(90, 5))
    coded, scale = round_weights(weight, inputs.T @ inputs)
    assert coded.dtype == np.int8
    assert np.abs(coded).max() == LARGEST
    plain = np.round(weight / scale)
    errors = [np.abs(inputs @ (found * scale - weight)).mean() for found in (coded, plain)]
    assert errors[0] < errors[1] / 3
    assert np.abs(coded * scale - weight).max() < 10 * scale.max()  # no weight runs away


def test_inputs_that_tell_nothing_of_each_other_leave_plain_rounding() -> None:
    weight = np.random.default_rng(1).normal(size=(70, 4))
    for moment in (np.diag(np.arange(1.0, 71)), np.zeros((70, 70))):
        coded, _ = round_weights(weight, moment)
        assert np.array_equal(coded, np.round(weight / (np.abs(weight).max(axis=0) / LARGEST)))


def test_columns_of_nothing_stay_nothing() -> None:
    coded, scale = round_weights(np.zeros((3, 2)), np.eye(3))
    assert not coded.any()
    assert (scale > 0).all()
