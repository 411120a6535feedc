"""The review of one run: its queue, what the student thinks, and what people decide."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.apps.ui.queue import (
    Candidate,
    Filter,
    Item,
    Page,
    as_it_stands,
    candidates_of,
    counted,
    page_of,
    sorted_queue,
)
from pgkd.apps.ui.reading import Progress, Reader
from pgkd.errors import DataError, RunError
from pgkd.runs.files import fitting_together
from pgkd.runs.review import DECISIONS, Reviews
from pgkd.text import letters, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgkd.apps.ui.runs import Seen
    from pgkd.runs.review import Decision, Kind
    from pgkd.tasks.classification.data.examples import LabelledText

_FIRST_WAIT = 2.0  # seconds that a page waits for the student: most runs are read by then
_LONGEST = 100_000  # characters of an edited text


@dataclass(frozen=True, slots=True)
class Card:
    """An item as a page shows it.

    Attributes:
        item: the text, and why it is here.
        rank: in the queue.
        key: its name in the page, made of its id: letters and digits only.
        row: the text as it stands now.
        decision: the one that counts; None where there is none.
        seen: decisions on it until now.
        written: whether the teacher wrote it.
    """

    item: Item
    rank: int
    key: str
    row: LabelledText
    decision: Decision | None
    seen: int
    synthetic: bool


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of cards, and what there is to choose from.

    Attributes:
        cards: the texts that are shown.
        page: where they lie.
        progress: how far the student has read the queue.
        classes: texts of each class.
        rounds: texts of each round.
        reasons: texts with each reason.
    """

    cards: tuple[Card, ...]
    page: Page
    progress: Progress
    classes: Counter[str]
    rounds: Counter[int]
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class Tally:
    """How far the review is.

    Attributes:
        texts: in the queue.
        decided: those of them that somebody has decided on.
        lines: decisions that were ever made.
    """

    texts: int
    decided: int
    lines: int


class Desk:
    """Where the texts of one run are reviewed.

    Args:
        seen: the run.
    """

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._reader = Reader(seen.run)
        task = seen.run.dataset()
        self.classes = task.taxonomy.names
        self.reviews = Reviews(seen.run.path, self.classes)
        self._held = [letters(row.text) for row in task.validation]
        self._candidates: tuple[Seen | None, list[Candidate]] = (None, [])
        self._queue: tuple[object, tuple[Item, ...]] = (None, ())

    def queue(self, seen: Seen, *, wait: bool = False) -> tuple[tuple[Item, ...], Progress]:
        """The queue, and how far the student has read it; until then it is in the run's order.

        Args:
            seen: the run as it is now.
            wait: whether to wait a moment for the student.
        """
        if self._candidates[0] is not seen:
            with fitting_together(seen.run):
                self._candidates = (seen, candidates_of(seen.run, seen.records))
        candidates = self._candidates[1]
        texts = [each.row.text for each in candidates if not each.row.is_real]
        opinions, progress = self._reader.opinions(texts)
        if wait and not progress.is_done:
            self._reader.wait(_FIRST_WAIT)
            opinions, progress = self._reader.opinions(texts)
        known = opinions if progress.is_done else {}
        stamp = (id(candidates), self._reader.student, len(known))
        if self._queue[0] != stamp:
            self._queue = (stamp, sorted_queue(candidates, known))
        return self._queue[1], progress

    def sheet(self, seen: Seen, wanted: Filter, begin: int) -> Sheet:
        """A page of cards, from a rank of the queue on."""
        queue, progress = self.queue(seen, wait=True)
        page = page_of(queue, self.reviews.latest(), wanted, begin=begin)
        return Sheet(tuple(self._cards(page.items)), page, progress, *counted(queue))

    def card(self, seen: Seen, id_: str) -> Card:
        """One card.

        Raises:
            RunError: there is no such text any more.
        """
        queue, _ = self.queue(seen)
        for rank, item in enumerate(queue):
            if item.id == id_:
                [card] = self._cards([(rank, item)])
                return card
        raise RunError("This text is not in the run any more. Load the page again.")

    def tally(self, seen: Seen) -> Tally:
        """How far the review is."""
        queue, _ = self.queue(seen)
        latest = self.reviews.latest()
        decided = sum(item.id in latest for item in queue)
        return Tally(len(queue), decided, len(self.reviews.decisions()))

    def changed(self, seen: Seen, since: int) -> tuple[Card, ...]:
        """The cards that were decided on since so many decisions had been made."""
        ids = {decision.id for decision in self.reviews.decisions()[since:]}
        queue, _ = self.queue(seen)
        return tuple(self._cards((rank, item) for rank, item in enumerate(queue) if item.id in ids))

    def decide(
        self, seen: Seen, id_: str, kind: str, by: str, *,
        label: str | None = None, text: str | None = None, known: int | None = None,
    ) -> Card:  # fmt: skip
        """Write a decision down.

        Args:
            seen: the run.
            id_: of the text.
            kind: what to do.
            by: who does it.
            label: the class, to relabel it.
            text: the words, to edit it.
            known: decisions on it that its reader knew of.

        Raises:
            ConflictError: there is another decision meanwhile.
            DataError: it makes no sense, or the new text is nearly a validation row.
            RunError: there is no such text, or it cannot be written down.
        """
        before = self.card(seen, id_)
        if kind not in DECISIONS:
            raise DataError(f"There is no decision '{kind}'.")
        if text is not None:
            text = text.replace("\r\n", "\n").strip()
            self._check_text(text, before.row.text)
        made: Kind = kind
        self.reviews.decide(id_, made, by, label=label, text=text, seen=known)
        return self.card(seen, id_)

    def _check_text(self, text: str, before: str) -> None:
        if len(text) > _LONGEST:
            raise DataError(f"The text has {len(text):,} characters; {_LONGEST:,} are allowed.")
        bound = float((self._seen.records.config.get("curation") or {}).get("near_duplicate", 0.9))
        if text != before and nearest(letters(text), self._held, bound) is not None:
            raise DataError(
                "This is nearly a validation row: to train on it would flatter every student."
            )

    def _cards(self, items: Iterable[tuple[int, Item]]) -> Iterable[Card]:
        latest = self.reviews.latest()
        times = Counter(decision.id for decision in self.reviews.decisions())
        for rank, item in items:
            decision = latest.get(item.id)
            yield Card(
                item=item,
                rank=rank,
                key=key_of(item.id),
                row=as_it_stands(item, decision),
                decision=decision,
                seen=times[item.id],
                synthetic=not item.candidate.row.is_real,
            )


def key_of(id_: str) -> str:
    """A name for a text that may stand in a page: ids come from files, which may be anybody's."""
    return hashlib.blake2s(id_.encode("utf-8", "replace"), digest_size=8).hexdigest()
