"""Charts of matplotlib as parts of a page: their text is text, their colours are the page's.

A chart carries no style of its own, so that the page can forbid all styles but its one sheet.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from pgkd.extras import require

EXTRA, JOB = "report", "The report"
SMALL = (4.5, 2.8)  # inches; two of them stand side by side on a wide screen

INK, MUTED, GRID = "#000001", "#000002", "#000003"
PAPER, BEFORE, AFTER, WORSE, OTHER = "#000004", "#000005", "#000006", "#000007", "#000008"
_VARIABLES = {
    "#000000": "var(--ink)",
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    BEFORE: "var(--before)",
    AFTER: "var(--after)",
    WORSE: "var(--worse)",
    OTHER: "var(--other)",
}
"""Colours that a chart is drawn with, and what the page makes of them in light, dark and print."""

_STYLE: dict[str, Any] = {
    "svg.fonttype": "none",  # text stays text: to be read, found and translated
    "text.parse_math": False,  # a class may be named $x$
    "font.family": ["DejaVu Sans"],  # comes with matplotlib: sizes are the same everywhere
    "font.size": 9,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "hatch.linewidth": 1.0,
    "hatch.color": PAPER,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}
_XLINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_REFERENCE = re.compile(r"(?<=^#).+$|(?<=url\(#).+?(?=\))")


@dataclass(frozen=True, slots=True)
class Figure:
    """A chart, and the table of the numbers in it.

    Attributes:
        key: unique in the page.
        svg: the drawing, safe to stand in a page.
        wide: whether it needs the whole width.
    """

    key: str
    title: str
    description: str
    svg: Markup
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    wide: bool = False


def check_available() -> None:
    """See that charts can be drawn, before anything long begins.

    Raises:
        MissingExtraError: the extra ``report`` is not installed.
    """
    require("matplotlib", extra=EXTRA, job=JOB)


@contextmanager
def report_style() -> Iterator[None]:
    """Draw in the style of the report, whatever the user's matplotlib is set to."""
    matplotlib = require("matplotlib", extra=EXTRA, job=JOB)
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        yield


def tall(lines: int) -> tuple[float, float]:
    """The size of a chart with so many lines, one under the other."""
    return SMALL[0], 0.9 + 0.21 * max(3, lines)


class Canvas:
    """An empty chart: draw on its `axes`, then take the figure."""

    def __init__(self, size: tuple[float, float] = SMALL) -> None:
        figure = require("matplotlib.figure", extra=EXTRA, job=JOB)
        self._settings = require("matplotlib", extra=EXTRA, job=JOB).rcParams
        self._figure = figure.Figure(figsize=size, layout="constrained")
        self.axes: Any = self._figure.add_subplot()

    def legend(self, *, ncols: int) -> None:
        """Put a legend above the chart, where it hides nothing."""
        handles, labels = self.axes.get_legend_handles_labels()
        self._figure.legend(
            handles, labels, loc="outside upper left", ncols=ncols, columnspacing=1.2,
            handletextpad=0.5, borderaxespad=0.1, fontsize=8.5,
        )  # fmt: skip

    def figure(
        self,
        key: str,
        title: str,
        description: str,
        header: Sequence[str],
        rows: Sequence[Sequence[object]],
        *,
        wide: bool = False,
        tips: Mapping[str, Sequence[str]] | None = None,
    ) -> Figure:
        """What has been drawn, with its table; `tips` are tooltips of markers, by their gid."""
        buffer = io.StringIO()
        nothing = dict.fromkeys(("Date", "Creator", "Type", "Format"))
        with warnings.catch_warnings():
            # A letter that the font lacks is measured badly, and shown in a font of the browser.
            warnings.filterwarnings("ignore", message="Glyph")
            self._settings["svg.hashsalt"] = key  # ids are unique in the page
            self._figure.savefig(buffer, format="svg", metadata=nothing, transparent=True)
        svg = _inline(buffer.getvalue(), key, title, description, tips or {})
        cells = tuple(tuple(map(str, row)) for row in rows)
        return Figure(key, title, description, svg, tuple(header), cells, wide)


def _inline(
    drawn: str, key: str, title: str, description: str, tips: Mapping[str, Sequence[str]]
) -> Markup:
    """Make a drawing fit to stand in a page."""
    # matplotlib wrote it in this process; it holds no markup of anybody else.
    root = ElementTree.fromstring(drawn)  # noqa: S314
    for element in root.iter():
        _simplify(element)
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    for gid, texts in tips.items():
        _add_tips(root, gid, texts)
    values = [value for element in root.iter() for value in element.attrib.values()]
    used = {name for value in values for name in _REFERENCE.findall(value)}
    for element in root.iter():
        if element.get("id") not in used:  # such as axes_1, which every chart has
            element.attrib.pop("id", None)
    _describe(root, key, title, description)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704  (serialised XML)


def _simplify(element: ElementTree.Element) -> None:
    """HTML's names, attributes in place of styles, numbers with two digits."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {
        "href" if name == _XLINK else name.rpartition("}")[2]: value
        for name, value in element.attrib.items()
    }
    for declaration in attributes.pop("style", "").split(";"):
        name, _, value = map(str.strip, declaration.partition(":"))
        if value and name not in ("font-family", "stroke-miterlimit"):
            attributes[name] = value
    element.attrib.clear()
    for name, value in attributes.items():
        colour = _VARIABLES.get(value, value)
        rounded = _NUMBER.sub(lambda number: f"{float(number[0]):.2f}", colour)
        element.set(name, colour if name in ("id", "href") else rounded)
    element.tail = None
    if element.tag not in ("text", "tspan"):
        element.text = None


def _add_tips(root: ElementTree.Element, gid: str, texts: Sequence[str]) -> None:
    """Give every marker of a collection its tooltip."""
    group = root.find(f".//g[@id='{gid}']")
    shapes = {id(shape) for defs in root.iter("defs") for shape in defs.iter()}
    markers = [
        element
        for element in (group.iter() if group is not None else ())
        if element.tag in ("use", "path") and id(element) not in shapes  # few are drawn as paths
    ]
    for marker, text in zip(markers, texts, strict=True):
        ElementTree.SubElement(marker, "title").text = text


def _describe(root: ElementTree.Element, key: str, title: str, description: str) -> None:
    """Name the chart, and say what it shows, for those who cannot see it."""
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-text")
    texts = (("title", f"{key}-title", title), ("desc", f"{key}-text", description))
    for i, (tag, id_, text) in enumerate(texts):
        element = ElementTree.Element(tag, {"id": id_})
        element.text = text
        root.insert(i, element)
