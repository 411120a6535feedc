"""The gate of the Python API: what is a list of texts or labels, and what only looks like one.

Whatever takes rows from a caller asks here first. A table iterates over its column names and a
string over its characters: both would go through without an error, and train on nonsense.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from pgkd.errors import DataError, PgkdError


def one_column(values: Any, what: str, *, error: type[PgkdError] = DataError) -> list[Any]:
    """The items of a list, an array, a column or a tensor, as plain values of Python.

    Args:
        values: what a caller gave. A column vector, of shape (n, 1), is read as n items.
        what: their name in messages, in the plural.
        error: raised where it is something else.

    Raises:
        PgkdError: of the type `error`.
    """
    if isinstance(values, str | bytes):
        raise error(f"Give a list of {what}. For one, give a list that holds it.")
    if hasattr(values, "columns") or isinstance(values, Mapping):
        raise error(f"This is a table, not a list of {what}: give one column of it.")
    if isinstance(values, Set) or not isinstance(values, Iterable):
        raise error(f"Give a list of {what}, not a value of type {type(values).__name__}.")
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        if len(shape) != 2 or shape[1] != 1 or not hasattr(values, "reshape"):
            hint = "" if what == "texts" else "; of one-hot rows, argmax(axis=1) gives them"
            raise error(
                f"The {what} have the shape {tuple(shape)}: give one dimension, an item a row"
                f"{hint}."
            )
        values = values.reshape(-1)
    return list(values.tolist() if hasattr(values, "tolist") else values)
