"""The review of one run: its queue, the student's opinions on it, and people's decisions."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from pgkd.apps.ui.queue import (
    Candidate,
    Filter,
    Item,
    Opinion,
    Page,
    find_candidates,
    make_page,
    sort_queue,
)
from pgkd.apps.ui.runs import Snapshot
from pgkd.errors import DataError, PgkdError, RunError
from pgkd.runs.files import fitting_together
from pgkd.runs.folder import RunFolder
from pgkd.runs.review import DECISIONS, Decision, Kind, Reviews, as_decided
from pgkd.task import Example
from pgkd.text import letters, nearest

_WAIT_SECONDS = 2.0  # that a page waits for the student, which is enough for most runs
_MAX_CHARS = 100_000  # of an edited text
_BATCH = 128  # texts the student reads between two reports of its progress


@dataclass(frozen=True, slots=True)
class Progress:
    """How many of the texts the student has read, and why it cannot continue, if it cannot."""

    read: int
    wanted: int
    error: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return bool(self.error) or self.read >= self.wanted


class Reader:
    """Has the best student of a run answer texts in the background, and again if it is replaced."""

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._opinions: dict[str, Opinion] = {}
        self._error = ""
        self.student: object = None
        """Identifies the student whose opinions these are."""

    def opinions(self, rows: Sequence[Example]) -> tuple[dict[str, Opinion], Progress]:
        """The opinions so far, by the rows' ids; starts to read the other rows."""
        student = self._identify_student()
        with self._mutex:
            if student != self.student:
                self.student, self._opinions, self._error = student, {}, ""
            missing = [row for row in rows if row.id not in self._opinions]
            idle = self._thread is None or not self._thread.is_alive()
            if missing and idle and student is not None and not self._error:
                self._thread = threading.Thread(
                    target=self._read, args=(student, missing), name="reading", daemon=True
                )
                self._thread.start()
            error = self._error or ("" if student else "There is no student yet.")
            return dict(self._opinions), Progress(len(rows) - len(missing), len(rows), error)

    def wait(self, seconds: float) -> None:
        """Wait until all is read, or for so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _identify_student(self) -> object:
        """A value that changes with the best student; None if there is none."""
        try:
            about = (self._run.path / "students" / "best").stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_ino

    def _read(self, which: object, rows: Sequence[Example]) -> None:
        task = self._run.task
        try:
            student = self._run.student("best")
            for start in range(0, len(rows), _BATCH):
                batch = rows[start : start + _BATCH]
                answers = student.answers([task.input(row) for row in batch])
                found = {
                    row.id: Opinion(task.output(answer), float(answer.get("probability", 1.0)))
                    for row, answer in zip(batch, answers, strict=True)
                }
                with self._mutex:
                    if which != self.student:
                        return  # it was replaced, so its opinions are of no use
                    self._opinions |= found
            if forget := getattr(student, "forget", None):
                forget()
        except (PgkdError, OSError) as error:
            with self._mutex:
                if which == self.student:
                    self._error = f"The student cannot read the texts: {error}"


@dataclass(frozen=True, slots=True)
class Card:
    """An item as a page shows it.

    Attributes:
        item: the text, and why it is here.
        rank: in the queue.
        key: its name in the page: letters and digits only.
        row: the text after the decision; a rejected one as it was.
        decision: the latest; None if there is none.
        seen: number of decisions on it so far.
    """

    item: Item
    rank: int
    key: str
    row: Example
    decision: Decision | None
    seen: int


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page of cards, and the numbers of texts by output, round and reason to filter by."""

    cards: tuple[Card, ...]
    page: Page
    progress: Progress
    outputs: Counter[str]
    rounds: Counter[int]
    reasons: Counter[str]


@dataclass(frozen=True, slots=True)
class Tally:
    """Texts in the queue, those with a decision, and all decisions that were ever made."""

    texts: int
    decided: int
    lines: int


