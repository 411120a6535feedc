"""The list of labels of a task whose rows may have several: given, or found in the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from pgkd.errors import DataError
from pgkd.tasks.classification.data.examples import LabelClass, Taxonomy
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
