"""Writes of many threads to one SQLite file, those that wait for the disk in one transaction.

A commit that outlives the power takes as long for one row as for fifty. So whoever has the database
writes for all that wait behind it ("group commit"; DeWitt et al., SIGMOD 1984). Nobody is told that
a row is written before it is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


@dataclass(slots=True, eq=False)
class _Write:
    """A statement that is to be committed, and what came of it."""

    statement: str
    values: tuple[Any, ...]
    synced: bool
    row: int = 0
    error: Exception | None = None
    done: bool = False


class Commits:
    """Commits statements, as many as wait at once. Safe to use from several threads.

    Args:
        db: a connection in autocommit mode that several threads may use.
        lock: held by whoever uses the connection.
    """

    def __init__(self, db: sqlite3.Connection, lock: threading.Lock) -> None:
        self._db = db
        self._lock = lock
        self._queue = threading.Lock()
        self._waiting: list[_Write] = []
        self._level = ""  # of SQLite's `synchronous`, as it was last set

    def write(self, statement: str, values: tuple[Any, ...], *, synced: bool) -> int:
        """Commit a statement; returns the number of the row that it made.

        Args:
            statement: changes the database.
            values: its parameters.
            synced: whether it has to outlive the power; if not, it outlives the process.

        Raises:
            sqlite3.Error: it could not be written. Those that waited with it are.
        """
        own = _Write(statement, values, synced)
        with self._queue:
            self._waiting.append(own)
        with self._lock:
            if not own.done:
                self._write_all(own)
        if own.error is not None:
            raise own.error
        return own.row

    def _write_all(self, own: _Write) -> None:
        with self._queue:
            group, self._waiting = self._waiting, []
        try:
            if len(group) == 1 or not self._wrote_together(group):
                for write in group:
                    self._write_alone(write)
        except BaseException:  # Ctrl-C ends this thread's write; the others have still to be done
            with self._queue:
                self._waiting[:0] = [w for w in group if not w.done and w is not own]
            raise

    def _wrote_together(self, group: Sequence[_Write]) -> bool:
        """Commit all or none; False is none, for one of them fails."""
        self._sync(synced=any(write.synced for write in group))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            rows = [self._db.execute(w.statement, w.values).lastrowid or 0 for w in group]
            self._db.execute("COMMIT")
        except Exception:  # noqa: BLE001  (each is told its own when it is written alone)
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
