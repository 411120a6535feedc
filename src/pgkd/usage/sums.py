"""Sums of calls, for people to read."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pgkd.usage.accounted import FROM_CACHE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgkd.usage.ledger import Call

_COUNTS = (
    "calls", "retries", "failed", "lost", "cached",
    "input_tokens", "cached_tokens", "output_tokens", "unpriced",
)  # fmt: skip


def by_round_and_purpose(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The sums of calls by what they were for, round by round."""
    parts: dict[tuple[int, str], list[Call]] = {}
    for call in calls:
        parts.setdefault((call.round, call.purpose), []).append(call)
    return [
        {"round": number, "purpose": purpose, **summed(part)}
        for (number, purpose), part in sorted(parts.items())
    ]


def known_usd(sums: dict[str, Any]) -> Decimal | None:
    """The dollars of `summed`; None where calls were answered and no price of them is known."""
    return None if sums["unpriced"] == answered(sums) > 0 else Decimal(sums["usd"])


def answered(sums: dict[str, Any]) -> int:
    """How many calls of `summed` a teacher has answered, those from the cache left out."""
    return int(sums["calls"] - sums["failed"] - sums["lost"] - sums["cached"])


def summed(calls: Iterable[Call]) -> dict[str, Any]:
    """Calls, tokens and dollars of some calls; dollars as a decimal in words, for JSON."""
    counts = dict.fromkeys(_COUNTS, 0)
    usd = Decimal(0)
    for call in calls:
        counts["calls"] += 1
        counts["retries"] += call.retries > 0
        counts["failed"] += call.state == "failed"
        counts["lost"] += call.state in ("lost", "in flight")
        cached = call.price_source == FROM_CACHE
        counts["cached"] += cached
        if call.reply is None or cached:
            continue
        counts["input_tokens"] += call.reply.input_tokens or 0
        counts["cached_tokens"] += call.reply.cached_tokens or 0
        counts["output_tokens"] += call.reply.output_tokens or 0
        counts["unpriced"] += call.cost is None
        usd += call.cost or Decimal(0)
    return {**counts, "usd": str(usd)}
