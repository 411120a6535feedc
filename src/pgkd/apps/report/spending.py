"""Where the budget went, and how long the teacher takes for a text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.report.content import Money, RoundLine, Speed
from pgkd.usage.accounted import FROM_CACHE
from pgkd.usage.prices import OwnMachine
from pgkd.usage.sums import by_round_and_purpose, known_usd, summed

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal

    from pgkd.apps.report.records import Records
    from pgkd.usage.ledger import Call

_LABELLING = "label"  # of texts of the pool in a round; before all rounds, of `pgkd evaluate`
_OF_A_ROUND = ("write", "repair", _LABELLING)
_MILLION = 1_000_000


def money_of(records: Records) -> Money:
    """The calls of a run by round and purpose. What nobody knows the price of stays unknown."""
    if records.calls is None:
        return Money(recorded=False)
    calls = records.calls
    parts = by_round_and_purpose(calls)
    total = summed(calls)
    sources = tuple(sorted({call.price_source for call in calls if call.price_source}))
    return Money(
        recorded=True,
        parts=tuple({**part, "known_usd": _words(known_usd(part))} for part in parts),
        total=total,
        usd=_words(known_usd(total)),
        free=_is_free(calls),
        sources=sources,
    )


def round_lines(records: Records) -> tuple[RoundLine, ...]:
    """Every round that has ended, with what it cost."""
    calls = [c for c in records.calls or () if c.purpose != _LABELLING or c.round]
    return tuple(_round_line(line, calls, recorded=records.calls is not None)
                 for line in records.rounds)  # fmt: skip


def _round_line(line: dict[str, Any], calls: Sequence[Call], *, recorded: bool) -> RoundLine:
    number, figures = line["round"], line["validation"]
    own = [call for call in calls if call.round == number and call.purpose in _OF_A_ROUND]
    until = [call for call in calls if call.round <= number]
    return RoundLine(
        number=number,
        asked=line["asked"],
        kept=line["kept"],
        written=line["written"],
        weight=line.get("written_weight"),
        keep=line["keep"],
        accuracy=figures["accuracy"],
        macro_f1=figures["macro_f1"],
        log_loss=figures["log_loss"],
        loss_change=line.get("loss_change", 0.0),
        loss_error=line.get("loss_change_standard_error"),
        tokens=_tokens(own),
        usd=_whole(own) if recorded else None,
        total_tokens=_tokens(until),
        total_usd=_whole(until) if recorded else None,
    )


def speed_of(records: Records) -> Speed:
    """What was measured: the student by `pgkd evaluate`, the teacher by its calls that label."""
    student = (records.evaluation or {}).get("timing")
    calls = [
        call
        for call in records.calls or ()
        if call.purpose == _LABELLING and call.reply is not None and call.price_source != FROM_CACHE
    ]
    seconds = [call.reply.seconds for call in calls if call.reply and call.reply.seconds > 0]
    costs = [call.cost for call in calls]
    known = [cost for cost in costs if cost is not None]
    return Speed(
        student=student,
        teacher_calls=len(seconds),
        teacher_median=float(np.median(seconds)) if seconds else None,
        teacher_p95=float(np.percentile(seconds, 95)) if seconds else None,
        teacher_usd=float(sum(known) / len(known) * _MILLION) if known == costs != [] else None,
        teacher_free=_is_free(calls),
    )


def _is_free(calls: Sequence[Call]) -> bool:
    """Whether nobody bills for these calls."""
    return {call.price_source for call in calls if call.reply} == {OwnMachine().source}


def _tokens(calls: Sequence[Call]) -> int:
    total = summed(calls)
    return int(total["input_tokens"] + total["output_tokens"])


def _whole(calls: Sequence[Call]) -> str | None:
    """The dollars of some calls; None where the price of any of them is not known."""
    total = summed(calls)
    return None if total["unpriced"] else str(total["usd"])


def _words(usd: Decimal | None) -> str | None:
    return None if usd is None else str(usd)
