"""Group commit: writes that wait share a transaction, and each is told only its own trouble."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pgkd.usage.sqlite import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INSERT = "INSERT INTO t (v) VALUES (?)"


class Writes:
    """A table, and every statement that its connection has run."""

    def __init__(self, path: Path) -> None:
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.executescript("PRAGMA journal_mode=WAL; CREATE TABLE t (v INTEGER NOT NULL UNIQUE)")
        self.run: list[str] = []
        self.db.set_trace_callback(self.run.append)
        self.lock = threading.Lock()
        self.commits = GroupCommit(self.db, self.lock)

    def insert(self, value: object) -> int | Exception:
        try:
            return self.commits.write(INSERT, (value,), synced=True)
        except (sqlite3.Error, UnicodeError) as error:
            return error

    def insert_at_once(self, values: list[object]) -> list[int | Exception]:
        """All of them wait for the database before the first is written."""
        with ThreadPoolExecutor(len(values)) as pool:
            with self.lock:
                found = [pool.submit(self.insert, value) for value in values]
                while len(self.commits._waiting) < len(values):
                    pass
            return [future.result() for future in found]

    def values(self) -> list[int]:
        return [value for (value,) in self.db.execute("SELECT v FROM t ORDER BY v")]


@pytest.fixture
def writes(tmp_path: Path) -> Iterator[Writes]:
    made = Writes(tmp_path / "db")
    yield made
    made.db.close()


def test_writes_that_wait_share_one_transaction(writes: Writes) -> None:
    rows = writes.insert_at_once(list(range(20)))
    assert sorted(row for row in rows if isinstance(row, int)) == list(range(1, 21))
    assert writes.run.count("COMMIT") == 1
    assert writes.values() == list(range(20))
    for value, row in enumerate(rows):
        assert writes.db.execute("SELECT rowid FROM t WHERE v = ?", (value,)).fetchone() == (row,)


def test_one_that_cannot_be_written_does_not_take_the_others_along(writes: Writes) -> None:
    rows = writes.insert_at_once([1, None, 2, "a \ud800 surrogate", 3])
    assert [type(row) for row in rows] == [
        int, sqlite3.IntegrityError, int, UnicodeEncodeError, int,
    ]  # fmt: skip
    assert writes.values() == [1, 2, 3]
    assert not writes.db.in_transaction


def test_an_interrupted_write_leaves_the_others_to_be_done(
    writes: Writes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C reaches one thread in the middle of the transaction that it writes for all."""
    wrote = GroupCommit._write_together
    interrupted: list[int] = []

    def once(self: GroupCommit, group: list[object]) -> bool:
        if not interrupted:
            interrupted.append(len(group))
            raise KeyboardInterrupt
        return wrote(self, group)  # type: ignore[arg-type]

    monkeypatch.setattr(GroupCommit, "_write_together", once)
    ends: list[object] = []

    def work(value: int) -> None:
        try:
            ends.append(writes.insert(value))
        except KeyboardInterrupt:
            ends.append("interrupted")

    threads = [threading.Thread(target=work, args=(value,)) for value in range(5)]
    with writes.lock:
        for thread in threads:
            thread.start()
        while len(writes.commits._waiting) < len(threads):
            pass
    for thread in threads:
        thread.join()
    assert interrupted == [5]
    assert ends.count("interrupted") == 1
    assert len(writes.values()) == 4


def test_what_is_synced_is_synced_for_all_that_share_it(writes: Writes) -> None:
    writes.commits.write(INSERT, (1,), synced=False)
    assert writes.db.execute("PRAGMA synchronous").fetchone() == (1,)
    writes.commits.write(INSERT, (2,), synced=True)
    assert writes.db.execute("PRAGMA synchronous").fetchone() == (2,)
