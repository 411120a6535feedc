"""What came of a run, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.apps.report.content import Basis, Verdict
from pgkd.apps.report.judged import BEFORE, before_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.apps.report.content import Money, Texts, Tone
    from pgkd.apps.report.records import Records

_OPENINGS: dict[Tone, str] = {
    "better": "The student got better with its teacher",
    "worse": "The student got worse",
    "unclear": "These rows cannot tell whether the student got better",
}
_MEASURES = {"accuracy": "Accuracy", "macro_f1": "macro F1"}


def verdict_of(records: Records, bases: tuple[Basis, ...], money: Money, texts: Texts) -> Verdict:
    """One plain sentence, and what a careful reader should know besides."""
    if records.best is None:
        sentence = "This run has not finished its first student: there is nothing to judge yet."
        return Verdict("none", sentence, tuple(_ending(records)))
    if not bases:
        sentence = "There are no rows to judge this run by."
        return Verdict("none", sentence, tuple(_ending(records)))
    basis = bases[0]
    tone, sentence = _judged(records, basis)
    more = (
        *_figures(basis),
        *_effort(money, texts),
        *_caution(basis),
        *_ending(records),
    )
    return Verdict(tone, sentence, more)


def _judged(records: Records, basis: Basis) -> tuple[Tone, str]:
    before, after = before_of(basis), basis.students["after"]
    now = f"it is right on {after['accuracy']:.0%} of {_rows(basis)}"
    if len(records.rounds) == 1:
        why = "no round with texts has ended" if records.config.get("rounds") else "none was asked"
        return "none", f"This is the student without a teacher, for {why}: {now}."
    then = f"{now}, where round 0 gave {before['accuracy']:.0%}"
    if records.best == 0:
        kept = "The loss rose with the teacher's texts, and the student without them was kept"
        return "unclear", f"{kept}: {then}."
    changes = basis.changes.get(BEFORE)
    if not changes:  # nobody can tell how much of it is chance
        return "unclear", f"The student of round {records.best} was kept: {then}."
    return tone_of(changes), f"{_OPENINGS[tone_of(changes)]}: {then}."


def tone_of(changes: dict[str, dict[str, Any]]) -> Tone:
    """Which way accuracy and macro F1 went, where an interval leaves zero out."""
    intervals = [change["interval"] for change in changes.values()]
    gained = any(low > 0 for low, _ in intervals)
    lost = any(high < 0 for _, high in intervals)
    if gained == lost:
        return "unclear"
    return "better" if gained else "worse"


def _rows(basis: Basis) -> str:
    if basis.rows == "test":
        return f"{basis.n:,} test rows"
    if basis.rows == "validation":
        return f"{basis.n:,} validation rows"
    return f"{basis.n:,} labelled rows, cross-validated"


def _figures(basis: Basis) -> Iterator[str]:
    changes = basis.changes.get(BEFORE)
    if changes:
        parts = [f"{_MEASURES[name]} {_change(changes[name])}" for name in _MEASURES]
        over = f" over the rows and {basis.trainings} trainings" if basis.trainings > 1 else ""
        yield f"{'; '.join(parts)}: after minus before, with 95% intervals{over}."


def _change(change: dict[str, Any]) -> str:
    low, high = change["interval"]
    return f"{change['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"


def _effort(money: Money, texts: Texts) -> Iterator[str]:
    if not texts.kept:
        return
    wrote = f"The teacher wrote {texts.kept:,} texts that were kept"
    if not money.recorded:
        yield f"{wrote}; the run has no record of its calls."
    elif money.free:
        yield f"{wrote}, on the user's own machine, where nobody bills."
    elif money.usd is None:
        yield f"{wrote}, at a price that is not known."
    else:
        least = "at least " if money.total["unpriced"] else ""
        yield f"{wrote}; all calls together cost {least}${float(money.usd):.4f}."


def _caution(basis: Basis) -> Iterator[str]:
    if basis.rows != "test":
        rows = "validation rows" if basis.rows == "validation" else "cross-validated figures"
        yield (
            f"The {rows} chose the round that was kept, so they flatter it a little: "
            "pgkd evaluate RUN --data FILE judges on rows that the run has not seen."
        )
    elif basis.left_out is None:
        yield (
            "Whether the run was trained on some of the test rows was not looked at when it was "
            "judged: pgkd evaluate RUN --data FILE does, and leaves them out."
        )
    elif basis.left_out:
        own = f"{basis.left_out:,} other rows of {basis.source}"
        yield f"{own} are the run's own and judge nothing."


def _ending(records: Records) -> Iterator[str]:
    ended = records.event("run ended")
    if not ended:
        yield "The run has not ended: it is going on, or was cut off, and can be resumed."
    elif ended["stopped_by"] in ("interrupted", "teacher failed", "budget"):
        detail = f": {ended['detail']}" if ended.get("detail") else ""
        early = "a person" if detail and ended["stopped_by"] == "interrupted" else ""
        yield f"The run ended early, by {early or _EARLY[ended['stopped_by']]}{detail}"


_EARLY = {
    "interrupted": "Ctrl-C.",
    "teacher failed": "a failing teacher",
    "budget": "its budget",
}
