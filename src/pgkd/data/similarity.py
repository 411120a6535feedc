"""When two texts count as the same: by the edit distance of their letters and digits."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pgkd.data.sameness import text_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def letters(text: str) -> str:
    """A text without case, punctuation and what cannot be seen: what is compared."""
    return " ".join("".join(c if c.isalnum() else " " for c in text_key(text)).split())


def nearest(text: str, others: Sequence[str], near_duplicate: float) -> tuple[str, float] | None:
    """The most similar of other texts with its similarity in percent, if it is near enough.

    Args:
        text: as `letters` gives it.
        others: as `letters` gives them.
        near_duplicate: least similarity (1 - normalised edit distance).
    """
    from rapidfuzz import fuzz, process

    cutoff = 100 * near_duplicate
    found = process.extractOne(text, others, scorer=fuzz.ratio, score_cutoff=cutoff)
    return None if found is None else (found[0], found[1])


def near_any(
    texts: Sequence[str], others: Sequence[str], near_duplicate: float
) -> NDArray[np.bool_]:
    """Which texts are near one of the others, shape (n_texts,).

    Args:
        texts: as `letters` gives them.
        others: as `letters` gives them.
        near_duplicate: least similarity.
    """
    return np.array([nearest(text, others, near_duplicate) is not None for text in texts], bool)
