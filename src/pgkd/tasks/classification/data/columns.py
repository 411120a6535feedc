"""From class names to the columns of probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray


def columns_of(labels: Iterable[str], classes: Sequence[str]) -> NDArray[np.int64]:
    """The column of each label's class, shape (n,).

    Args:
        labels: n class names.
        classes: class names in column order.

    Raises:
        KeyError: a label is none of the classes.
    """
    index = {name: i for i, name in enumerate(classes)}
    return np.array([index[label] for label in labels], dtype=np.int64)
