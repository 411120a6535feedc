"""The map: labelled rows and synthetic texts in two dimensions."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd.apps.report.content import Map, Neighbours, Point, Snippet
from pgkd.apps.report.page import one_line
from pgkd.apps.report.svg import AFTER, BEFORE, GRID, PAPER, Canvas, Figure
from pgkd.errors import PgkdError
from pgkd.runs.folder import RunFolder

if TYPE_CHECKING:
    from pgkd.apps.report.gather import Records  # which imports this module

_MOST = 600  # labelled rows, and as many synthetic texts
_LEAST = 10
_WIDTH = 50  # dimensions that t-SNE starts from
_TEXT = 160  # characters of a text
_NAMES = 14  # classes that are named in the chart
_PAPER = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.0}


def make_map(run: RunFolder, records: Records, *, seed: int = 0) -> Map | None:
    """Place rows and texts by the features of the best student.

    t-SNE (van der Maaten & Hinton, JMLR 2008) on principal components, in one thread, so that the
    same run gives the same map.

    Args:
        run: the run folder.
        records: its files.
        seed: of the sample, where there are too many texts to show, and of the projection.

    Returns:
        None where there are too few texts for a map.
    """
    rng = np.random.default_rng(seed)
    real, written = (_sample(rows, rng) for rows in (records.task["train"], records.accepted))
    rows = [*real, *written]
    if len(rows) < _LEAST or not all(isinstance(row.get("label"), str) for row in rows):
        return None
    features, source = _features(run, [row["text"] for row in rows], seed)
    if features is None:
        return None
    is_synthetic = np.arange(len(rows)) >= len(real)
    points = [
        Point(float(x), float(y), row["label"], bool(synthetic), Snippet.of(row["text"], _TEXT))
        for (x, y), row, synthetic in zip(_project(features, seed), rows, is_synthetic, strict=True)
    ]
    return Map(
        method=f"t-SNE of {source}",
        points=tuple(points),
        real=len(records.task["train"]),
        synthetic=len(records.accepted),
        neighbours=_neighbours(features, [row["label"] for row in rows], is_synthetic),
    )


def _sample(rows: Sequence[dict[str, Any]], rng: np.random.Generator) -> list[dict[str, Any]]:
    if len(rows) <= _MOST:
        return list(rows)
    return [rows[i] for i in np.sort(rng.choice(len(rows), size=_MOST, replace=False))]


def _features(
    run: RunFolder, texts: Sequence[str], seed: int
) -> tuple[NDArray[np.float64] | None, str]:
    """Features of the texts, shape (n, width), and what they are."""
    with suppress(PgkdError):  # no student yet, or weights that are not here
        if (found := run.student("best").features(texts)) is not None:
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


def _project(features: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Places in the unit square, shape (n, 2), with four digits."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # sums of several threads differ from run to run
        reduced = PCA(min(_WIDTH, *features.shape), svd_solver="full").fit_transform(features)
        start = reduced[:, :2] / (float(np.std(reduced[:, 0])) or 1.0) * 1e-4
        start = np.pad(start, ((0, 0), (0, 2 - start.shape[1])))
        perplexity = min(30.0, (len(features) - 1) / 3)
        projection = TSNE(perplexity=perplexity, init=start, random_state=seed, n_jobs=1)
        placed = projection.fit_transform(reduced)
    low, high = placed.min(axis=0), placed.max(axis=0)
    square = (placed - low) / np.maximum(high - low, 1e-9)
    return np.asarray(np.round(square, 4), dtype=np.float64)


def _neighbours(
    features: NDArray[np.float64], labels: Sequence[str], is_synthetic: NDArray[np.bool_]
) -> tuple[Neighbours, ...]:
    """For every class, how many synthetic texts have a labelled row of it as the nearest one."""
    names = np.array(labels, dtype=object)
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    real, written = np.flatnonzero(~is_synthetic), np.flatnonzero(is_synthetic)
    at_home = np.zeros(len(names), dtype=bool)
    if len(real) and len(written):
        nearest = real[(unit[written] @ unit[real].T).argmax(axis=1)]
        at_home[written] = names[nearest] == names[written]
    return tuple(
        Neighbours(
            label=name,
            real=int((~is_synthetic & (names == name)).sum()),
            synthetic=int((is_synthetic & (names == name)).sum()),
            at_home=int(at_home[names == name].sum()),
        )
        for name in sorted(set(labels))
    )


def draw_map(found: Map) -> Figure:
    """Labelled rows as circles, synthetic texts as triangles, each with its text as a tooltip."""
    canvas = Canvas((7.2, 5.4))
    axes = canvas.axes
    groups: dict[str, tuple[str, dict[str, str]]] = {
        "real": ("labelled rows", {"marker": "o", "facecolor": "none", "edgecolor": BEFORE}),
        "texts": ("synthetic texts", {"marker": "^", "facecolor": AFTER, "edgecolor": "none"}),
    }
    tips = {}
    for gid, (label, look) in groups.items():
        points = [p for p in found.points if p.synthetic == (gid == "texts")]
        if points:
            xs, ys = [p.x for p in points], [p.y for p in points]
            axes.scatter(xs, ys, s=16, linewidth=0.9, label=label, gid=gid, clip_on=False, **look)
            tips[gid] = [one_line(f"{p.label}: {p.text.text}", 160) for p in points]
    _name_classes(axes, found)
    axes.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(GRID)
    canvas.legend(ncols=2)
    shown = sum(p.synthetic for p in found.points)
    text = (
        f"{found.method}: similar texts are close together; large distances mean little. "
        f"{len(found.points) - shown:,} of {found.real:,} labelled rows, {shown:,} of "
        f"{found.synthetic:,} synthetic texts. Names are at the median of the rows of their class."
    )
    header = ("class", "labelled rows", "synthetic texts", "nearest to a row of their class")
    rows = [
        (n.label, n.real, n.synthetic, n.at_home if n.synthetic else "") for n in found.neighbours
    ]
    title = "Map of labelled rows and synthetic texts"
    return canvas.figure("map", title, text, header, rows, wide=True, tips=tips)


def _name_classes(axes: Any, found: Map) -> None:
    """Names of the largest classes at the median of their rows, without overlap."""
    taken: list[tuple[float, float, float]] = []
    for place in sorted(found.neighbours, key=lambda n: (-n.real, n.label)):
        own = [p for p in found.points if p.label == place.label and not p.synthetic]
        if len(taken) == _NAMES or len(own) < 2:
            return
        x, y = (sorted(each)[len(own) // 2] for each in ([p.x for p in own], [p.y for p in own]))
        name = one_line(place.label, 22)
        width = 0.013 * len(name)
        if all(abs(x - a) > (width + w) / 2 or abs(y - b) > 0.04 for a, b, w in taken):
            taken.append((x, y, width))
            axes.text(x, y, name, ha="center", va="center", fontweight="bold", bbox=_PAPER)
