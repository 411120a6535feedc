"""The chart of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.apps.report.drawing import Canvas, Figure, finish
from pgkd.apps.report.svg import AFTER, BEFORE, GRID, PAPER
from pgkd.apps.report.words import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.apps.report.content import Map

_MAP_NAMES = 14
_PAPER = {"facecolor": PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 1.0}


def map_figure(found: Map) -> Figure:
    """Labelled rows as circles, written texts as triangles; each tells its text to a pointer."""
    canvas = Canvas((7.2, 5.4))
    axes = canvas.axes
    groups = {
        "real": ("labelled rows", {"marker": "o", "facecolor": "none", "edgecolor": BEFORE}),
        "texts": ("written texts", {"marker": "^", "facecolor": AFTER, "edgecolor": "none"}),
    }
    tips = {}
    for gid, (label, look) in groups.items():
        points = [p for p in found.points if p.written == (gid == "texts")]
        if points:
            xs, ys = [p.x for p in points], [p.y for p in points]
            axes.scatter(xs, ys, s=16, linewidth=0.9, label=label, gid=gid, clip_on=False, **look)
            tips[gid] = [one_line(f"{p.label}: {p.text.text}", 160) for p in points]
    _name_places(axes, found)
    axes.set(xticks=[], yticks=[], xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(GRID)
    canvas.legend_above(ncols=2)
    shown = sum(p.written for p in found.points)
    text = (
        f"{found.method}: what is alike lies close together; distances far apart mean little. "
        f"{len(found.points) - shown:,} of {found.real:,} labelled rows, {shown:,} of "
        f"{found.written:,} written texts. A name stands in the middle of the rows of its class."
    )
    header = ("class", "labelled rows", "written texts", "with a row of the class as the nearest")
    rows = [(n.label, n.real, n.written, n.at_home if n.written else "") for n in found.neighbours]
    title = "Map of labelled rows and written texts"
    return finish("map", title, text, canvas, header, rows, wide=True, tips=tips)


def _name_places(axes: Any, found: Map) -> None:
    """Names of the largest classes, in the middle of their rows; none over another."""
    taken: list[tuple[float, float, float]] = []
    for place in sorted(found.neighbours, key=lambda n: (-n.real, n.label)):
        own = [p for p in found.points if p.label == place.label and not p.written]
        if len(taken) == _MAP_NAMES or len(own) < 2:
            return
        x, y = _median([p.x for p in own]), _median([p.y for p in own])
        name = one_line(place.label, 22)
        width = 0.013 * len(name)
        if all(abs(x - a) > (width + w) / 2 or abs(y - b) > 0.04 for a, b, w in taken):
            taken.append((x, y, width))
            axes.text(x, y, name, ha="center", va="center", fontweight="bold", bbox=_PAPER)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]
