"""Which classes are related, judged by what they are called: all that is known of an unseen one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pgkd.task import Taxonomy


def related_classes(taxonomy: Taxonomy) -> dict[str, tuple[str, ...]]:
    """For every class all others, the most alike first.

    Likeness is the cosine of TF-IDF weighted character n-grams of name, parent and description;
    classes that are equally alike keep the order of the taxonomy.

    Args:
        taxonomy: the classes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [f"{c.readable} {c.parent or ''} {c.description}" for c in taxonomy]
    vectorizer = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    vectors = vectorizer.fit_transform(texts)
    alike = (vectors @ vectors.T).toarray()
    np.fill_diagonal(alike, -1.0)  # a class is not its own neighbour
    names = taxonomy.names
    nearest = np.argsort(-alike, axis=1, kind="stable")[:, :-1]
    return {name: tuple(names[j] for j in nearest[i]) for i, name in enumerate(names)}
