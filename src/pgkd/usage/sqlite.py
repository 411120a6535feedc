"""The SQLite file of a ledger: how it is opened, checked and written.

The file is untrusted. Opening it to read writes nothing, so a run on a read-only disk can be
viewed; by itself, SQLite would create two files next to a database in WAL mode, even to read it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pgkd.errors import RunError
from pgkd.files import check_kind
from pgkd.teachers.base import Reply

SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    n             INTEGER PRIMARY KEY,
    id            TEXT NOT NULL,     -- the request's name in the run, e.g. r3-0007
    purpose       TEXT NOT NULL,
    key           TEXT NOT NULL,     -- SHA-256 of what was asked
    provider      TEXT NOT NULL,
    request       TEXT NOT NULL,     -- JSON
    state         TEXT NOT NULL CHECK (state IN ('in flight', 'replied', 'failed', 'lost')),
    reply         TEXT,              -- JSON, with the token counts and the model that answered
    error_kind    TEXT,
    error         TEXT,
    cost_usd      TEXT,              -- decimal; NULL where no price is known
    price_source  TEXT,
    most_tokens   INTEGER NOT NULL,  -- what was reserved for it
    most_usd      TEXT NOT NULL,
    sent_at       TEXT NOT NULL,
    ended_at      TEXT,
    batch         TEXT,              -- tag of the batch that it left with
    cached_tokens INTEGER,           -- of the prompt, in the provider's cache
    seconds       REAL,              -- from its leaving to its end
    retries       INTEGER NOT NULL DEFAULT 0  -- calls before it that asked the same
) STRICT;
CREATE INDEX IF NOT EXISTS calls_by_request ON calls (id, key);
CREATE TABLE IF NOT EXISTS batches (
    tag           TEXT PRIMARY KEY,  -- ours: part of what the provider is told
    id            TEXT,              -- the provider's; NULL until it has said it
    made_at       TEXT NOT NULL
) STRICT;
"""
COLUMNS = (
    "n, id, purpose, key, provider, request, state, reply, error_kind, error, "
    "cost_usd, price_source, most_tokens, most_usd, batch, seconds, retries"
)
_MAX_BYTES = 64 << 20  # bytes of a request or a reply
_MAX = 10**12  # tokens, seconds or dollars of a call


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode that several threads may use."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, uri=uri)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
    return db


def check_files(path: Path, within: Path | None = None) -> None:
    """Raise RunError unless SQLite will open regular files: on a pipe it would wait forever."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        check_kind(path.with_name(path.name + suffix), RunError, within=within)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open an SQLite file without writing, also where nothing can be written."""
    address = path.resolve().as_uri() + "?mode=ro"
    wal = path.with_name(path.name + "-wal")
    try:
        in_use = wal.stat().st_size > 0
    except FileNotFoundError:
        in_use = False
    if not in_use:  # otherwise SQLite would create two files next to it
        return connect(address + "&immutable=1", uri=True)
    try:
        db = connect(address, uri=True)
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:  # a killed run on a read-only disk: read a copy
        with tempfile.TemporaryDirectory(prefix="pgkd-ledger-") as folder:
            copy = Path(folder) / "ledger.sqlite"
            for name in (path, wal):
                shutil.copy(name, copy.with_name(name.name.replace(path.name, copy.name)))
            db = connect(":memory:")
            with closing(connect(str(copy))) as whole:
                whole.backup(db)
    return db


def check_schema(db: sqlite3.Connection, path: Path) -> bool:
    """Whether there is a table of calls.

    Raises RunError where a column is missing, or where there are views or triggers: pgkd creates
    none, and a view could compute forever.
    """
    found = db.execute("SELECT type, name FROM sqlite_master").fetchall()
    if any(kind in ("view", "trigger") for kind, _ in found):
        raise RunError(f"{path} is not a record of calls: it contains views or triggers.")
    if ("table", "calls") not in found:
        return False
    columns = {row[1] for row in db.execute("PRAGMA table_info(calls)")}
    for name in COLUMNS.split(", "):
        if name not in columns:
            raise RunError(f"{path} is not a record of calls: it has no column '{name}'.")
    return True


