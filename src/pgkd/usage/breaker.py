"""A circuit breaker (Nygard, "Release It!", 2007): a teacher that is down is not asked again."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from pgkd.errors import BudgetExhaustedError, TeacherAuthError, TeacherDownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgkd.errors import TeacherError

_PASSED_OVER = (BudgetExhaustedError, TeacherAuthError, TeacherDownError)


class Breaker:
    """Counts requests in a row that failed for good, and after so many lets no other call leave.

    "In a row" is over all threads: no other request was answered in between. A success closes it,
    also one of a call that was in flight when it opened. What failed in an earlier life of the run
    does not count, nor does a budget that is used up or a refused key, which end a run at once.

    Args:
        most: requests in a row.
        rest: seconds after which one call may leave to see whether the teacher is back; None is
            never, for a command ends and is run again.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        most: int = 3,
        *,
        rest: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = most
        self._rest = rest
        self._clock = clock
        self._next_try = 0.0
        self._failures = 0
        self._told = ""
        self._lock = threading.Lock()

    def check(self) -> None:
        """Let a call leave.

        Raises:
            TeacherDownError: it must not.
        """
        if self._failures >= self._most and not self._rested():
            raise TeacherDownError(self._told)

    def succeeded(self) -> None:
        """A request was answered."""
        if self._failures:
            with self._lock:
                self._failures = 0

    def failed(self, error: TeacherError) -> None:
        """A request failed for good.

        Raises:
            TeacherDownError: so did those before it.
        """
        if error.settled or isinstance(error, _PASSED_OVER):
            return
        with self._lock:
            failures = self._failures + 1
            self._told = (
                f"{failures} requests in a row have failed, so no more calls are sent (the last "
                f"one: {error}). What was answered is kept: run the same command again when the "
                "cause is gone, and it goes on from here."
            )
            self._failures = failures
            if self._rest is not None:
                self._next_try = self._clock() + self._rest
        if failures >= self._most:
            raise TeacherDownError(self._told) from error

    def _rested(self) -> bool:
        """Whether a call may leave to see how the teacher is; the next one waits as long again."""
        if self._rest is None:
            return False
        with self._lock:
            now = self._clock()
            if now < self._next_try:
                return False
            self._next_try = now + self._rest
            return True
