"""Links of the docs lead somewhere: to a file that is there, and to a heading that is in it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.docs.pages import ROOT, Page, read_page

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DOCS = ROOT / "docs"
FILES = sorted(
    path
    for folder in (".", "docs", "examples", "benchmarks")
    for path in (ROOT / folder).glob("*.md" if folder == "." else "**/*.md")
)
read = cache(read_page)


def broken(path: Path) -> Iterator[str]:
    """What is wrong with the links of a page."""
    for target, line in read(path).links:
        parts = urlsplit(target)
        if parts.scheme in ("http", "https"):
            continue
        assert not parts.scheme, f"line {line}: {target}"
        aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
        if not aim.exists():
            yield f"line {line}: there is no {parts.path}"
        elif parts.fragment and parts.fragment not in anchors(aim):
            yield f"line {line}: {aim.name} has no heading #{parts.fragment}"
        elif path.is_relative_to(DOCS) and not aim.is_relative_to(DOCS):
            yield f"line {line}: {parts.path} is no part of the site"


def anchors(path: Path) -> frozenset[str]:
    page: Page = read(path)
    return page.anchors


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    assert list(broken(path)) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    (tmp_path / "other.md").write_text("# A heading: `code`, and so on\n", encoding="utf-8")
    page = tmp_path / "page.md"
    page.write_text(
        "[good](other.md#a-heading-code-and-so-on), [gone](gone.md), [no heading](other.md#no),\n"
        "[elsewhere](https://example.org/) and ![a picture](gone.png)\n",
        encoding="utf-8",
    )
    assert list(broken(page)) == [
        "line 1: there is no gone.md",
        "line 1: other.md has no heading #no",
        "line 1: there is no gone.png",
    ]


def listed(nav: object) -> Iterator[str]:
    """The files of a navigation, however deep."""
    match nav:
        case str():
            yield nav
        case list():
            for part in nav:
                yield from listed(part)
        case dict():
            for part in nav.values():
                yield from listed(part)


class Loader(yaml.SafeLoader):
    """Reads the settings of the site, and passes over the names of Python functions in them."""


Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)


def test_every_page_is_in_the_navigation_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    settings = yaml.load(text, Loader)
    pages = sorted(str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md"))
    assert sorted(listed(settings["nav"])) == pages
