"""Which rows are held out together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pgkd.task import Example
from pgkd.text import text_key


def random_folds(n: int, n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row, shape (n,), in [0, n_folds); sizes differ by at most one."""
    folds = np.empty(n, dtype=np.int64)
    folds[np.random.default_rng(seed).permutation(n)] = np.arange(n) % n_folds
    return folds


def stratified_folds(labels: Sequence[str], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row, shape (n,), in [0, n_folds).

    The rows of a class are dealt out one fold after the other, and the next class goes on where
    the last one ended: within a class and over all, the sizes of folds differ by at most one.
    """
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(group) for group in group_rows(labels)])
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def grouped_folds(
    rows: Sequence[Example], cells: Sequence[str], n_folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of every row, shape (n,): rows that share their first text are in the same one.

    Args:
        rows: n of them.
        cells: n names; each fold has its share of every cell.
        n_folds: how many.
        seed: of the draw.
    """
    keys = [text_key(row.text) for row in rows]
    if len(set(keys)) < 2 * n_folds:
        keys = [row.id for row in rows]
    first = dict(reversed(list(zip(keys, cells, strict=True))))
    folds = stratified_folds(list(first.values()), n_folds, seed)
    fold_of = dict(zip(first, folds.tolist(), strict=True))
    return np.array([fold_of[key] for key in keys], dtype=np.int64)


def group_rows(labels: Sequence[str]) -> list[NDArray[np.int64]]:
    """Row indices of each class, classes in the order of their names."""
    names = np.array(labels, dtype=object)
    return [np.flatnonzero(names == name) for name in sorted(set(labels))]
