"""How charts of a report are drawn: one hand for all of them."""

from __future__ import annotations

import io
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgkd.apps.report import svg
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markupsafe import Markup

EXTRA, JOB = "report", "The report"
SMALL = (4.5, 2.8)  # inches; two of them stand side by side on a wide screen
_WIDE = 4.5
_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: to be read, found and translated
    "svg.hashsalt": "pgkd",
    "text.parse_math": False,  # a class may be named $x$
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: measures are the same everywhere
    "font.size": 9,
    "axes.edgecolor": svg.GRID,
    "axes.labelcolor": svg.MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": svg.GRID,
    "grid.linewidth": 0.6,
    "text.color": svg.INK,
    "xtick.color": svg.MUTED,
    "ytick.color": svg.MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "hatch.linewidth": 1.0,
    "hatch.color": svg.PAPER,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, and the figures behind it.

    Attributes:
        key: unique in the page.
        title: its name.
        description: what it shows, in a sentence or two.
        svg: the drawing, safe to stand in a page.
        header: of the table.
        rows: of the table.
        wide: whether it needs the whole width.
    """

    key: str
    title: str
    description: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: bool = False


class Canvas:
    """An empty chart to draw on, and to take the drawing from."""

    def __init__(self, size: tuple[float, float]) -> None:
        figure = require("matplotlib.figure", extra=EXTRA, job=JOB)
        self._figure = figure.Figure(figsize=size, layout="constrained")
        self.axes: Any = self._figure.add_subplot()

    def legend_above(self, *, ncols: int) -> None:
        """Name what is drawn, above the chart, where it hides nothing."""
        handles, labels = self.axes.get_legend_handles_labels()
        self._figure.legend(
            handles, labels, loc="outside upper left", ncols=ncols, columnspacing=1.2,
            handletextpad=0.5, borderaxespad=0.1, fontsize=8.5,
        )  # fmt: skip

    def finished(
        self, key: str, title: str, description: str, tips: Mapping[str, Sequence[str]]
    ) -> Markup:
        """The drawing, for a page."""
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Type", "Format"))
        with warnings.catch_warnings():
            # A letter that its font lacks is measured badly, and shown by a font of the browser.
            warnings.filterwarnings("ignore", message="Glyph")
            self._figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        return svg.inlined(buffer.getvalue(), key, title, description, tips)


def finish(
    key: str,
    title: str,
    description: str,
    canvas: Canvas,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    wide: bool = False,
    tips: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """A chart that has been drawn, with its table.

    Args:
        key: unique in the page.
        title: its name.
        description: what it shows.
        canvas: what was drawn on.
        header: of the table.
        rows: of the table.
        wide: whether it needs the whole width.
        tips: what to say of each marker of a collection, by the gid of the collection.
    """
    drawing = canvas.finished(key, title, description, tips or {})
    cells = tuple(tuple(map(str, row)) for row in rows)
    return Figure(key, title, description, drawing, tuple(header), cells, wide)


@contextmanager
def in_style() -> Iterator[None]:
    """Draw as all charts of a report are drawn; settings of the user's matplotlib do not matter."""
    matplotlib = require("matplotlib", extra=EXTRA, job=JOB)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def tall(lines: int) -> tuple[float, float]:
    """The size of a chart with so many lines, one under the other."""
    return _WIDE, 0.9 + 0.21 * max(3, lines)


def check_available() -> None:
    """See that charts can be drawn, before anything long begins.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    require("matplotlib", extra=EXTRA, job=JOB)
