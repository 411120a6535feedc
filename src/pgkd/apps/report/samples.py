"""What the teacher was told and what it wrote: some of it, to read."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar

from pgkd.apps.report.content import Prompt, Snippet, Suspect, Text, Texts
from pgkd.usage.ledger import round_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.apps.report.records import Records
    from pgkd.usage.ledger import Call

KEPT = "kept"
SUSPECTS = 100
_KEPT, _DROPPED = 500, 300  # texts that are shown
_TEXT, _PROMPT = 400, 6000  # characters of a text, of a message
_WRITE_PROMPTS = 4

_Item = TypeVar("_Item")


def texts_of(records: Records) -> Texts:
    """Counts of all texts, and some of them, spread over the run and over the reasons."""
    kept, dropped = records.kept, records.dropped
    reasons = Counter(str(line["reason"]) for line in dropped)
    each = _DROPPED // max(1, len(reasons))
    shown_dropped = [
        line
        for reason in reasons
        for line in spread([line for line in dropped if line["reason"] == reason], each)
    ]
    shown = [*map(_kept, spread(kept, _KEPT)), *map(_dropped, shown_dropped)]
    return Texts(
        kept=len(kept),
        dropped=len(dropped),
        reasons=tuple(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
        shown=tuple(sorted(shown, key=lambda text: text.round)),
    )


def spread(items: Sequence[_Item], n: int) -> list[_Item]:
    """At most `n` items, evenly spaced, in order."""
    if len(items) <= n:
        return list(items)
    return [items[i * len(items) // n] for i in range(n)]


def _kept(line: dict[str, Any]) -> Text:
    origin = line.get("origin") or {}
    text = Snippet.of(line["text"], _TEXT)
    return Text(int(origin.get("round", 0)), str(line["label"]), KEPT, text, Snippet("", 0))


def _dropped(line: dict[str, Any]) -> Text:
    return Text(
        round=round_of(str(line.get("request", ""))),
        label=str(line.get("label") or ""),
        outcome=str(line["reason"]),
        text=Snippet.of(line.get("text") or line.get("raw"), _TEXT),
        detail=Snippet.of(line.get("detail"), _TEXT),
    )


def prompts_of(records: Records) -> tuple[Prompt, ...]:
    """One call of every purpose; of those that ask for texts, several from all over the run."""
    by_purpose: dict[str, list[Call]] = {}
    for call in records.calls or ():
        by_purpose.setdefault(call.purpose, []).append(call)
    calls = [
        call
        for purpose, group in by_purpose.items()
        for call in (_firsts(group) if purpose == "write" else group[:1])
    ]
    reasons = {ask["id"]: tuple(ask.get("reasons", ())) for ask in records.asks()}
    return tuple(
        _prompt(call, reasons.get(call.id, ())) for call in sorted(calls, key=lambda call: call.n)
    )


def _firsts(calls: Sequence[Call]) -> list[Call]:
    """The first call of some rounds."""
    firsts: dict[int, Call] = {}
    for call in calls:
        firsts.setdefault(call.round, call)
    return spread(list(firsts.values()), _WRITE_PROMPTS)


def _prompt(call: Call, reasons: tuple[str, ...]) -> Prompt:
    failed = f"{call.error_kind}: {call.error}" if call.error_kind else ""
    return Prompt(
        id=call.id,
        purpose=call.purpose,
        round=call.round,
        reasons=reasons,
        messages=tuple(
            (str(message["role"]), Snippet.of(message["content"], _PROMPT))
            for message in call.request["messages"]
        ),
        reply=Snippet.of(call.reply.text if call.reply else failed, _PROMPT),
        state=call.state,
    )


def suspects_of(records: Records) -> tuple[Suspect, ...]:
    """The first rows whose label is doubtful."""
    return tuple(
        Suspect(
            id=str(line["id"]),
            label=str(line["label"]),
            suggested=str(line.get("suggested", "")),
            by=str(line.get("by", "")),
            round=int(line.get("round") or round_of(str(line.get("request", "")))),
            text=Snippet.of(line["text"], _TEXT),
        )
        for line in records.suspects[:SUSPECTS]
    )
