"""The review queue: the texts of a run that a person may check, the most urgent first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Literal

from pgkd.apps.report.gather import Records
from pgkd.runs.folder import RunFolder
from pgkd.runs.review import Decision, dropped_texts
from pgkd.task import Example
from pgkd.usage.ledger import round_of

Decided = Literal["open", "decided", "all"]
_UNSURE = 0.5  # probability of the likeliest class: below it, all others together are likelier


class Why(StrEnum):
    """Why a text is worth checking."""

    DISAGREES = "student disagrees"
    LABEL_ISSUE = "possible label error"
    TEACHER_DOUBTS = "teacher doubts"
    UNSURE = "student unsure"
    NEAR_DUPLICATE = "dropped near-duplicate"
    SYNTHETIC = "synthetic"


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the student answers to a text, and how sure it is; 1 where it does not say."""

    output: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """A text that can be reviewed: its round, and the reasons that the run's files give."""

    row: Example
    round: int
    reasons: tuple[Why, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """A text in the queue, with all reasons; `opinion` is None if the student has not read it."""

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
    """Which texts to show; None or an empty string shows all.

    Attributes:
        output: a label or other output, before or after the decision.
        round: a round.
        why: a reason.
        decided: texts without a decision, with one, or all.
        words: part of the text, in any case.
    """

    output: str | None = None
    round: int | None = None
    why: str | None = None
    decided: Decided = "open"
    words: str = ""

    def matches(self, item: Item, decision: Decision | None) -> bool:
        """Whether an item is shown."""
        row = item.candidate.row
        outputs = {row.output, decision.label if decision and decision.label else row.output}
        text = (decision.text if decision and decision.text else row.text) if self.words else ""
        return (
            (self.decided == "all" or (self.decided == "open") == (decision is None))
            and (self.output is None or self.output in outputs)
            and (self.round is None or self.round == item.candidate.round)
            and (self.why is None or self.why in item.reasons)
            and (not self.words or self.words.casefold() in text.casefold())
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some items of the queue.

    Attributes:
        items: rank in the queue and item of each.
        first: position of the first item among those that match the filter, from 1.
        matching: number of items that match the filter.
        before: rank at which the previous page begins; None if there is none.
        after: rank at which the next page begins; None if there is none.
    """

    items: tuple[tuple[int, Item], ...]
    first: int
    matching: int
    before: int | None
    after: int | None


def find_candidates(run: RunFolder, records: Records) -> list[Candidate]:
    """Every text of a run that can be reviewed, in the order of the run.

    These are the accepted texts, those dropped as slight near-duplicates, and labelled rows whose
    label is in doubt. Validation rows are not among them: they measure the students.
    """
    details = {
        f"rejected:{n}": str(line.get("detail", "")) for n, line in enumerate(records.rejected, 1)
    }
    accepted = [Candidate(row, _round(row)) for row in map(run.task.example, records.accepted)]
    dropped = [
        Candidate(row, _round(row), (Why.NEAR_DUPLICATE,), details[row.id])
        for row in dropped_texts(run)
    ]
    return [*accepted, *dropped, *_label_issues(run, records)]


def _round(row: Example) -> int:
    return row.origin.round if row.origin else 0


def _label_issues(run: RunFolder, records: Records) -> list[Candidate]:
    """Labelled rows in doubt, each once with all reasons."""
    rows = {row["id"]: row for row in records.task["train"]}
    found: dict[str, Candidate] = {}
    for line in records.label_issues:
        row = rows.get(line["id"])
        if row is None:  # of another version of pgkd, or not a training row
            continue
        why = Why.TEACHER_DOUBTS if line.get("by") == "teacher" else Why.LABEL_ISSUE
        detail = f"rather {line['suggested']}" if line.get("suggested") else ""
        if detail and line.get("confidence") is not None:
            detail += f", {float(line['confidence']):.2f}"
        number = int(line.get("round") or round_of(str(line.get("request", ""))))
        known = found.setdefault(
            line["id"], Candidate(run.task.example(row), number, (why,), detail)
        )
        if why not in known.reasons:
            found[line["id"]] = replace(
                known, reasons=(*known.reasons, why), detail=known.detail or detail
            )
    return list(found.values())


def sort_queue(
    candidates: Sequence[Candidate], opinions: Mapping[str, Opinion]
) -> tuple[Item, ...]:
    """The queue, the most urgent first, else in the order of the run.

    Args:
        candidates: all texts.
        opinions: the student's, by id. Those on labelled rows are ignored: it was trained on them
            with full weight and is too sure.
    """
    items = [
        _make_item(each, None if each.row.is_real else opinions.get(each.row.id))
        for each in candidates
    ]
    return tuple(sorted(items, key=lambda item: -item.urgency))


def _make_item(candidate: Candidate, opinion: Opinion | None) -> Item:
    reasons = list(candidate.reasons)
    if opinion is not None and opinion.output != candidate.row.output:
        reasons.insert(0, Why.DISAGREES)
    elif opinion is not None and opinion.confidence < _UNSURE:
        reasons.append(Why.UNSURE)
    if not reasons:
        reasons.append(Why.SYNTHETIC)
    return Item(candidate, tuple(reasons), opinion, _urgency(reasons, opinion))


def _urgency(reasons: Sequence[Why], opinion: Opinion | None) -> float:
    """How likely it is that something is wrong, roughly.

    A doubtful labelled row weighs twenty times as much as a synthetic text in training, so it comes
    first; then texts that the student confidently puts elsewhere; then those it is unsure of.
    """
    if Why.LABEL_ISSUE in reasons or Why.TEACHER_DOUBTS in reasons:
        return 3.0 + len(reasons) / 10
    if Why.NEAR_DUPLICATE in reasons:
        return 0.4
    if opinion is None:
        return 0.5
    return 1.0 + opinion.confidence if Why.DISAGREES in reasons else 1.0 - opinion.confidence


def make_page(
    queue: Sequence[Item],
    decisions: Mapping[str, Decision],
    wanted: Filter,
    *,
    begin: int = 0,
    size: int = 50,
) -> Page:
    """The items from a rank on that match a filter.

    Pages begin at a rank of the whole queue, not at a number of matching items: else the second
    page of the undecided texts would skip as many as were decided on the first.
    """
    ranks = [i for i, item in enumerate(queue) if wanted.matches(item, decisions.get(item.id))]
    earlier = [rank for rank in ranks if rank < begin]
    shown, later = (rest := ranks[len(earlier) :])[:size], rest[size:]
    return Page(
        items=tuple((rank, queue[rank]) for rank in shown),
        first=len(earlier) + 1,
        matching=len(ranks),
        before=earlier[-size:][0] if earlier else None,
        after=later[0] if later else None,
    )
