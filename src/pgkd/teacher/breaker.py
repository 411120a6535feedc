"""A circuit breaker (Nygard, "Release It!", 2007): a teacher that is down is not asked again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pgkd.errors import BudgetExhaustedError, TeacherAuthError, TeacherDownError

if TYPE_CHECKING:
    from pgkd.errors import TeacherError

_PASSED_OVER = (BudgetExhaustedError, TeacherAuthError, TeacherDownError)


class Breaker:
    """Counts requests in a row that failed for good, and after so many lets no other call leave.

    "In a row" is over all threads: no other request was answered in between. A success closes it,
    also one of a call that was in flight when it opened. What failed in an earlier life of the run
    does not count, nor does a budget that is used up or a refused key, which end a run at once.

    Args:
        most: requests in a row.
    """

    def __init__(self, most: int = 3) -> None:
        self._most = most
        self._failures = 0
        self._told = ""
        self._lock = threading.Lock()

    def check(self) -> None:
        """Let a call leave.

        Raises:
            TeacherDownError: it must not.
        """
        if self._failures >= self._most:
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
        if failures >= self._most:
            raise TeacherDownError(self._told) from error
