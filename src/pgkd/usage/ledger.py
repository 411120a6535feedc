"""The ledger: every call to a teacher is a row of SQLite, committed before its reply is used.

A row is committed before the request is sent (`Ledger.begin`), and again when the reply or the
failure arrives (`Ledger.finish`, `Ledger.fail`). After a kill the file is therefore complete: it
contains all replies that arrived, and a call without an end was in flight.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Self, get_args

from pgkd.errors import RunError, TeacherError
from pgkd.files import json_object, reason
from pgkd.teachers.base import Reply, Request
from pgkd.usage.budget import Amount
from pgkd.usage.sqlite import (
    COLUMNS,
    SCHEMA,
    GroupCommit,
    check_files,
    check_schema,
    connect,
    connect_to_read,
    parse_money,
    parse_reply,
    parse_request,
)

State = Literal["in flight", "replied", "failed", "lost"]

FROM_CACHE = "cache"
"""`Call.price_source` of a reply that another run has paid for."""

_LOST = "state = 'in flight' AND batch IS NULL"
# For SQLite, NULL is not in an empty set: hence the second condition.
_NEVER_SENT = "state = 'in flight' AND batch IS NOT NULL AND batch NOT IN (SELECT tag FROM batches)"
_OPEN_BATCHES = """
SELECT tag, id, made_at, (SELECT count(*) FROM calls WHERE batch = tag) FROM batches
WHERE tag IN (SELECT batch FROM calls WHERE state = 'in flight') ORDER BY batches.rowid
"""

_COUNTS = (
    "calls", "retries", "failed", "lost", "cached",
    "input_tokens", "cached_tokens", "output_tokens", "unpriced",
)  # fmt: skip


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
        batch: tag of the batch that it was sent with; None where it was sent alone.
        seconds: how long it took, by the teacher's clock; from its row to its end where it failed.
        retries: earlier calls with the same request, which failed or were lost.
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
        """The round it belongs to; 0 if it precedes all rounds."""
        return round_of(self.id)


@dataclass(frozen=True, slots=True)
class OpenBatch:
    """Calls that were sent together, and have not all ended.

    Attributes:
        tag: our name of the batch.
        id: the provider's; None where it never arrived: the batch may exist, or not.
        made_at: when it was about to be sent.
        size: calls that were sent with it.
        calls: those of them that have no end yet.
    """

    tag: str
    id: str | None
    made_at: datetime
    size: int
    calls: tuple[Call, ...]


class Ledger:
    """The calls of one run. Thread-safe; close it, or use it in a `with`.

    Args:
        path: the SQLite file; created where it does not exist.
        within: a folder; a link that leads out of it is refused.
        read_only: leave the file, and its folder, as they are; see `to_read`.

    Raises:
        RunError: the file cannot be opened, or is not a ledger.
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
                    raise RunError(f"{path} contains no record of calls.")
            else:
                self._db = connect(str(path))
                check_schema(self._db, path)
                # WAL: a commit appends to one file, and readers do not wait for it.
                self._db.executescript("PRAGMA journal_mode=WAL;" + SCHEMA)
                # A look-up does not wait for the disk while others write.
                self._reader = connect(str(path))
        except sqlite3.Error as error:
            raise RunError(f"{path} cannot be opened as a record of calls: {error}.") from error
        self._commits = GroupCommit(self._db, self._lock)
        try:
            self._resumed_in = max((call.round for call in self.calls()), default=0)
        except RunError:
            self.close()
            raise

    @classmethod
    def to_read(cls, path: Path, *, within: Path | None = None) -> Self:
        """Open it to read: neither the file nor its folder has to be writable.

        Raises:
            RunError: it is missing, or not a ledger.
        """
        if not os.path.lexists(path):
            raise RunError(f"{path} is missing: no calls were recorded.")
        return cls(path, within=within, read_only=True)

    def expect(self, answered: Iterable[str]) -> None:
        """Refuse to send these requests, by id, again: they were answered before.

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
        """Record that a request is about to be sent; returns the number of its row.

        Args:
            request: the request.
            provider: name of the teacher.
            most: what is reserved for it in the budget.
            batch: tag of the batch that it will be sent with.

        Raises:
            RunError: it was answered before (`expect`).
        """
        if request.id in self._answered:
            raise RunError(
                f"{self._path} has no answer to request {request.id} as it is sent now, though "
                "the run has had one: the file belongs to another run, or another version of pgkd "
                "started this one. Nothing was sent, and nothing in the run was changed: choose "
                "another folder with --out."
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
        """Record the reply to a call and its cost: it is on disk when this returns."""
        text = json.dumps(reply.to_json())  # escapes a lone surrogate, which SQLite cannot store
        usd = None if cost is None else str(cost)
        self._write(
            "UPDATE calls SET state = 'replied', reply = ?, cost_usd = ?, price_source = ?, "
            "cached_tokens = ?, seconds = ?, ended_at = ? WHERE n = ?",
            (text, usd, price_source, reply.cached_tokens, reply.seconds, now(), n),
            synced=True,
        )

    def fail(self, n: int, error: TeacherError) -> None:
        """Record how a call failed."""
        message, ended = str(error).encode(errors="replace").decode(), now()
        self._write(
            "UPDATE calls SET state = 'failed', error_kind = ?, error = ?, ended_at = ?, "
            "seconds = round((julianday(?) - julianday(sent_at)) * 86400, 3) WHERE n = ?",
            (type(error).__name__, message, ended, ended, n),
        )

    def settled(self, request: Request) -> Call | None:
        """How this request ended in an earlier session of the run; None if it is to be sent.

        A reply settles it for good, the last one where there are several. A failure does so only
        if the run continued to a later round, whose requests depend on it. In the last round a
        failed call is worth another attempt.
        """
        found = None
        for call in self._select("WHERE id = ? AND key = ? ORDER BY n", (request.id, request.key)):
            failed_for_good = call.state == "failed" and call.round < self._resumed_in
            if call.state == "replied" or (failed_for_good and not (found and found.reply)):
                found = call
        return found

    def abandon(self) -> list[Call]:
        """Mark the calls that were in flight when the last process died, and list them.

        Those of a batch are not lost: the provider still answers it. Those of a batch that was
        never sent are not calls at all, and are deleted.
        """
        self._write(f"DELETE FROM calls WHERE {_NEVER_SENT}")  # noqa: S608  (a constant)
        lost = list(self._select(f"WHERE {_LOST} ORDER BY n"))
        self._write(f"UPDATE calls SET state = 'lost' WHERE {_LOST}")  # noqa: S608  (a constant)
        return lost

    def open_batch(self, tag: str) -> None:
        """Record that the calls of this tag, all on disk, may be sent together from now on."""
        self._write("INSERT INTO batches (tag, made_at) VALUES (?, ?)", (tag, now()), synced=True)

    def name_batch(self, tag: str, id_: str) -> None:
        """Record the provider's name of a batch."""
        self._write("UPDATE batches SET id = ? WHERE tag = ?", (id_, tag), synced=True)

    def lose_batch(self, tag: str) -> None:
        """Give up a batch: its calls without an end are lost."""
        self._write(
            "UPDATE calls SET state = 'lost' WHERE state = 'in flight' AND batch = ?", (tag,)
        )

    def open_batches(self) -> list[OpenBatch]:
        """Batches with calls in flight, in the order sent."""
        with self._lock, self._naming_errors():
            rows = self._db.execute(_OPEN_BATCHES).fetchall()
        return [
            OpenBatch(tag, id_, datetime.fromisoformat(made_at), size, tuple(self._select(
                "WHERE state = 'in flight' AND batch = ? ORDER BY n", (tag,)
            )))
            for tag, id_, made_at, size in rows
        ]  # fmt: skip

    def calls(self) -> Iterator[Call]:
        """Every call, in the order sent."""
        return self._select("ORDER BY n")

    def _select(self, where: str, values: tuple[Any, ...] = ()) -> Iterator[Call]:
        with self._reading, self._naming_errors():
            statement = f"SELECT {COLUMNS} FROM calls {where}"  # noqa: S608  (no value is in it)
            rows = self._reader.execute(statement, values).fetchall()
        return (self._call(row) for row in rows)

    def _call(self, row: tuple[Any, ...]) -> Call:
        n, id_, purpose, key, provider, request, state, reply, kind, error, *money = row
        cost, source, tokens, usd, batch, seconds, retries = money
        try:
            answered = parse_reply(json_object(reply)) if reply else None
            asked = parse_request(json_object(request))
            price = None if cost is None else parse_money(cost)
            most = Amount(1, int(tokens), parse_money(usd))
            if not all(isinstance(part, str) for part in (id_, purpose, key, provider, state)):
                raise TypeError("a name is not text")
            if not isinstance(retries, int):
                raise TypeError("the retries are not a number")
            if state not in get_args(State):
                raise ValueError(f"unknown state {state!r:.40}")
        except (ValueError, TypeError, ArithmeticError) as damage:
            raise RunError(f"{self._path}: row {n} is damaged: {reason(damage)}.") from damage
        end = (state, answered, kind, error, price, source)
        return Call(n, id_, purpose, key, provider, asked, *end, most, batch, seconds, retries)

    def _write(self, statement: str, values: tuple[Any, ...] = (), *, synced: bool = False) -> int:
        """Commit one statement. It survives the process; a synced one survives a power cut, too."""
        with self._naming_errors():
            return self._commits.write(statement, values, synced=synced)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunError(
                f"{self._path} cannot be read or written: {error}. What is in it is safe: when "
                "the disk has room again, run the same command to continue."
            ) from error


def round_of(id_: str) -> int:
    """The round of a request by its id: 3 for ``r3-0007``, 0 for any other."""
    found = re.match(r"r(\d{1,9})-", id_)
    return int(found[1]) if found else 0


def now() -> str:
    """The current time as ledgers and journals spell it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def by_round_and_purpose(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """The sums of calls by round and purpose."""
    parts: dict[tuple[int, str], list[Call]] = {}
    for call in calls:
        parts.setdefault((call.round, call.purpose), []).append(call)
    return [
        {"round": number, "purpose": purpose, **summed(part)}
        for (number, purpose), part in sorted(parts.items())
    ]


def known_usd(sums: dict[str, Any]) -> Decimal | None:
    """The US dollars of `summed`; None where there are replies, and no price of them is known."""
    return None if sums["unpriced"] == answered(sums) > 0 else Decimal(sums["usd"])


def answered(sums: dict[str, Any]) -> int:
    """The number of calls of `summed` that a teacher has answered, without those from the cache."""
    return int(sums["calls"] - sums["failed"] - sums["lost"] - sums["cached"])


def summed(calls: Iterable[Call]) -> dict[str, Any]:
    """The sums of some calls: calls, tokens and US dollars, these as the text of a decimal."""
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