def parse_reply(data: dict[str, Any]) -> Reply:
    """A reply from the JSON of a row; raises TypeError or ValueError where it is malformed."""
    reply = Reply.from_json(data)
    counts = (reply.input_tokens, reply.output_tokens, reply.cached_tokens)
    if not isinstance(reply.text, str) or not isinstance(reply.model, str):
        raise ValueError("a reply has no text")
    if not all(each is None or (isinstance(each, int) and 0 <= each < _MAX) for each in counts):
        raise ValueError("a token count is not a number")
    if not isinstance(reply.seconds, int | float) or not 0 <= reply.seconds < _MAX:
        raise ValueError("the seconds of a reply are not a number")
    return reply


def parse_request(data: dict[str, Any]) -> dict[str, Any]:
    """A request from the JSON of a row; raises ValueError where it is malformed."""
    messages = data.get("messages")
    if not isinstance(messages, list) or not all(
        isinstance(each, dict)
        and isinstance(each.get("role"), str)
        and isinstance(each.get("content"), str)
        for each in messages
    ):
        raise ValueError("a request has no messages")
    return data


def parse_money(text: str) -> Decimal:
    """US dollars from a row; raises ArithmeticError, TypeError or ValueError where malformed."""
    amount = Decimal(text)
    if not amount.is_finite() or not -_MAX < amount < _MAX:
        raise ValueError("an amount is not a number")
    return amount


@dataclass(slots=True, eq=False)
class _Write:
    """A statement to commit, and its outcome."""

    statement: str
    values: tuple[Any, ...]
    synced: bool
    row: int = 0
    error: Exception | None = None
    done: bool = False


class GroupCommit:
    """Commits statements of many threads, those that wait for the disk in one transaction.

    A synced commit takes as long for one row as for fifty, so the thread that has the database
    writes for all that wait behind it (DeWitt et al., SIGMOD 1984). `write` returns only when its
    own statement is committed.

    Args:
        db: a connection in autocommit mode that several threads may use.
        lock: held by whoever uses the connection.
    """

    def __init__(self, db: sqlite3.Connection, lock: threading.Lock) -> None:
        self._db = db
        self._lock = lock
        self._queue_lock = threading.Lock()
        self._waiting: list[_Write] = []
        self._level = ""  # SQLite's `synchronous`, as last set

    def write(self, statement: str, values: tuple[Any, ...], *, synced: bool) -> int:
        """Commit a statement; returns the number of the row that it inserted.

        Args:
            statement: changes the database.
            values: its parameters.
            synced: whether it survives a power cut; if not, it survives the process only.

        Raises:
            sqlite3.Error: it could not be written. Those that waited with it are.
        """
        own = _Write(statement, values, synced)
        with self._queue_lock:
            self._waiting.append(own)
        with self._lock:
            if not own.done:
                self._write_all(own)
        if own.error is not None:
            raise own.error
        return own.row

    def _write_all(self, own: _Write) -> None:
        with self._queue_lock:
            group, self._waiting = self._waiting, []
        try:
            if len(group) == 1 or not self._write_together(group):
                for write in group:
                    self._write_alone(write)
        except BaseException:  # Ctrl-C ends this thread's write; the others are still to be done
            with self._queue_lock:
                self._waiting[:0] = [w for w in group if not w.done and w is not own]
            raise

    def _write_together(self, group: Sequence[_Write]) -> bool:
        """Commit all, or none and return False: one of them fails."""
        self._sync(synced=any(write.synced for write in group))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            rows = [self._db.execute(w.statement, w.values).lastrowid or 0 for w in group]
            self._db.execute("COMMIT")
        except Exception:  # noqa: BLE001  (each gets its own error when it is written alone)
            return False
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        for write, row in zip(group, rows, strict=True):
            write.row, write.done = row, True
        return True

    def _write_alone(self, write: _Write) -> None:
        try:
            self._sync(synced=write.synced)
            write.row = self._db.execute(write.statement, write.values).lastrowid or 0
        except Exception as error:  # noqa: BLE001  (raised by the thread whose write it is)
            write.error = error
        write.done = True

    def _sync(self, *, synced: bool) -> None:
        level = "FULL" if synced else "NORMAL"
        if level != self._level:
            self._db.execute(f"PRAGMA synchronous={level}")
            self._level = level
