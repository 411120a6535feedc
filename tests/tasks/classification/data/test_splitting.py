"""Splitting: a partition, in proportion, the same again, and no class without a training row."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pgkd.tasks.classification.data.dataset import limit_rows, stratified_split
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.common.folds import stratified_folds

some_labels = st.lists(st.sampled_from("abcdefgh"), min_size=2, max_size=200)
seeds = st.integers(0, 99)


@given(some_labels, st.floats(0.05, 0.95), seeds)
@settings(max_examples=150, deadline=None)
def test_a_split_is_a_partition_that_leaves_every_class_a_training_row(
    labels: list[str], fraction: float, seed: int
) -> None:
    first, second = stratified_split(labels, fraction, seed)
    assert sorted([*first, *second]) == list(range(len(labels)))
    assert {labels[i] for i in first} == set(labels)
    spare = len(labels) - len(set(labels))
    assert len(second) == min(max(1, round(fraction * len(labels))), spare)


@given(some_labels, st.floats(0.05, 0.95), seeds)
@settings(max_examples=100, deadline=None)
def test_classes_keep_their_proportion(labels: list[str], fraction: float, seed: int) -> None:
    _, second = stratified_split(labels, fraction, seed)
    held, total = Counter(labels[i] for i in second), Counter(labels)
    if all(count * (1 - fraction) >= 1 for count in total.values()):
        assert all(abs(held[name] - fraction * total[name]) <= 1 for name in total)


@given(some_labels, seeds)
@settings(max_examples=50, deadline=None)
def test_a_split_is_seeded(labels: list[str], seed: int) -> None:
    first, again = stratified_split(labels, 0.3, seed), stratified_split(labels, 0.3, seed)
    assert all((a == b).all() for a, b in zip(first, again, strict=True))


def test_another_seed_is_another_split() -> None:
    labels = list("ab" * 50)
    splits = {tuple(stratified_split(labels, 0.2, seed)[1]) for seed in range(5)}
    assert len(splits) == 5


@given(some_labels, st.integers(2, 10), seeds)
@settings(max_examples=150, deadline=None)
def test_folds_are_even_over_all_and_within_each_class(
    labels: list[str], n_folds: int, seed: int
) -> None:
    folds = stratified_folds(labels, n_folds, seed)
    sizes = np.bincount(folds, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for name in set(labels):
        mine = np.bincount(folds[[label == name for label in labels]], minlength=n_folds)
        assert mine.max() - mine.min() <= 1
    assert (folds == stratified_folds(labels, n_folds, seed)).all()


@given(st.integers(2, 60), st.integers(2, 80), seeds)
@settings(max_examples=60, deadline=None)
def test_a_limit_draws_distinct_rows_in_their_order(n_rows: int, limit: int, seed: int) -> None:
    rows = [LabelledText(f"text {i}", "a", f"train:{i}") for i in range(n_rows)]
    drawn = limit_rows(rows, limit, seed)
    kept = set(drawn)
    assert len(drawn) == min(limit, n_rows)
    assert drawn == tuple(row for row in rows if row in kept)
    assert drawn == limit_rows(rows, limit, seed)


def test_a_limit_draws_every_row_equally_often() -> None:
    rows = [LabelledText(f"text {i}", "a" if i else "rare", f"train:{i}") for i in range(10)]
    drawn = Counter(row.id for seed in range(600) for row in limit_rows(rows, 5, seed))
    assert all(240 < drawn[row.id] < 360 for row in rows)  # 300 expected, 12 standard deviation


def test_no_limit_keeps_all_rows() -> None:
    rows = [LabelledText(f"text {i}", "a", f"train:{i}") for i in range(3)]
    assert limit_rows(rows, None, 0) == tuple(rows)
