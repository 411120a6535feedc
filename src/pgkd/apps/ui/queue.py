"""The texts of a run that a person may look at, those that need it most first."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pgkd.runs.review import as_decided, dropped_texts
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.usage.ledger import round_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pgkd.apps.report.gather import Records
    from pgkd.apps.ui.reading import Opinion
    from pgkd.runs.folder import RunFolder
    from pgkd.runs.review import Decision

Decided = Literal["open", "decided", "all"]

_UNSURE = 0.5  # probability of the likeliest class: below it, all others together are likelier


class Why(StrEnum):
    """Why a text is worth a look."""

    DISAGREES = "student disagrees"
    SUSPECT = "label suspected"
    DOUBTED = "teacher doubts"
    UNSURE = "student unsure"
    NEAR_BOUND = "dropped, near the bound"
    WRITTEN = "synthetic"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that can be reviewed.

    Attributes:
        row: the text as the run has it.
        round: in which it was written, or doubted.
        reasons: why to look at it, as far as the files tell.
        detail: more about that.
    """

    row: LabelledText
    round: int
    reasons: tuple[Why, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A text in the queue.

    Attributes:
        candidate: the text as the run has it.
        reasons: why to look at it.
        opinion: what the student takes it for; None where it has not read it.
        urgency: the higher, the earlier it comes.
    """

    candidate: Candidate
    reasons: tuple[Why, ...]
    opinion: Opinion | None
    urgency: float

    @property
    def id(self) -> str:
        """Of the text."""
        return self.candidate.row.id


@dataclass(frozen=True, slots=True)
class Filter:
    """Which texts to show; what is None or empty shows all.

    Attributes:
        label: a class: as it was given, or as it was decided.
        round: a round.
        why: a reason.
        decided: those that nobody has decided on, the others, or all.
        words: that the text holds, in any case of letters.
    """

    label: str | None = None
    round: int | None = None
    why: str | None = None
    decided: Decided = "open"
    words: str = ""

    def fits(self, item: Item, decision: Decision | None) -> bool:
        """Whether an item is shown."""
        row = item.candidate.row
        labels = {row.label, decision.label if decision and decision.label else row.label}
        text = (decision.text if decision and decision.text else row.text) if self.words else ""
        return (
            (self.decided == "all" or (self.decided == "open") == (decision is None))
            and (self.label is None or self.label in labels)
            and (self.round is None or self.round == item.candidate.round)
            and (self.why is None or self.why in item.reasons)
            and (not self.words or self.words.casefold() in text.casefold())
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of the queue.

    Attributes:
        items: rank in the queue and item of each.
        fitting: number of items that the filter shows.
        before: rank to begin at for the page before; None where there is none.
        after: rank to begin at for the page after; None where there is none.
    """

    items: tuple[tuple[int, Item], ...]
    fitting: int
    before: int | None
    after: int | None


def candidates_of(run: RunFolder, records: Records) -> list[Candidate]:
    """Every text of a run that can be reviewed, in the order of the run.

    Those are the texts that were kept, those that were dropped for being a little too much like
    another one, and labelled rows whose label the students or the teacher doubt. Validation rows
    are none of them: they judge.
    """
    written = [LabelledText.from_json(line) for line in records.accepted]
    found = [Candidate(row, row.origin.round if row.origin else 0) for row in written]
    details = {f"rejected:{n}": str(line.get("detail", "")) for n, line in _numbered(records)}
    found += [
        Candidate(row, row.origin.round if row.origin else 0, (Why.NEAR_BOUND,), details[row.id])
        for row in dropped_texts(run)
    ]
    return found + _doubted(records)


def _numbered(records: Records) -> Iterable[tuple[int, dict[str, object]]]:
    return enumerate(records.rejected, start=1)


def _doubted(records: Records) -> list[Candidate]:
    """Labelled rows that somebody doubts, each once with all that is said of it."""
    rows = {row["id"]: row for row in records.task["train"]}
    found: dict[str, Candidate] = {}
    for line in records.label_issues:
        row = rows.get(line["id"])
        if row is None:  # of another pgkd, or of a row that is no training row
            continue
        by_teacher = line.get("by") == "teacher"
        why = Why.DOUBTED if by_teacher else Why.SUSPECT
        rather = f"rather {line['suggested']}" if line.get("suggested") else ""
        if rather and line.get("confidence") is not None:
            rather += f", {float(line['confidence']):.2f}"
        number = int(line.get("round") or round_of(str(line.get("request", ""))))
        known = found.get(line["id"])
        if known is None:
            found[line["id"]] = Candidate(LabelledText.from_json(row), number, (why,), rather)
        elif why not in known.reasons:
            found[line["id"]] = replace(
                known, reasons=(*known.reasons, why), detail=known.detail or rather
            )
    return list(found.values())


def sorted_queue(
    candidates: Sequence[Candidate], opinions: Mapping[str, Opinion]
) -> tuple[Item, ...]:
    """The queue: most urgent first, else in the order of the run.

    Args:
        candidates: all texts.
        opinions: what the student takes texts for, by text, as far as it has read them.
    """
    items = [
        # Of a row that it was trained on with full weight, the student is too sure to be asked.
        _item(each, None if each.row.is_real else opinions.get(each.row.text))
        for each in candidates
    ]
    return tuple(sorted(items, key=lambda item: -item.urgency))


def _item(candidate: Candidate, opinion: Opinion | None) -> Item:
    reasons = list(candidate.reasons)
    if opinion is not None and opinion.label != candidate.row.label:
        reasons.insert(0, Why.DISAGREES)
    elif opinion is not None and opinion.confidence < _UNSURE:
        reasons.append(Why.UNSURE)
    if not reasons:
        reasons.append(Why.WRITTEN)
    return Item(candidate, tuple(reasons), opinion, _urgency(candidate, reasons, opinion))


def _urgency(candidate: Candidate, reasons: Sequence[Why], opinion: Opinion | None) -> float:
    """How likely it is that something is wrong, roughly.

    A doubted row weighs twenty times as much as a written text in training, so it comes first; then
    texts that the student is sure are something else; then those that it is unsure of.
    """
    if Why.SUSPECT in reasons or Why.DOUBTED in reasons:
        return 3.0 + len(reasons) / 10
    sure = opinion.confidence if opinion else 0.0
    if Why.NEAR_BOUND in reasons:
        return 0.4
    if Why.DISAGREES in reasons:
        return 1.0 + sure
    return 1.0 - sure if opinion else 0.5


def page_of(
    queue: Sequence[Item],
    decisions: Mapping[str, Decision],
    wanted: Filter,
    *,
    begin: int = 0,
    size: int = 50,
) -> Page:
    """The items from a rank on that fit a filter.

    Pages begin at a rank of the whole queue, not at a number of fitting items: else the second page
    of the undecided texts would leave out as many as were decided on the first.
    """
    ranks = [i for i, item in enumerate(queue) if wanted.fits(item, decisions.get(item.id))]
    shown = [rank for rank in ranks if rank >= begin][:size]
    earlier = [rank for rank in ranks if rank < begin]
    later = [rank for rank in ranks if shown and rank > shown[-1]]
    return Page(
        items=tuple((rank, queue[rank]) for rank in shown),
        fitting=len(ranks),
        before=earlier[-size:][0] if earlier else None,
        after=later[0] if later else None,
    )


def counted(queue: Sequence[Item]) -> tuple[Counter[str], Counter[int], Counter[str]]:
    """How many items there are of each class, of each round and of each reason."""
    return (
        Counter(item.candidate.row.label for item in queue),
        Counter(item.candidate.round for item in queue),
        Counter(str(why) for item in queue for why in item.reasons),
    )


def as_it_stands(item: Item, decision: Decision | None) -> LabelledText:
    """The text as it stands after the decision on it; a rejected one as it was."""
    return as_decided(item.candidate.row, decision) or item.candidate.row
