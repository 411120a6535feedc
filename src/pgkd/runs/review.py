"""Decisions of people, in ``reviews.jsonl``: a line each, appended and never changed.

Two kinds of lines stand there, in the order they came::

    {"id": "r2-0005-1", "decision": "relabel", "label": "billing", "text": null,
     "by": "ann", "time": "2026-03-01T10:00:00+00:00"}
    {"round": 3, "decisions": 17, "time": "2026-03-01T10:02:00+00:00"}

The first is a decision: the last one on a text counts. The second pins a round: its student was
trained with the first seventeen decisions, and is so again when the run is resumed. So the file is
the one of a run that a resumed run does not write anew.

Several processes may append: the web UI's tabs, and the run itself. Each takes the file's lock.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_args

from pgkd.curation import Reason
from pgkd.errors import ConflictError, DataError, RunError
from pgkd.files import held, json_object, open_regular, reason, with_name
from pgkd.task import Evaluation, Example, Learner, Prompt
from pgkd.usage.ledger import now

if TYPE_CHECKING:
    from pgkd.runs.folder import RunFolder

Kind = Literal["accept", "reject", "relabel", "edit", "undo"]
DECISIONS: tuple[Kind, ...] = get_args(Kind)

FILE = "reviews.jsonl"
E = TypeVar("E", bound=Example)

_DUPLICATES = (Reason.REAL_DUPLICATE, Reason.DUPLICATE)
_NEAR = 3.0  # percent above the bound: two texts that are a little less alike would both be kept
_SIMILARITY = re.compile(r"(\d+)% like")
_LOCK = ".reviews.lock"
_PATIENCE = 20.0  # seconds for the lock: an append takes milliseconds


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says of a text.

    Attributes:
        id: of the text.
        kind: what was done; ``"undo"`` takes back whatever was decided before.
        by: who.
        time: when, UTC.
        label: its output from now on, such as its class; None where it stays.
        text: its words from now on; None where they stay.
    """

    id: str
    kind: Kind
    by: str
    time: str
    label: str | None = None
    text: str | None = None

    def to_json(self) -> dict[str, Any]:
        """A line of the journal."""
        return {
            "id": self.id, "decision": self.kind, "label": self.label, "text": self.text,
            "by": self.by, "time": self.time,
        }  # fmt: skip

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Decision:
        """Rebuild from `to_json`'s data.

        Raises:
            KeyError, ValueError: it is no such data.
        """
        made = cls(
            data["id"], data["decision"], data["by"], data["time"], data["label"], data["text"]
        )
        if made.kind not in DECISIONS or not all(
            isinstance(part, str) for part in (made.id, made.by, made.time)
        ):
            raise ValueError("it is no decision")
        if not all(part is None or isinstance(part, str) for part in (made.label, made.text)):
            raise ValueError("a label or a text is none")
        return made


