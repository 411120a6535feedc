"""The page: one file that loads nothing, and in which no untrusted text can act."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from decimal import Decimal
from importlib.resources import files
from typing import Any

from jinja2 import BaseLoader, Environment, StrictUndefined
from markupsafe import Markup

from pgkd import __version__
from pgkd.apps.report.content import KEPT, Content, Snippet
from pgkd.apps.report.svg import Figure
from pgkd.evaluation import titled

UNKNOWN = "unknown"
# Control characters and lone surrogates, which neither HTML nor XML holds; tabs and lines may stay.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# Marks that change the direction of the text after them: in a chart nothing could isolate them.
_DIRECTION = re.compile(r"[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")


def render(content: Content, figures: Mapping[str, Figure]) -> str:
    """The page as HTML. The same content gives the same page, to the byte."""
    style, script = _read("page.css"), _read("page.js")
    return environment().from_string(_read("page.html.j2")).render(
        **{name: getattr(content, name) for name in content.__slots__},
        figures=figures,
        labels=sorted({text.label for text in content.texts.shown}),
        outcomes=[KEPT, *dict(content.texts.reasons)],
        text_rounds=sorted({text.round for text in content.texts.shown}),
        # No text can break out of these two: they are files of this package.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        # Nothing is loaded, and of scripts and styles the page's own alone run, known by hash.
        policy=f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'",
        pgkd_version=__version__,
    )  # fmt: skip


def _read(name: str) -> str:
    return (files("pgkd.apps.report") / "page" / name).read_text(encoding="utf-8")


def _hash(part: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}"


def environment(loader: BaseLoader | None = None) -> Environment:
    """Templates that escape everything; a variable that is missing is an error."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=loader,
    )  # fmt: skip
    made.filters |= {
        "bdi": _isolate,
        "snippet": _format_snippet,
        "dollars": dollars,
        "duration": duration,
        "moment": moment,
        "plain": printable,
        "titled": titled,
    }
    return made


def _isolate(text: Any) -> Markup:
    """An untrusted text, escaped; its direction affects nothing outside of it."""
    return Markup('<bdi dir="auto">{}</bdi>').format(printable(str(text)))


def _format_snippet(snippet: Snippet) -> Markup:
    """An untrusted text, with its length where it is cut."""
    shown = _isolate(snippet.text)
    if not snippet.is_cut:
        return shown
    length = Markup(' <span class="quiet">… ({:,} characters)</span>').format(snippet.length)
    return shown + length


def printable(text: str) -> str:
    """A text in which what cannot be shown is a replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text)


def one_line(text: str, limit: int) -> str:
    """A text for a chart: one line without marks of direction, cut to a number of characters."""
    line = " ".join(_DIRECTION.sub("", printable(text)).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def dollars(usd: str | float | None) -> str:
    """An amount of money, with more digits for a small one."""
    if usd is None:
        return UNKNOWN
    amount = Decimal(str(usd))
    return f"${amount:,.2f}" if amount >= 1 or not amount else f"${amount:,.4f}"


def duration(seconds: float | None) -> str:
    """A duration for people to read."""
    if seconds is None:
        return UNKNOWN
    hours = seconds / 3600
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 120:
        return f"{seconds:.3g} s"
    if hours < 2:
        return f"{seconds / 60:.0f} minutes"
    return f"{hours:.0f} hours" if hours < 48 else f"{hours / 24:,.0f} days"


def moment(iso: str) -> str:
    """A time of the journal, to the minute."""
    return f"{iso[:10]} {iso[11:16]} UTC" if len(iso) >= 16 else iso
