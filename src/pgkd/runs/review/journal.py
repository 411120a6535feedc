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
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pgkd.errors import ConflictError, DataError, RunError
from pgkd.files import held, with_name
from pgkd.readers import json_object, open_regular, reason
from pgkd.usage.ledger import now

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

Kind = Literal["accept", "reject", "relabel", "edit", "undo"]
DECISIONS: tuple[Kind, ...] = get_args(Kind)

FILE = "reviews.jsonl"
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
        label: its class from now on; None where it stays.
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
        classes: class names that a text can be given.
        clock: tells the time, as an ISO string.
    """

    def __init__(
        self, folder: Path, classes: Collection[str] = (), *, clock: Callable[[], str] = now
    ) -> None:
        self._path = folder / FILE
        self._lock_path = folder / _LOCK
        self._classes = frozenset(classes)
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
                raise ConflictError(_told(earlier[-1]) if earlier else "The text is another one.")
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
            raise DataError(f"There is no decision '{kind}'. There are: {', '.join(DECISIONS)}.")
        if kind == "relabel" and label is None:
            raise DataError("A text is relabelled with a class: give one.")
        if label is not None and label not in self._classes:
            raise DataError(f"There is no class '{label}' in this run.")
        if kind == "edit" and not (text or "").strip():
            raise DataError("The text is empty. Reject it, if nothing of it is to stay.")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        taken = RunError(f"Another process does not let go of {self._path}.")
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