class Reviews:
    """The journal of a run's decisions. It is read on from where it was read before.

    Args:
        folder: of the run.
        choices: outputs that a text can be given, such as class names; empty where any can be.
        clock: tells the time, as an ISO string.
    """

    def __init__(
        self, folder: Path, choices: Collection[str] = (), *, clock: Callable[[], str] = now
    ) -> None:
        self._path = folder / FILE
        self._lock_path = folder / _LOCK
        self._choices = frozenset(choices)
        self._clock = clock
        self._mutex = threading.RLock()
        self._read_to = 0
        self._decisions: list[Decision] = []
        self._pins: dict[int, int] = {}

    def decisions(self) -> tuple[Decision, ...]:
        """All decisions, in order.

        Raises:
            RunError: a line is damaged.
        """
        with self._mutex:
            self._read_on()
            return tuple(self._decisions)

    def latest(self, first: int | None = None) -> dict[str, Decision]:
        """The decision that counts for each text, of the first so many, or of all.

        Raises:
            RunError: a line is damaged.
        """
        found = {decision.id: decision for decision in self.decisions()[:first]}
        return {id_: decision for id_, decision in found.items() if decision.kind != "undo"}

    def decide(
        self,
        id_: str,
        kind: Kind,
        by: str,
        *,
        label: str | None = None,
        text: str | None = None,
        seen: int | None = None,
    ) -> Decision:
        """Write a decision down, and return when it is on the disk.

        To accept, relabel or edit a text keeps what an earlier decision has made of it.

        Args:
            id_: of the text.
            kind: what to do.
            by: who does it.
            label: the class that the text is given; needed to relabel it.
            text: its new words; needed to edit it.
            seen: decisions on this text that its reader knew of; None does not care.

        Raises:
            ConflictError: there is a decision that the reader did not know of.
            DataError: there is no such class, or the new text is empty.
            RunError: a line is damaged, or another process does not let go of the file.
        """
        self._check(kind, label, text)
        with self._mutex, self._locked():
            self._read_on()
            earlier = [decision for decision in self._decisions if decision.id == id_]
            if seen is not None and seen != len(earlier):
                changed = _told(earlier[-1]) if earlier else "The text has changed meanwhile."
                raise ConflictError(changed)
            before = earlier[-1] if earlier else None
            if before is not None and kind not in ("reject", "undo"):
                label, text = label or before.label, text or before.text
            made = Decision(id_, kind, by, self._clock(), label, text)
            self._append(made.to_json())
            return made

    def pin(self, number: int) -> dict[str, Decision]:
        """The decisions that a round trains with: those that there are now, or were the first time.

        Raises:
            RunError: as `decide`.
        """
        with self._mutex, self._locked():
            self._read_on()
            if number not in self._pins:
                self._write_pin(number, len(self._decisions))
            return self.latest(self._pins[number])

    def pinned(self, number: int) -> dict[str, Decision]:
        """The decisions that a round was trained with; none where it has none. Nothing is written.

        Raises:
            RunError: a line is damaged.
        """
        self.decisions()  # reads on
        return self.latest(self._pins.get(number, 0))

    def pin_without(self, numbers: Collection[int]) -> None:
        """Rounds that were trained before anybody could decide stay without decisions.

        Raises:
            RunError: as `decide`.
        """
        with self._mutex, self._locked():
            self._read_on()
            for number in sorted(set(numbers) - set(self._pins)):
                self._write_pin(number, 0)

    def _check(self, kind: Kind, label: str | None, text: str | None) -> None:
        if kind not in DECISIONS:
            raise DataError(f'Unknown decision "{kind}". Choose from: {", ".join(DECISIONS)}.')
        if kind == "relabel" and label is None:
            raise DataError("Give a class to relabel the text with.")
        if label is not None and self._choices and label not in self._choices:
            raise DataError(f'Unknown class "{label}" in this run.')
        if kind == "edit" and not (text or "").strip():
            raise DataError("The text is empty. Reject it instead.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        taken = RunError(f"Another process keeps {self._path} locked.")
        with held(self._lock_path, taken, patience=_PATIENCE):
            yield

    def _read_on(self) -> None:
        """Take in the lines that are whole and were not there before."""
        if not os.path.lexists(self._path):
            return
        with open_regular(self._path, RunError, within=self._path.parent) as file:
            file.seek(self._read_to)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]  # a crash, or a writer, may have left half a line
        for line in whole.splitlines():
            try:
                self._take(json_object(line.decode("utf-8")))
            except (ValueError, KeyError, TypeError) as error:
                why = f"{reason(error)} in {line[:200]!r}"
                raise RunError(f"{self._path} is damaged: {why}.") from error
        self._read_to += len(whole)

    def _take(self, record: dict[str, Any]) -> None:
        if "round" in record:
            number, count = record["round"], record["decisions"]
            if not isinstance(number, int) or not isinstance(count, int) or count < 0:
                raise ValueError("a round is no number")
            self._pins[number] = count
        else:
            self._decisions.append(Decision.from_json(record))

    def _write_pin(self, number: int, count: int) -> None:
        self._append({"round": number, "decisions": count, "time": self._clock()})

    def _append(self, record: dict[str, Any]) -> None:
        """Write a line behind the last whole one, sync it, and take it in. Call with the lock."""
        line = json.dumps(record, ensure_ascii=False) + "\n"
        try:
            with self._path.open("ab") as file:
                file.truncate(self._read_to)  # half a line of a process that died while it wrote
                file.write(line.encode("utf-8", "replace"))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise with_name(error, self._path) from None
        self._read_on()


