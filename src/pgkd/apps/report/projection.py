"""The map: labelled rows and written texts in two dimensions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.report.content import Map, Neighbours, Point, Snippet
from pgkd.errors import PgkdError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.apps.report.records import Records
    from pgkd.runs.folder import RunFolder

_MOST = 600  # labelled rows, and as many written texts
_LEAST = 10
_WIDTH = 50  # dimensions that t-SNE starts from
_TEXT = 160  # characters of a text


def map_of(run: RunFolder, records: Records, *, seed: int = 0) -> Map | None:
    """Place rows and texts by the features of the student that was kept.

    t-SNE (van der Maaten & Hinton, JMLR 2008) from the principal components on, on one thread: the
    same run gives the same map.

    Args:
        run: the run folder.
        records: its files.
        seed: of the drawing, where there are too many texts to show, and of the projection.

    Returns:
        None where there are too few texts for a map.
    """
    rng = np.random.default_rng(seed)
    real, written = (_drawn(rows, rng) for rows in (records.task["train"], records.kept))
    rows = [*real, *written]
    if len(rows) < _LEAST:
        return None
    features, source = _features(run, [row["text"] for row in rows], seed)
    if features is None:
        return None
    is_synthetic = np.arange(len(rows)) >= len(real)
    points = [
        Point(float(x), float(y), row["label"], bool(late), Snippet.of(row["text"], _TEXT))
        for (x, y), row, late in zip(_placed(features, seed), rows, is_synthetic, strict=True)
    ]
    labels = [row["label"] for row in rows]
    return Map(
        method=f"t-SNE of {source}",
        points=tuple(points),
        real=len(records.task["train"]),
        written=len(records.kept),
        neighbours=_neighbours(features, labels, is_synthetic),
    )


def _drawn(rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    if len(rows) <= _MOST:
        return list(rows)
    return [rows[i] for i in np.sort(rng.choice(len(rows), size=_MOST, replace=False))]


def _features(
    run: RunFolder, texts: Sequence[str], seed: int
) -> tuple[NDArray[np.float64] | None, str]:
    """Features of the texts, shape (n, width), and what they are."""
    try:
        found = run.student("best").features(texts)
    except PgkdError:  # no student yet, or weights that are not here
        found = None
    if found is not None:
        return found, "the student's features"
    return _word_features(texts, seed), "word frequencies (TF-IDF)"


def _word_features(texts: Sequence[str], seed: int) -> NDArray[np.float64] | None:
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        words = TfidfVectorizer(sublinear_tf=True).fit_transform(texts)
    except ValueError:  # the texts hold no word
        return None
    width = min(_WIDTH, min(words.shape) - 1)
    if width < 2:
        return None
    reduced = TruncatedSVD(width, random_state=seed).fit_transform(words)
    return np.asarray(reduced, dtype=np.float64)


def _placed(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Shape (n, 2), in a square of side 1, to four digits."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    width = min(_WIDTH, *features.shape)
    with threadpool_limits(1):  # sums of several threads differ from run to run
        reduced = PCA(width, svd_solver="full").fit_transform(features)
        scale = float(np.std(reduced[:, 0])) or 1.0
        start = reduced[:, :2] / scale * 1e-4
        start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
        projection = TSNE(
            perplexity=min(30.0, (len(features) - 1) / 3), init=start, random_state=seed, n_jobs=1
        )
        placed = projection.fit_transform(reduced)
    low, high = placed.min(axis=0), placed.max(axis=0)
    square = (placed - low) / np.maximum(high - low, 1e-9)
    return np.asarray(np.round(square, 4), dtype=np.float64)


def _neighbours(
    features: NDArray[np.float64], labels: Sequence[str], is_synthetic: NDArray[np.bool_]
) -> tuple[Neighbours, ...]:
    """For every class, how many of its texts have a labelled row of it as their nearest."""
    names = np.array(labels, dtype=object)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    unit = features / np.maximum(lengths, 1e-12)
    real, late = np.flatnonzero(~is_synthetic), np.flatnonzero(is_synthetic)
    at_home = np.zeros(len(names), dtype=bool)
    if len(real) and len(late):
        nearest = real[(unit[late] @ unit[real].T).argmax(axis=1)]
        at_home[late] = names[nearest] == names[late]
    return tuple(
        Neighbours(
            label=name,
            real=int((~is_synthetic & (names == name)).sum()),
            written=int((is_synthetic & (names == name)).sum()),
            at_home=int(at_home[names == name].sum()),
        )
        for name in sorted(set(labels))
    )
