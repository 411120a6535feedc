"""The SQLite file of a ledger, to write or to read, and what its rows hold.

Anybody may have made the file, so nothing in it is trusted.

Reading writes nothing: a run on a read-only disk can be looked at. SQLite itself would make two
files beside a database in WAL mode, even to read it.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
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
_LONGEST_VALUE = 64 << 20  # bytes of a request or a reply
_MOST = 10**12  # tokens, seconds or dollars of a call


def connect(path: str, *, uri: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode that several threads may use."""
    db = sqlite3.connect(path, check_same_thread=False, isolation_level=None, uri=uri)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
    return db


def check_files(path: Path, within: Path | None = None) -> None:
    """See that SQLite will open regular files, for at a pipe it would wait for ever.

    Raises:
        RunError: one of them is something else.
    """
    for suffix in ("", "-wal", "-shm", "-journal"):
        check_kind(path.with_name(path.name + suffix), RunError, within=within)


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open an SQLite file without writing, also where nothing can be written."""
    address = path.resolve().as_uri() + "?mode=ro"
    wal = path.with_name(path.name + "-wal")
    try:
        is_open = wal.stat().st_size > 0
    except FileNotFoundError:
        is_open = False
    if not is_open:  # nobody writes it now, and SQLite would make two files beside it
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
    """Whether there is a table of calls. A view could compute without end.

    Raises:
        RunError: there are views or triggers, which pgkd never makes, or a column is missing.
    """
    found = db.execute("SELECT type, name FROM sqlite_master").fetchall()
    if any(kind in ("view", "trigger") for kind, _ in found):
        raise RunError(f"{path} is no record of calls: it holds views or triggers.")
    if ("table", "calls") not in found:
        return False
    there = {row[1] for row in db.execute("PRAGMA table_info(calls)")}
    missing = [name for name in COLUMNS.split(", ") if name not in there]
    if missing:
        raise RunError(f"{path} is no record of calls: it has no column '{missing[0]}'.")
    return True


def reply_from(data: dict[str, Any]) -> Reply:
    """A reply as a row holds it.

    Raises:
        TypeError, ValueError: it is none.
    """
    reply = Reply.from_json(data)
    counts = (reply.input_tokens, reply.output_tokens, reply.cached_tokens)
    if not isinstance(reply.text, str) or not isinstance(reply.model, str):
        raise ValueError("a reply is no text")
    if not all(each is None or (isinstance(each, int) and 0 <= each < _MOST) for each in counts):
        raise ValueError("a count of tokens is no number")
    if not isinstance(reply.seconds, int | float) or not 0 <= reply.seconds < _MOST:
        raise ValueError("the seconds of a reply are no number")
    return reply


def request_from(data: dict[str, Any]) -> dict[str, Any]:
    """A request as a row holds it.

    Raises:
        ValueError: it is none.
    """
    messages = data.get("messages")
    if not isinstance(messages, list) or not all(
        isinstance(each, dict)
        and isinstance(each.get("role"), str)
        and isinstance(each.get("content"), str)
        for each in messages
    ):
        raise ValueError("a request has no messages")
    return data


def money_from(told: str) -> Decimal:
    """An amount of dollars as a row holds it.

    Raises:
        ArithmeticError, TypeError, ValueError: it is none.
    """
    amount = Decimal(told)
    if not amount.is_finite() or not -_MOST < amount < _MOST:
        raise ValueError("an amount is no number")
    return amount
