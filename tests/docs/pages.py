"""A Markdown page: its blocks of code, and the comments that say how each is tested.

What a page may say, in an HTML comment of its own before a block:

``<!-- not run: REASON -->``       the next block is checked, not run
``<!-- needs: PROGRAM -->``        the same, on a machine that lacks a program
``<!-- file: NAME -->``            the next block is written to a file
``<!-- fails -->``                 the next block has to end with an error
``<!-- output -->``                each line of the next block was printed by the one before it
``<!-- where: A = B; C = D -->``   from here on A stands for B, and so on
``<!-- hidden sh ... -->``         commands that a reader does not see; ``hidden python`` likewise
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from markdown_it import MarkdownIt

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from markdown_it.token import Token

ROOT = Path(__file__).parents[2]
SHELL = "sh"
_ALIASES = {"bash": SHELL, "console": SHELL, "shell": SHELL, "py": "python", "yml": "yaml"}
_COMMENT = re.compile(r"<!--\s*(.*?)\s*-->\s*", re.DOTALL)
_NOTE = re.compile(r"(not run|needs|file|fails|output|where)\b:?\s*(.*)", re.DOTALL)
_HIDDEN = re.compile(r"hidden (\w+)\n(.*)", re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A piece of code on a page.

    Attributes:
        language: of the code; ``sh`` for commands.
        code: the text, as the page shows it.
        line: number of its first line in the file.
        notes: what the comments before it say, by their first word.
        where: what stands for what, of all comments so far.
        shown: whether a reader sees it.
    """

    language: str
    code: str
    line: int
    notes: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, str] = field(default_factory=dict)
    shown: bool = True

    @property
    def filled(self) -> str:
        """The code with every placeholder filled."""
        code = self.code
        for name, value in self.where.items():
            whole = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
            code = re.sub(whole, value.replace("\\", r"\\"), code)
        return code


@dataclass(frozen=True)
class Page:
    """A Markdown file, read.

    Attributes:
        path: the file.
        blocks: its code, in order, hidden blocks among it.
        spans: code within sentences, with the number of its paragraph's line.
        links: targets of links and images, with the number of their paragraph's line.
        anchors: of its headings, as a forge and the site make them.
    """

    path: Path
    blocks: Sequence[Block]
    spans: Sequence[tuple[str, int]]
    links: Sequence[tuple[str, int]]
    anchors: frozenset[str]


def read_page(path: Path) -> Page:
    """Parse a page."""
    tokens = MarkdownIt("commonmark").enable("table").parse(path.read_text(encoding="utf-8"))
    inline = [(token, _line(token)) for token in tokens if token.type == "inline"]
    return Page(
        path,
        tuple(_blocks(tokens)),
        [(c.content, line) for t, line in inline for c in _children(t) if c.type == "code_inline"],
        [(target, line) for token, line in inline for target in _targets(token)],
        frozenset(_anchors(tokens)),
    )


def _blocks(tokens: Sequence[Token]) -> Iterator[Block]:
    notes: dict[str, str] = {}
    where: dict[str, str] = {}
    for token in tokens:
        if token.type == "html_block":
            for comment in _COMMENT.findall(token.content):
                if hidden := _HIDDEN.fullmatch(comment):
                    yield Block(
                        hidden[1], hidden[2], _line(token) + 1, {}, dict(where), shown=False
                    )
                elif note := _NOTE.fullmatch(comment):
                    if note[1] == "where":
                        where |= _pairs(note[2])
                    else:
                        notes[note[1]] = note[2]
        elif token.type in ("fence", "code_block"):
            fenced = token.type == "fence"
            named = token.info.split(" ")[0] if fenced else SHELL
            first = _line(token) + (1 if fenced else 0)
            yield Block(_ALIASES.get(named, named), token.content, first, notes, dict(where))
            notes = {}


def _pairs(text: str) -> dict[str, str]:
    pairs = (pair.partition(" = ") for pair in text.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _anchors(tokens: Sequence[Token]) -> Iterator[str]:
    """Those of headings, by GitHub's rule, which the site follows."""
    seen: dict[str, int] = {}
    for before, token in pairwise(tokens):
        if before.type == "heading_open":
            shown = "".join(
                c.content for c in _children(token) if c.type in ("text", "code_inline")
            )
            anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
            number = seen[anchor] = seen.get(anchor, -1) + 1
            yield f"{anchor}-{number}" if number else anchor


def _targets(token: Token) -> Iterator[str]:
    for child in _children(token):
        if child.type in ("link_open", "image"):
            yield str(child.attrGet("href") or child.attrGet("src"))


def _children(token: Token) -> Sequence[Token]:
    return token.children or ()


def _line(token: Token) -> int:
    return token.map[0] + 1 if token.map else 1
