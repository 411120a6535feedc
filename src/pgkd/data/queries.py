"""Running a query that nobody has looked at: it may read, for a while, and nothing else."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

_READS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION,
          sqlite3.SQLITE_RECURSIVE}  # fmt: skip
_LONGEST_VALUE = 1_000_000  # bytes of a value


def run_query(path: Path, query: str, *, seconds: float, rows: int) -> list[str]:
    """The rows of a SELECT, each as text; floats are rounded to 6 digits.

    Args:
        path: of a SQLite database, which is opened read-only. Whatever else a query does than to
            read its tables is refused by an authorizer.
        query: a single statement.
        seconds: that it may take.
        rows: that it may give.

    Raises:
        ValueError: there is no such file, or the query does not run or passes a limit.
    """
    if not path.is_file():
        raise ValueError(f"there is no database {path}")
    base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE)
        base.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _READS else sqlite3.SQLITE_DENY
        )
        end = time.monotonic() + seconds
        base.set_progress_handler(lambda: time.monotonic() > end, 10_000)
        found = base.execute(query).fetchmany(rows + 1)
    except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
        slow = str(error) == "interrupted"
        raise ValueError("query too slow" if slow else "query does not run") from error
    finally:
        base.close()
    if len(found) > rows:
        raise ValueError("too many rows")
    return [repr([round(v, 6) if isinstance(v, float) else v for v in row]) for row in found]
