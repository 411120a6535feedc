"""What every student refuses before it trains or predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pgkd.data.cells import is_broken, one_column
from pgkd.errors import StudentError
from pgkd.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def check_texts(texts: Sequence[str]) -> None:
    """Refuse what is no list of texts.

    Raises:
        StudentError: it is a single text or a table, or one of its items is no text.
    """
    one_column(texts, "texts", error=StudentError)
    if not hasattr(texts, "__len__"):
        raise StudentError("Give a list of texts, not an iterator: it can be read only once.")
    for row, text in enumerate(texts, start=1):
        if not isinstance(text, str):
            raise StudentError(f"Text {row} is {shown(text)}, not a string. Fill or drop the row.")
        if is_broken(text):
            raise StudentError(
                f"Text {row} has half a character (a lone surrogate). Replace it or drop the row."
            )


def check_classes(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names in column order.

    Raises:
        StudentError: there are fewer than two, or one comes twice.
    """
    names = tuple(classes)
    if isinstance(classes, str) or len(names) < 2:
        raise StudentError("A student needs a list of at least two classes.")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise StudentError(
            f"Classes that come more than once: {', '.join(map(shown, repeated[:5]))}."
        )
    return names


def usable_rows(
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    sample_weight: NDArray[np.float64] | None = None,
) -> tuple[list[str], list[str], NDArray[np.float64]]:
    """The rows that count: those with a positive weight.

    Args:
        texts: n texts.
        labels: n class names.
        classes: class names in column order.
        sample_weight: shape (n,); None weighs all rows 1.

    Returns:
        Texts, labels and weights of the m rows that weigh something. A row without weight is as
        good as absent: a class that has only such rows is one without rows.

    Raises:
        StudentError: lengths differ, a text is no string, a label is unknown, a weight is negative
            or no number, or fewer than two classes have rows.
    """
    check_texts(texts)
    if len(texts) != len(labels):
        raise StudentError(f"{len(texts)} texts, but {len(labels)} labels.")
    unknown = sorted({str(label) for label in labels} - set(classes))
    if unknown:
        raise StudentError(
            f"Labels that are no class of this student: {', '.join(map(shown, unknown[:5]))}."
        )
    weights = _weights(sample_weight, len(labels))
    keep = np.flatnonzero(weights > 0).tolist()
    kept = [labels[i] for i in keep]
    if len(set(kept)) < 2:
        raise StudentError("A student needs rows, of a weight above 0, of at least two classes.")
    return [texts[i] for i in keep], kept, weights[keep]


def _weights(given: NDArray[np.float64] | None, n: int) -> NDArray[np.float64]:
    if given is None:
        return np.ones(n)
    weights = np.asarray(given, dtype=np.float64)
    if weights.shape != (n,):
        raise StudentError(f"{n} rows, but {weights.size} weights.")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise StudentError("Sample weights have to be numbers of at least 0.")
    return weights
