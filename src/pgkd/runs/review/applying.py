"""From decisions to training rows."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgkd.generation.rejection import Reason
from pgkd.tasks.classification.data.example import Example, Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pgkd.runs.review.journal import Decision
    from pgkd.runs.folder import RunFolder

_DUPLICATES = (Reason.REAL_DUPLICATE, Reason.DUPLICATE)
_NEAR = 3.0  # percent above the bound: two texts that are a little less alike would both be kept
_LIKENESS = re.compile(r"(\d+)% like")


def applied(rows: Iterable[Example], decisions: Mapping[str, Decision]) -> list[Example]:
    """Rows after decisions: without the rejected ones, the others as people left them.

    A person who accepts, relabels or edits a synthetic text has verified it.
    """
    decided = (as_decided(row, decisions.get(row.id)) for row in rows)
    return [row for row in decided if row is not None]


def as_decided(row: Example, decision: Decision | None) -> Example | None:
    """A row after the decision on it; None where it was rejected."""
    if decision is None:
        return row
    if decision.kind == "reject":
        return None
    return replace(
        row, label=decision.label or row.label, text=decision.text or row.text, human_verified=True
    )


def dropped_texts(run: RunFolder) -> Iterator[Example]:
    """Texts that were dropped because they are a little too much like another one.

    A person may take one in all the same. Texts that are like a validation row are not among them:
    nobody may train on those. Their ids are ``dropped:17`` for line 17 of ``dropped.jsonl``, which
    a resumed run writes anew, line by line the same.
    """
    bound = _bound(run)
    shown = _shown(run)
    for number, line in enumerate(run.read_lines("dropped.jsonl"), start=1):
        likeness = _LIKENESS.match(str(line.get("detail", "")))
        whole = isinstance(line.get("text"), str) and isinstance(line.get("label"), str)
        duplicate = whole and line["reason"] in _DUPLICATES and likeness is not None
        if duplicate and likeness and float(likeness[1]) <= bound + _NEAR:
            round_, parents = shown.get(line["request"], (0, ()))
            origin = Origin(round_, line["request"], parents)
            yield Example(line["text"], line["label"], f"dropped:{number}", origin)


def _bound(run: RunFolder) -> float:
    """The likeness from which on texts counted as the same, in percent."""
    curation: dict[str, Any] = run.settings().get("curation") or {}
    return 100 * float(curation.get("near_duplicate", 0.9))


def _shown(run: RunFolder) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Round and shown rows of every request."""
    return {
        ask["id"]: (line["round"], tuple(ask.get("shown", ())))
        for line in run.events("round started")
        for ask in line["asks"]
    }
