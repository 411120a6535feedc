"""A teacher that waits: retries what a retry may mend, and asks as fast as the provider allows."""

from __future__ import annotations

import random
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pgkd.errors import TeacherError, TeacherRateLimitError, TeacherUnavailableError
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.usage.breaker import Breaker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_FIRST_WAIT = 1.0  # seconds, doubled with every retry
_LONGEST_WAIT = 60.0


class PatientTeacher(Teacher):
    """Repeats calls that failed for a passing reason, each after a longer wait.

    A rate limit or an unavailable server is worth a retry; a refused key or request is not. The
    wait is what the provider asks for, else drawn at random below a bound that doubles ("full
    jitter", so that calls that failed together do not come back together). A rate limit also halves
    the calls that are in flight at once; they grow again by one after as many successes.

    After three requests in a row that failed for good, nothing more is asked, and no call is
    repeated that is waiting for its turn (`Breaker`).

    Args:
        teacher: who is asked; closing it stays with who made it.
        retries: of one request at most.
        longest: seconds that one request may take with all its waits; no wait is begun that would
            end after it.
        concurrency: calls in flight at most; default: as many as the teacher takes.
        breaker: stops asking a teacher that is down; default: one of its own.
        sleep: waits so many seconds.
        clock: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        retries: int = 4,
        longest: float = 600.0,
        concurrency: int | None = None,
        breaker: Breaker | None = None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stand_for(teacher)
        self.concurrency = min(concurrency or teacher.concurrency, teacher.concurrency)
        self._teacher = teacher
        self._retries = retries
        self._longest = longest
        self._sleep = sleep
        self._clock = clock
        self._gate = _Gate(self.concurrency)
        self._breaker = breaker or Breaker()
        self._jitter = random.Random()  # noqa: S311  (spreads retries, guards no secret)

    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherDownError: too many requests in a row have failed; this call was not made, or
                was one of them.
            TeacherError: the last attempt's, or one that no retry can mend.
        """
        try:
            reply = self._answered(request)
        except TeacherError as error:
            self._breaker.failed(error)
            raise
        self._breaker.succeeded()
        return reply

    def _answered(self, request: Request) -> Reply:
        """The reply, after as many attempts as it takes."""
        end = self._clock() + self._longest
        for attempt in range(self._retries + 1):
            try:
                with self._gate.passed():
                    self._breaker.check()
                    reply = self._teacher.complete(request)
            except TeacherRateLimitError as error:
                self._gate.narrow()
                self._wait(attempt, end, error, error.retry_after)
            except TeacherUnavailableError as error:
                self._wait(attempt, end, error, None)
            else:
                self._gate.widen()
                return reply
        raise AssertionError("unreachable: the last attempt returns or raises")

    def prepare(self, requests: Sequence[Request]) -> None:
        """Pass it on."""
        self._teacher.prepare(requests)

    def _wait(self, attempt: int, end: float, error: TeacherError, asked: float | None) -> None:
        """Wait before the next attempt, or raise the error where there is none."""
        self._breaker.check()
        bound = min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)
        seconds = self._jitter.uniform(0, bound) if asked is None else max(0.0, asked)
        if error.settled or attempt == self._retries or self._clock() + seconds > end:
            raise error
        self._sleep(seconds)


def with_breaker(teacher: Teacher) -> Teacher:
    """The teacher behind a circuit breaker; itself, where it has one."""
    return teacher if isinstance(teacher, PatientTeacher) else PatientTeacher(teacher, retries=0)


class _Gate:
    """Lets so many calls through at once: additive increase, multiplicative decrease."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = most
        self._inside = 0
        self._successes = 0
        self._changed = threading.Condition()

    @contextmanager
    def passed(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._inside < self._limit)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify()

    def narrow(self) -> None:
        with self._changed:
            self._limit = max(1, self._limit // 2)
            self._successes = 0

    def widen(self) -> None:
        with self._changed:
            self._successes += 1
            if self._successes >= self._limit and self._limit < self._most:
                self._limit += 1
                self._successes = 0
                self._changed.notify()