def _told(decision: Decision) -> str:
    """What somebody else has done meanwhile."""
    return f"Meanwhile {decision.by} has decided on it: {decision.kind}. Decide again to overrule."


def applied(rows: Iterable[E], decisions: Mapping[str, Decision]) -> list[E]:
    """Rows after decisions: without the rejected ones, the others as people left them.

    A person who accepts, relabels or edits a synthetic text has verified it.
    """
    decided = (as_decided(row, decisions.get(row.id)) for row in rows)
    return [row for row in decided if row is not None]


def as_decided(row: E, decision: Decision | None) -> E | None:
    """A row after the decision on it; None where it was rejected."""
    if decision is None:
        return row
    if decision.kind == "reject":
        return None
    return row.revised(decision.text, decision.label)


def dropped_texts(run: RunFolder) -> Iterator[Any]:
    """Texts that were dropped because they are a little too much like another one.

    A person may take one in all the same. Texts that are like a validation row are not among them:
    nobody may train on those. Their ids are ``rejected:17`` for line 17 of ``rejected.jsonl``,
    which a resumed run writes anew, line by line the same.
    """
    bound = _bound(run)
    shown = _shown(run)
    for number, line in enumerate(run.read_lines("rejected.jsonl"), start=1):
        similarity = _SIMILARITY.match(str(line.get("detail", "")))
        whole = isinstance(line.get("text"), str)
        duplicate = whole and line["reason"] in _DUPLICATES and similarity is not None
        if duplicate and similarity and float(similarity[1]) <= bound + _NEAR:
            round_, parents = shown.get(line["request"], (0, ()))
            origin = {"round": round_, "request": line["request"], "parents": parents}
            yield run.task.example({**line, "id": f"rejected:{number}", "origin": origin})


def _bound(run: RunFolder) -> float:
    """The similarity from which texts count as duplicates, in percent."""
    curation: dict[str, Any] = run.settings().get("curation") or {}
    return 100 * float(curation.get("near_duplicate", 0.9))


def _shown(run: RunFolder) -> dict[str, tuple[int, tuple[str, ...]]]:
    """Round and shown rows of every request."""
    return {
        ask["id"]: (line["round"], tuple(ask.get("shown", ())))
        for line in run.events("round started")
        for ask in line["prompts"]
    }


class ReviewedLearner:
    """Brings decisions into the rounds of a run, by way of another learner.

    Each round is trained, evaluated and prompted for with the decisions that were there when its
    training began. Those are pinned: a run that is resumed takes the same ones, so it ends as one
    that was never cut off. The user's own examples stay as they are while a run goes on, for rounds
    are compared example by example; `retrain` takes decisions on them, too.

    Args:
        learner: trains, evaluates and writes prompts.
        reviews: the decisions.
    """

    def __init__(self, learner: Learner, reviews: Reviews) -> None:
        self._learner = learner
        self._reviews = reviews
        self._next = 0  # the round that is trained next
        self._decisions: dict[str, Decision] = {}

    def train(self, synthetic: Sequence[Example]) -> Any:
        """A student of the next round."""
        self._decisions = self._reviews.pin(self._next)
        self._next += 1
        return self._learner.train(applied(synthetic, self._decisions))

    def evaluate(self, student: Any, synthetic: Sequence[Example]) -> Evaluation:
        """See `Learner.evaluate`."""
        return self._learner.evaluate(student, applied(synthetic, self._decisions))

    def prompts(
        self, number: int, evaluation: Any, synthetic: Sequence[Example]
    ) -> Sequence[Prompt]:
        """See `Learner.prompts`: of a rejected example's kind, more are asked for."""
        return self._learner.prompts(number, evaluation, applied(synthetic, self._decisions))
