"""Templates in which no text can act: everything is escaped, and its direction isolated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from pgkd.apps.report.words import dollars, duration, moment, printable

if TYPE_CHECKING:
    from jinja2 import BaseLoader

    from pgkd.apps.report.content import Snippet


def environment(loader: BaseLoader | None = None) -> Environment:
    """An environment for pages; a variable that is not there is an error, not a blank."""
    made = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        loader=loader,
    )  # fmt: skip
    made.filters |= {
        "bdi": _isolated,
        "snippet": _snippet,
        "dollars": dollars,
        "duration": duration,
        "moment": moment,
        "plain": printable,
    }
    return made


def _isolated(text: Any) -> Markup:
    """An untrusted text, escaped; marks of direction in it turn nothing outside of it."""
    return Markup('<bdi dir="auto">{}</bdi>').format(printable(str(text)))


def _snippet(snippet: Snippet) -> Markup:
    """An untrusted text that may be cut, which is then said."""
    shown = _isolated(snippet.text)
    if not snippet.is_cut:
        return shown
    left_out = f"… ({snippet.length:,} characters)"
    return shown + Markup(' <span class="quiet">{}</span>').format(escape(left_out))
