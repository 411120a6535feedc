"""A chart of matplotlib as a part of a page: its text is text, its colours are the page's.

Nothing of it needs a style of its own, so that the page can forbid all but its one style sheet.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from markupsafe import Markup

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

INK, MUTED, GRID = "#000001", "#000002", "#000003"
PAPER, BEFORE, AFTER, WORSE, OTHER = "#000004", "#000005", "#000006", "#000007", "#000008"
_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    GRID: "var(--grid)",
    PAPER: "var(--paper)",
    BEFORE: "var(--before)",
    AFTER: "var(--after)",
    WORSE: "var(--worse)",
    OTHER: "var(--other)",
    "#000000": "var(--ink)",
}
"""Colours that a chart is drawn with, and what the page makes of them in light, dark and print."""

_XLINK = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d{3,}")
_UNWANTED = ("font-family", "stroke-miterlimit")
_DROPPED = ("metadata", "style")


def inlined(
    drawn: str,
    key: str,
    title: str,
    description: str,
    tips: Mapping[str, Sequence[str]],
) -> Markup:
    """Make a drawing fit to stand in a page.

    Args:
        drawn: what matplotlib wrote, with text as text.
        key: unique in the page; its ids begin with it.
        title: name of the chart, for those who cannot see it.
        description: what it shows, for them.
        tips: what to say of each marker of a collection, by the gid of the collection.
    """
    # It was written by matplotlib in this process; no markup of anybody else is in it.
    root = ElementTree.fromstring(drawn)  # noqa: S314
    for element in root.iter():
        _plain(element)
    _without(root, _DROPPED)
    for gid, texts in tips.items():
        _tell(root, gid, texts)
    _name_ids(root, key)
    _describe(root, key, title, description)
    return Markup(ElementTree.tostring(root, encoding="unicode"))  # noqa: S704  (serialised XML)


def _plain(element: ElementTree.Element) -> None:
    """HTML's names, attributes in place of styles, numbers to two digits."""
    element.tag = element.tag.rpartition("}")[2]
    attributes = {
        "href" if name == _XLINK else name.rpartition("}")[2]: value
        for name, value in element.attrib.items()
    }
    attributes |= dict(_declarations(attributes.pop("style", "")))
    element.attrib.clear()
    for name, value in attributes.items():
        colour = _VARIABLES.get(value, value)
        element.set(name, colour if name in ("id", "href") else _NUMBER.sub(_rounded, colour))
    element.tail = None
    if element.tag not in ("text", "tspan"):
        element.text = None


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for declaration in style.split(";"):
        name, _, value = declaration.partition(":")
        if value and name.strip() not in _UNWANTED:
            yield name.strip(), value.strip()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}"


def _without(element: ElementTree.Element, tags: Sequence[str]) -> None:
    for child in list(element):
        if child.tag in tags:
            element.remove(child)
        else:
            _without(child, tags)


def _tell(root: ElementTree.Element, gid: str, texts: Sequence[str]) -> None:
    """Give every marker of a collection the text that a pointer over it shows."""
    group = root.find(f".//g[@id='{gid}']")
    shapes = {id(shape) for defs in root.iter("defs") for shape in defs.iter()}
    markers = [
        element
        for element in (group.iter() if group is not None else ())
        if element.tag in ("use", "path") and id(element) not in shapes  # few are drawn as paths
    ]
    for marker, text in zip(markers, texts, strict=True):
        ElementTree.SubElement(marker, "title").text = text


def _name_ids(root: ElementTree.Element, key: str) -> None:
    """Ids that are unique in the page, for what is referred to; no others."""
    found = {
        name
        for element in root.iter()
        for value in element.attrib.values()
        for name in re.findall(r"^#(.+)$|url\(#(.+?)\)", value)
    }
    used = sorted({name for pair in found for name in pair if name})
    order = [e.attrib["id"] for e in root.iter() if e.attrib.get("id") in used]
    names = {old: f"{key}-{i}" for i, old in enumerate(dict.fromkeys(order))}
    for element in root.iter():
        if "id" in element.attrib and element.attrib["id"] not in names:
            del element.attrib["id"]
        for attribute, value in element.attrib.items():
            if attribute == "id":
                element.set("id", names[value])
            elif value.startswith("#") and value[1:] in names:
                element.set(attribute, f"#{names[value[1:]]}")
            elif value.startswith("url(#"):
                element.set(attribute, f"url(#{names[value[5:-1]]})")


def _describe(root: ElementTree.Element, key: str, title: str, description: str) -> None:
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{key}-title {key}-text")
    for i, (tag, suffix, text) in enumerate(
        (("title", "title", title), ("desc", "text", description))
    ):
        element = ElementTree.Element(tag, {"id": f"{key}-{suffix}"})
        element.text = text
        root.insert(i, element)
