"""Some of the slow tests, others every time: none of them stays red unseen.

`make test-turn` sets ``PGKD_SLOW_TURN`` to the commit. From a place that follows from it, slow
tests run one after the other, and after a minute no other one begins.
"""

from __future__ import annotations

import os
import time
import zlib

import pytest

TURN = os.environ.get("PGKD_SLOW_TURN", "")
_SECONDS = 60.0
_begun = time.monotonic()


def pytest_report_header() -> str | None:
    """Say whose turn it is, so that a red one can be run again."""
    return f"slow tests in turn: PGKD_SLOW_TURN={TURN}" if TURN else None


@pytest.hookimpl(trylast=True)  # when others have been left out
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin at another test every time."""
    slow = [item for item in items if item.get_closest_marker("slow")]
    if TURN and slow:
        start = zlib.crc32(TURN.encode()) % len(slow)
        items[:] = slow[start:] + slow[:start]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave the others for another time."""
    if TURN and time.monotonic() - _begun > _SECONDS:
        pytest.skip("its turn comes with another commit")