class ReviewSession:
    """The review of one run; every method takes the run as it is now."""

    def __init__(self, snapshot: Snapshot) -> None:
        run = snapshot.run
        self._reader = Reader(run)
        dataset = run.dataset()
        self.choices = run.task.choices(dataset)
        self.kind = run.task.review
        self.reviews = Reviews(run.path, self.choices if self.kind == "one" else ())
        self._validation = [letters(row.text) for row in dataset.validation]
        self._snapshot = snapshot
        self._candidates: tuple[Snapshot | None, list[Candidate]] = (None, [])
        self._queue: tuple[object, tuple[Item, ...]] = (None, ())

    def queue(self, snapshot: Snapshot, *, wait: bool = False) -> tuple[tuple[Item, ...], Progress]:
        """The queue, and the student's progress; until it is done, the queue has the run's order.

        Args:
            snapshot: the run as it is now.
            wait: whether to wait a moment for the student.
        """
        if self._candidates[0] is not snapshot:
            with fitting_together(snapshot.run):
                self._candidates = (snapshot, find_candidates(snapshot.run, snapshot.records))
        candidates = self._candidates[1]
        rows = [each.row for each in candidates if not each.row.is_real]
        opinions, progress = self._reader.opinions(rows)
        if wait and not progress.is_done:
            self._reader.wait(_WAIT_SECONDS)
            opinions, progress = self._reader.opinions(rows)
        known = opinions if progress.is_done else {}
        version = (id(candidates), self._reader.student, len(known))
        if self._queue[0] != version:
            self._queue = (version, sort_queue(candidates, known))
        return self._queue[1], progress

    def sheet(self, snapshot: Snapshot, wanted: Filter, begin: int) -> Sheet:
        """A page of cards, from a rank of the queue on."""
        queue, progress = self.queue(snapshot, wait=True)
        page = make_page(queue, self.reviews.latest(), wanted, begin=begin)
        return Sheet(
            cards=tuple(self._cards(page.items)),
            page=page,
            progress=progress,
            outputs=Counter(item.candidate.row.output for item in queue),
            rounds=Counter(item.candidate.round for item in queue),
            reasons=Counter(str(why) for item in queue for why in item.reasons),
        )

    def card(self, snapshot: Snapshot, id_: str) -> Card:
        """One card.

        Raises:
            RunError: the text is not in the run any more.
        """
        for card in self._cards_with(snapshot, {id_}):
            return card
        raise RunError("This text is not in the run any more. Reload the page.")

    def tally(self, snapshot: Snapshot) -> Tally:
        """How much of the queue is decided."""
        queue, _ = self.queue(snapshot)
        latest = self.reviews.latest()
        decided = sum(item.id in latest for item in queue)
        return Tally(len(queue), decided, len(self.reviews.decisions()))

    def changed(self, snapshot: Snapshot, since: int) -> tuple[Card, ...]:
        """The cards with decisions made after the first `since`."""
        ids = {decision.id for decision in self.reviews.decisions()[since:]}
        return tuple(self._cards_with(snapshot, ids))

    def decide(
        self, snapshot: Snapshot, id_: str, kind: str, by: str, *,
        label: str | None = None, text: str | None = None, known: int | None = None,
    ) -> Card:  # fmt: skip
        """Record a decision.

        Args:
            snapshot: the run.
            id_: of the text.
            kind: one of `DECISIONS`.
            by: who decides.
            label: the output, such as the class, to relabel it.
            text: the new text, to edit it.
            known: number of decisions on it that `by` had seen.

        Raises:
            ConflictError: there is another decision meanwhile.
            DataError: it makes no sense, or the new text is nearly a validation row.
            RunError: there is no such text, or the decision cannot be written.
        """
        before = self.card(snapshot, id_)
        if kind not in DECISIONS:
            raise DataError(f'Unknown decision "{kind}". Choose from: {", ".join(DECISIONS)}.')
        if text is not None:
            text = text.replace("\r\n", "\n").strip()
            self._check_edit(text, before.row.text)
        if label is not None and kind != "undo":
            before.item.candidate.row.revised(text, label)  # refuses what cannot be read
        made: Kind = kind
        self.reviews.decide(id_, made, by, label=label, text=text, seen=known)
        return self.card(snapshot, id_)

    def _check_edit(self, text: str, before: str) -> None:
        if len(text) > _MAX_CHARS:
            raise DataError(f"The text has {len(text):,} characters; {_MAX_CHARS:,} are allowed.")
        curation = self._snapshot.records.config.get("curation") or {}
        bound = float(curation.get("near_duplicate", 0.9))
        near = nearest(letters(text), self._validation, bound)
        if text != before and near is not None:
            raise DataError(
                "This is nearly a validation row. Training on it would inflate every validation "
                "score, so it is not saved."
            )

    def _cards_with(self, snapshot: Snapshot, ids: set[str]) -> Iterator[Card]:
        queue, _ = self.queue(snapshot)
        return self._cards((rank, item) for rank, item in enumerate(queue) if item.id in ids)

    def _cards(self, items: Iterable[tuple[int, Item]]) -> Iterator[Card]:
        latest = self.reviews.latest()
        times = Counter(decision.id for decision in self.reviews.decisions())
        for rank, item in items:
            decision, row = latest.get(item.id), item.candidate.row
            yield Card(
                item=item,
                rank=rank,
                key=_page_key(item.id),
                row=as_decided(row, decision) or row,
                decision=decision,
                seen=times[item.id],
            )


def _page_key(id_: str) -> str:
    """A name for a text that is safe in a page: ids come from files of unknown origin."""
    return hashlib.blake2s(id_.encode("utf-8", "replace"), digest_size=8).hexdigest()


def ticked_labels(output: str) -> set[str]:
    """The labels of an output of several: a JSON list, or names with commas between them."""
    try:
        found = json.loads(output)
    except ValueError:
        found = output.split(", ")
    return set(map(str, found)) if isinstance(found, list) else {output}
