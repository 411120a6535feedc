"""The calibration of logits: what it recovers, and that it stays finite."""

from __future__ import annotations

import numpy as np
import pytest

from pgkd.encoders.head import Calibration
from pgkd.tasks.classification.students.head import fit_calibration, log_losses


def test_it_finds_the_temperature_and_the_prior_that_labels_were_drawn_with() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (20_000, 4))
    prior = np.log(np.array([[0.7, 0.2, 0.05, 0.05]]))
    true = Calibration(temperature=0.5, prior_weight=0.8)
    gold = (true(logits, prior) + rng.gumbel(size=logits.shape)).argmax(axis=1)
    found = fit_calibration(logits, prior, gold)
    assert found.temperature == pytest.approx(0.5, rel=0.05)
    assert found.prior_weight == pytest.approx(0.8, abs=0.05)


def test_a_class_without_rows_stays_impossible() -> None:
    logits = np.array([[1.0, 0.0, -np.inf]])
    assert np.isneginf(Calibration(0.5, 2.0)(logits, np.array([-1.0, -1.0, 0.0]))[0, 2])


def test_a_handful_of_rows_that_are_all_right_give_a_finite_temperature() -> None:
    logits = np.array([[3.0, 0.0], [0.0, 2.0], [4.0, 1.0]])
    gold = np.array([0, 1, 0])
    found = fit_calibration(logits, np.zeros((3, 2)), gold)
    assert 0.01 < found.temperature < 1
    assert found.prior_weight == pytest.approx(0, abs=1e-6)


def test_log_losses_are_those_of_the_softmax() -> None:
    logits = np.array([[1000.0, 1000.0 + np.log(3)], [0.0, -np.inf]])
    assert log_losses(logits, np.array([0, 0])) == pytest.approx([np.log(4), 0])
