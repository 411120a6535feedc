"""The list of labels of a task whose rows may have several: given, or found in the rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.errors import DataError
from pgkd.tasks.classification.data.examples import LabelClass, Taxonomy
from pgkd.tasks.common.folds import stratified_folds
from pgkd.tasks.common.rows import E, Rows
from pgkd.text import label_key


def with_labels(
    rows: Rows[E],
    labels_of: Callable[[E], Iterable[str]],
    classes: Iterable[LabelClass] | None,
    names: Sequence[str] = (),
) -> Rows[E]:
    """The rows, with all labels in their details.

    Args:
        rows: of the user.
        labels_of: tells the labels of a row.
        classes: all labels, where they are given with descriptions.
        names: all labels, where their names alone are given.

    Raises:
        DataError: two labels differ in their spelling alone.
    """
    found = {label for row in (*rows.train, *rows.validation) for label in labels_of(row)}
    known = list(classes or map(LabelClass, names or sorted(found)))
    keys = [label_key(each.name) for each in known]
    if alike := [c.name for c, key in zip(known, keys, strict=True) if keys.count(key) > 1]:
        raise DataError("These labels differ in their spelling alone:", alike)
    return replace(rows, details={"classes": [asdict(each) for each in known]})


def classes_of(rows: Rows[Any]) -> tuple[LabelClass, ...]:
    """The labels of a data set, in column order."""
    return tuple(LabelClass(**each) for each in rows.details["classes"])


def taxonomy_of(rows: Rows[Any]) -> Taxonomy:
    """The same as a taxonomy: at least two."""
    return Taxonomy(classes_of(rows))


def label_folds(labels: Sequence[Sequence[str]], n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each of n rows with these labels: every fold has its share of the rare ones."""
    counts = Counter(name for names in labels for name in names)
    rarest = [min(names, key=lambda name: (counts[name], name), default="") for names in labels]
    return stratified_folds(rarest, min(n_folds, len(labels)), seed)


def label_rates(n: int, given: int, right: int) -> dict[str, float]:
    """Figures of a label that n rows have, and that is given and right so many times.

    ``error_rate`` is 1 - F1 with one more mistake than there was: no label is perfect.
    """
    return {
        "precision": right / given if given else 0.0,
        "recall": right / n if n else 0.0,
        "f1": 2 * right / (n + given) if n + given else 0.0,
        "error_rate": (n + given - 2 * right + 1) / (n + given + 1),
    }
