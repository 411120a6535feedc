"""The ledger: every call to a teacher is a row of SQLite, written before the reply is used.

A row is committed before the request leaves (`Ledger.begin`), and again when the reply or the
failure is there (`Ledger.finish`, `Ledger.fail`). What a killed process leaves behind therefore
tells everything: replies that arrived are in it, and a call without an end was in flight.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pgkd.errors import RunError
from pgkd.files import json_object, reason
from pgkd.usage.budget import Amount
from pgkd.usage.commits import Commits
from pgkd.usage.ledger_file import (
    COLUMNS,
    SCHEMA,
    check_files,
    check_schema,
    connect,
    connect_to_read,
    money_from,
    reply_from,
    request_from,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from decimal import Decimal
    from pathlib import Path

    from pgkd.errors import TeacherError
    from pgkd.teachers.base import Reply, Request

State = Literal["in flight", "replied", "failed", "lost"]

_LOST = "state = 'in flight' AND batch IS NULL"
# NULL is in no empty set, for SQLite: hence the second condition.
_NEVER_LEFT = "state = 'in flight' AND batch IS NOT NULL AND batch NOT IN (SELECT tag FROM batches)"
_OPEN_BATCHES = """
SELECT tag, id, made_at, (SELECT count(*) FROM calls WHERE batch = tag) FROM batches
WHERE tag IN (SELECT batch FROM calls WHERE state = 'in flight') ORDER BY batches.rowid
"""


@dataclass(frozen=True, slots=True)
class Call:
    """One row of the ledger.

    Attributes:
        n: its number, in the order sent.
        id: the request's name in the run.
        purpose: what it was for.
        key: `Request.key`.
        provider: name of the teacher.
        request: the request as plain data.
        state: ``"lost"`` was in flight when the process died: it may have been paid for.
        reply: the reply, where one came.
        error_kind: class name of the error, where it failed.
        error: its message.
        cost: in US dollars; None where no price is known, or no reply came.
        price_source: where the price is from.
        most: what was reserved for it in the budget.
        batch: tag of the batch that it left with; None where it left alone.
        seconds: how long it took, as the teacher says; from its row to its end where it failed.
        retries: calls before it that asked the same, and failed or were lost.
    """

    n: int
    id: str
    purpose: str
    key: str
    provider: str
    request: dict[str, Any]
    state: State
    reply: Reply | None
    error_kind: str | None
    error: str | None
    cost: Decimal | None
    price_source: str | None
    most: Amount
    batch: str | None = None
    seconds: float | None = None
    retries: int = 0

    @property
    def round(self) -> int:
        """The round it belongs to; 0 where it precedes all rounds."""
        return round_of(self.id)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """Calls that left together, and have not all ended.

    Attributes:
        tag: our name of the batch.
        id: the provider's; None where it was never heard: the batch may exist, or not.
        made_at: when it was about to leave.
        size: calls that left with it.
        calls: those of them that have no end yet.
    """

    tag: str
    id: str | None
    made_at: datetime
    size: int
    calls: tuple[Call, ...]


class Ledger:
    """The calls of one run. Safe to use from several threads; close it, or use it in a `with`.

    Args:
        path: the SQLite file; made where it does not exist.
        within: a folder; a link that leads out of it is refused.
        read_only: leave the file, and its folder, as they are; see `to_read`.

    Raises:
        RunError: the file cannot be opened, or is no ledger.
    """

    def __init__(self, path: Path, *, within: Path | None = None, read_only: bool = False) -> None:
        self._path = path
        self._answered: frozenset[str] = frozenset()
        self._lock, self._reading = threading.Lock(), threading.Lock()
        check_files(path, within)
        try:
            if read_only:
                self._db = self._reader = connect_to_read(path)
                if not check_schema(self._db, path):
                    raise RunError(f"{path} holds no record of calls.")
            else:
                self._db = connect(str(path))
                check_schema(self._db, path)
                # WAL: a commit appends to one file, and readers do not wait for it.
                self._db.executescript("PRAGMA journal_mode=WAL;" + SCHEMA)
                # Whoever looks something up does not wait for the disk, to which others write.
                self._reader = connect(str(path))
        except sqlite3.Error as error:
            raise RunError(f"{path} cannot be opened as a record of calls: {error}.") from error
        self._commits = Commits(self._db, self._lock)
        try:
            self._resumed_in = max((call.round for call in self.calls()), default=0)
        except RunError:
            self.close()
            raise

    @classmethod
    def to_read(cls, path: Path, *, within: Path | None = None) -> Self:
        """A ledger that is looked at: neither the file nor its folder has to be writable.

        Raises:
            RunError: it is missing, or no ledger.
        """
        if not os.path.lexists(path):
            raise RunError(f"{path} is missing: no calls were recorded.")
        return cls(path, within=within, read_only=True)

    def expect(self, answered: Iterable[str]) -> None:
        """Refuse to ask these requests, by their ids, anew: they were answered before.

        A resumed run finds the answers here; where it does not, this is the ledger of another run.
        """
        self._answered = frozenset(answered)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._db.close()

    def begin(
        self,
        request: Request,
        provider: str,
        most: Amount | None = None,
        *,
        batch: str | None = None,
    ) -> int:
        """Note that a request is about to leave; returns the number of its row.

        Args:
            request: what is asked.
            provider: who is asked.
            most: what is reserved for it in the budget.
            batch: tag of the batch that it will leave with.
        """
        if request.id in self._answered:
            raise RunError(
                f"{self._path} does not hold the answer to request {request.id} as it is asked "
                "now, though the run has had one: the file is of another run, or another version "
                "of pgkd began this one. Nothing was asked, and what the run had is as it was: "
                "give another folder with --out."
            )
        most = most or Amount(1)
        sent = json.dumps(request.to_json(), ensure_ascii=False)
        row = (request.id, request.purpose, request.key, provider, sent, "in flight")
        return self._write(
            "INSERT INTO calls (id, purpose, key, provider, request, state, most_tokens, "
            "most_usd, sent_at, batch, retries) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, "
            "(SELECT count(*) FROM calls WHERE id = ? AND key = ?))",
            (*row, most.tokens, str(most.usd), now(), batch, request.id, request.key),
        )

    def finish(
        self, n: int, reply: Reply, cost: Decimal | None = None, price_source: str | None = None
    ) -> None:
        """Keep the reply of a call and what it cost: it is on the disk when this returns."""
        # A lone surrogate, which SQLite cannot store, becomes an escape of JSON.
        text = json.dumps(reply.to_json())
        self._write(
            "UPDATE calls SET state = 'replied', reply = ?, cost_usd = ?, price_source = ?, "
            "cached_tokens = ?, seconds = ?, ended_at = ? WHERE n = ?",
            (
                text,
                None if cost is None else str(cost),
                price_source,
                reply.cached_tokens,
                reply.seconds,
                now(),
                n,
            ),
            synced=True,
        )

    def fail(self, n: int, error: TeacherError) -> None:
        """Keep how a call failed."""
        message, ended = str(error).encode(errors="replace").decode(), now()
        self._write(
            "UPDATE calls SET state = 'failed', error_kind = ?, error = ?, ended_at = ?, "
            "seconds = round((julianday(?) - julianday(sent_at)) * 86400, 3) WHERE n = ?",
            (type(error).__name__, message, ended, ended, n),
        )

    def settled(self, request: Request) -> Call | None:
        """How this request ended in an earlier life of the run; None where it has to be asked.

        A reply settles it for good, the last one where it was asked again. A failure does only if
        the run went on to a later round: its later requests rest on it. In the last round a failed
        call is worth another try.
        """
        found = None
        for call in self._select("WHERE id = ? AND key = ? ORDER BY n", (request.id, request.key)):
            failed_for_good = call.state == "failed" and call.round < self._resumed_in
            if call.state == "replied" or (failed_for_good and not (found and found.reply)):
                found = call
        return found

    def abandon(self) -> list[Call]:
        """Mark the calls that were in flight when the last process died, and list them.

        Those of a batch are not lost: the provider still answers it. Those that were to leave with
        one that never left are not calls at all, and are taken out.
        """
        self._write(f"DELETE FROM calls WHERE {_NEVER_LEFT}")  # noqa: S608  (a constant)
        lost = list(self._select(f"WHERE {_LOST} ORDER BY n"))
        self._write(f"UPDATE calls SET state = 'lost' WHERE {_LOST}")  # noqa: S608  (a constant)
        return lost

    def open_batch(self, tag: str) -> None:
        """Note that the calls of this tag may leave together from now on. They are on the disk."""
        self._write("INSERT INTO batches (tag, made_at) VALUES (?, ?)", (tag, now()), synced=True)

    def name_batch(self, tag: str, id_: str) -> None:
        """Keep the provider's name of a batch."""
        self._write("UPDATE batches SET id = ? WHERE tag = ?", (id_, tag), synced=True)

    def lose_batch(self, tag: str) -> None:
        """Give up a batch: those of its calls that have no end are lost."""
        self._write(
            "UPDATE calls SET state = 'lost' WHERE state = 'in flight' AND batch = ?", (tag,)
        )

    def open_batches(self) -> list[OpenBatch]:
        """Batches with calls in flight, in the order sent."""
        with self._guarded():
            rows = self._db.execute(_OPEN_BATCHES).fetchall()
        return [
            OpenBatch(tag, id_, datetime.fromisoformat(made_at), size, self._in_flight(tag))
            for tag, id_, made_at, size in rows
        ]

    def _in_flight(self, tag: str) -> tuple[Call, ...]:
        return tuple(self._select("WHERE state = 'in flight' AND batch = ? ORDER BY n", (tag,)))

    def calls(self) -> Iterator[Call]:
        """Every call, in the order sent."""
        return self._select("ORDER BY n")

    def _select(self, where: str, values: tuple[Any, ...] = ()) -> Iterator[Call]:
        with self._reading, self._told():
            statement = f"SELECT {COLUMNS} FROM calls {where}"  # noqa: S608  (no value is in it)
            rows = self._reader.execute(statement, values).fetchall()
        return (self._call(row) for row in rows)

    def _call(self, row: tuple[Any, ...]) -> Call:
        n, id_, purpose, key, provider, request, state, reply, kind, error, *money = row
        cost, source, tokens, usd, batch, seconds, retries = money
        try:
            answered = reply_from(json_object(reply)) if reply else None
            asked = request_from(json_object(request))
            price = None if cost is None else money_from(cost)
            most = Amount(1, int(tokens), money_from(usd))
            if not all(isinstance(part, str) for part in (id_, purpose, key, provider, state)):
                raise TypeError("a name is no text")
            if not isinstance(retries, int):
                raise TypeError("the retries are no number")
            if state not in get_args(State):
                raise ValueError(f"there is no state {state!r:.40}")
        except (ValueError, TypeError, ArithmeticError) as damage:
            raise RunError(f"{self._path}: row {n} is damaged: {reason(damage)}.") from damage
        end = (state, answered, kind, error, price, source)
        return Call(n, id_, purpose, key, provider, asked, *end, most, batch, seconds, retries)

    def _write(self, statement: str, values: tuple[Any, ...] = (), *, synced: bool = False) -> int:
        """Commit one statement. It outlives the process; a synced one outlives the power, too."""
        with self._told():
            return self._commits.write(statement, values, synced=synced)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        with self._lock, self._told():
            yield

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunError(
                f"{self._path} cannot be read or written: {error}. What is in it is kept: where "
                "the disk has room again, the same command goes on."
            ) from error


def round_of(id_: str) -> int:
    """The round of a request by its name: 3 of ``r3-0007``, 0 of any other."""
    found = re.match(r"r(\d{1,9})-", id_)
    return int(found[1]) if found else 0


def now() -> str:
    """The time as it stands in a ledger or a journal."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
