"""The page: one file that asks nobody for anything, and in which no text can act."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from pgkd import __version__
from pgkd.apps.report.judged import before_of
from pgkd.apps.report.markup import environment
from pgkd.apps.report.samples import KEPT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgkd.apps.report.content import Content
    from pgkd.apps.report.drawing import Figure

_MEASURES = (
    ("accuracy", "accuracy"),
    ("macro_f1", "macro F1"),
    ("weighted_f1", "weighted F1"),
    ("log_loss", "log loss"),
    ("ece", "calibration error"),
)
_ROLES = {
    "before": "before the teacher (round 0)",
    "after": "after: the student that was kept",
    "last": "the student of the last round",
    "reviewed": "trained again with what people decided (pgkd retrain)",
}


def render(content: Content, figures: Mapping[str, Figure]) -> str:
    """The page as HTML. The same content gives the same page, to the byte."""
    style, script = _part("page.css"), _part("page.js")
    labels = sorted({text.label for text in content.texts.shown})
    outcomes = [KEPT, *(reason for reason, _ in content.texts.reasons)]
    return environment().from_string(_part("page.html.j2")).render(
        **{name: getattr(content, name) for name in content.__slots__},
        figures=figures,
        before=before_of(content.bases[0]) if content.bases else None,
        measures=_MEASURES,
        roles=_ROLES,
        labels=labels,
        outcomes=outcomes,
        label_number={label: i for i, label in enumerate(labels)},
        outcome_number={outcome: i for i, outcome in enumerate(outcomes)},
        text_rounds=sorted({text.round for text in content.texts.shown}),
        # No text can break out of these two: they are files of this package.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=_policy(style, script),
        pgkd_version=__version__,
    )  # fmt: skip


def _part(name: str) -> str:
    return (files("pgkd.apps.report") / "page" / name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing from anywhere; of scripts and styles the page's own alone, known by their hashes."""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(part: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}"
