"""Seeded drawing and splitting of rows that keeps the class proportions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.example import Example


def limit_rows(rows: Sequence[Example], limit: int | None, seed: int) -> tuple[Example, ...]:
    """At most `limit` rows, drawn uniformly at random without replacement, in their old order."""
    if limit is None or limit >= len(rows):
        return tuple(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return tuple(rows[i] for i in np.sort(chosen))


def stratified_split(
    labels: Sequence[str], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row indices in two, class by class.

    Args:
        labels: n class names.
        fraction: share of the rows in the second part, in (0, 1).
        seed: of the drawing.

    Returns:
        Indices of the first (training) and second (validation) part, each ascending. Every class
        that has a row has one in the first part: the only row of a class trains. The second part
        has ``round(fraction * n)`` rows and at least one, or as many as that leaves.
    """
    rng = np.random.default_rng(seed)
    groups = _groups(labels)
    sizes = np.array([len(group) for group in groups])
    held = _proportional(sizes, max(1, round(fraction * len(labels))), upper=sizes - 1)
    second = [rng.permutation(group)[:n] for group, n in zip(groups, held, strict=True)]
    validation = np.sort(np.concatenate(second)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def stratified_folds(labels: Sequence[str], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of every row, shape (n,), in [0, n_folds).

    The rows of a class are dealt out one fold after the other, and the next class goes on where
    the last one ended: within a class and over all, the sizes of folds differ by at most one.
    """
    rng = np.random.default_rng(seed)
    order = np.concatenate([rng.permutation(group) for group in _groups(labels)])
    folds = np.empty(len(labels), dtype=np.int64)
    folds[order] = np.arange(len(labels)) % n_folds
    return folds


def draw_per_class(labels: Sequence[str], n: int, seed: int) -> NDArray[np.int64]:
    """Row indices, ascending: of each class `n` drawn at random, or all where it has fewer."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(group)[:n] for group in _groups(labels)]
    return np.sort(np.concatenate(drawn)).astype(np.int64) if drawn else np.array([], np.int64)


def _groups(labels: Sequence[str]) -> list[NDArray[np.int64]]:
    """Row indices of each class, classes in the order of their names."""
    names = np.array(labels, dtype=object)
    return [np.flatnonzero(names == name) for name in sorted(set(labels))]


def _proportional(
    sizes: NDArray[np.int64], total: int, upper: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Split `total` in proportion to `sizes` by largest remainder, none above its `upper`."""
    exact = sizes * (total / sizes.sum())
    counts: NDArray[np.int64] = np.minimum(np.floor(exact).astype(np.int64), upper)
    while counts.sum() < min(total, upper.sum()):
        open_ = counts < upper
        # Ties go to the larger class, which can spare a row.
        gap = np.where(open_, exact - counts, -np.inf)
        counts[np.lexsort((sizes, gap))[-1]] += 1
    return counts
