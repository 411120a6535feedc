"""Which classes are alike, by what they are called and what their rows say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy

_ROWS = 8  # of a class that are looked at


def nearest_classes(
    taxonomy: Taxonomy,
    real: Sequence[LabelledText],
    embed: Callable[[Sequence[str]], NDArray[np.float64] | None],
    glossary: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """For every class all others, the most similar first.

    A class stands where the mean of its name, its description and up to eight of its rows lies.
    Names alone mislead: by their letters "change pin" is next to "exchange rate".

    Args:
        taxonomy: the classes.
        real: rows of the user.
        embed: gives features of unit length, shape (n, width), or None where the student has none;
            then words are compared.
        glossary: what each class covers, as far as it is known.
    """
    texts, owner = [], []
    rows: dict[str, list[str]] = {name: [] for name in taxonomy.names}
    for row in real:
        rows[row.label].append(row.text)
    for i, c in enumerate(taxonomy):
        about = (glossary or {}).get(c.name) or c.description
        mine = [f"{c.readable} {c.parent or ''} {about}".strip(), *rows[c.name][:_ROWS]]
        texts += mine
        owner += [i] * len(mine)
    features = embed(texts)
    if features is None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        features = TfidfVectorizer(sublinear_tf=True).fit_transform(texts).toarray()
    sums = np.zeros((len(taxonomy), features.shape[1]))
    np.add.at(sums, owner, features)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    similar = sums @ sums.T
    np.fill_diagonal(similar, -np.inf)  # a class is not its own neighbour
    names = taxonomy.names
    order = np.argsort(-similar, axis=1, kind="stable")[:, :-1]
    return {name: tuple(names[j] for j in order[i]) for i, name in enumerate(names)}
