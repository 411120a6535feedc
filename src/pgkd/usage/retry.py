"""Calls that are retried, slowed down to what the provider allows, and stopped when it is down."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from pgkd.errors import (
    BudgetExhaustedError,
    TeacherAuthError,
    TeacherDownError,
    TeacherError,
    TeacherRateLimitError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import Reply, Request, Teacher

_FIRST_WAIT = 1.0  # seconds, doubled with every retry
_MAX_WAIT = 60.0
_NOT_COUNTED = (BudgetExhaustedError, TeacherAuthError, TeacherDownError)
_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


class Breaker:
    """A circuit breaker (Nygard, "Release It!", 2007): stops calls to a teacher that is down.

    It opens after some failed requests in a row, over all threads: no other request was answered
    in between. A success closes it, also one of a call that was in flight when it opened. What
    failed in an earlier session of the run does not count, nor does an exhausted budget or a
    refused key, which end a run at once.

    Args:
        max_failures: requests in a row.
        cooldown: seconds after which one call may test whether the teacher is back; None is never,
            for a command ends and is run again.
        clock: seconds of a monotonic clock.
    """

    def __init__(
        self,
        max_failures: int = 3,
        *,
        cooldown: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_failures = max_failures
        self._cooldown = cooldown
        self._clock = clock
        self._next_test = 0.0
        self._failures = 0
        self._message = ""
        self._lock = threading.Lock()

    def check(self) -> None:
        """Raise TeacherDownError if no call may be sent."""
        if self._failures >= self._max_failures and not self._may_test():
            raise TeacherDownError(self._message)

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
        if error.settled or isinstance(error, _NOT_COUNTED):
            return
        with self._lock:
            failures = self._failures + 1
            self._message = (
                f"{failures} requests in a row have failed, so no more calls are sent (the last "
                f"error: {error}). All replies so far are saved: run the same command again when "
                "the cause is gone, and it continues from here."
            )
            self._failures = failures
            if self._cooldown is not None:
                self._next_test = self._clock() + self._cooldown
        if failures >= self._max_failures:
            raise TeacherDownError(self._message) from error

    def _may_test(self) -> bool:
        """Whether a call may test the teacher; the next one waits as long again."""
        if self._cooldown is None:
            return False
        with self._lock:
            now = self._clock()
            if now < self._next_test:
                return False
            self._next_test = now + self._cooldown
            return True


@dataclass(frozen=True)
class Retry:
    """How calls are repeated.

    Attributes:
        retries: of one request at most.
        timeout: seconds that one request may take with all its waits; no wait begins that would
            end later.
        concurrency: calls in flight at most; None is as many as the teacher takes.
        breaker: stops calls to a teacher that is down.
        sleep: waits so many seconds.
        clock: seconds of a monotonic clock.
    """

    retries: int = 4
    timeout: float = 600.0
    concurrency: int | None = None
    breaker: Breaker = field(default_factory=Breaker)
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic


class RetryingTeacher(Teacher):
    """Repeats calls that failed for a temporary reason, each after a longer wait.

    A rate limit or an unavailable server is worth a retry; a refused key or request is not. The
    wait is what the provider asks for, else drawn at random below a bound that doubles ("full
    jitter", so that calls that failed together do not return together). A rate limit also halves
    the calls that are in flight at once; they grow again by one after as many successes.

    After three requests in a row that failed for good, no more calls are sent, also none that was
    waiting for its retry (`Breaker`).

    Args:
        teacher: answers; closing it is up to its owner.
        retry: how calls are repeated.
    """

    def __init__(self, teacher: Teacher, retry: Retry | None = None) -> None:
        self._copy_traits(teacher)
        self._teacher = teacher
        self._retry = retry or Retry()
        self.concurrency = min(self._retry.concurrency or teacher.concurrency, teacher.concurrency)
        self._gate = _Gate(self.concurrency)
        self._jitter = random.Random()  # noqa: S311  (spreads retries, guards no secret)

    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherDownError: too many requests in a row have failed; this call was not made, or
                was one of them.
            TeacherError: the last attempt's, or one that no retry can fix.
        """
        try:
            reply = self._complete_with_retries(request)
        except TeacherError as error:
            self._retry.breaker.failed(error)
            raise
        self._retry.breaker.succeeded()
        return reply

    def prepare(self, requests: Sequence[Request]) -> None:
        """Pass them on to the teacher."""
        self._teacher.prepare(requests)

    def _complete_once(self, request: Request) -> Reply:
        return self._teacher.complete(request)

    def _complete_with_retries(self, request: Request) -> Reply:
        end = self._retry.clock() + self._retry.timeout
        for attempt in range(self._retry.retries + 1):
            try:
                with self._gate.entered():
                    self._retry.breaker.check()
                    reply = self._complete_once(request)
            except TeacherRateLimitError as error:
                self._gate.narrow()
                self._wait(attempt, end, error, error.retry_after)
            except TeacherUnavailableError as error:
                self._wait(attempt, end, error, None)
            else:
                self._gate.widen()
                return reply
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _wait(
        self, attempt: int, end: float, error: TeacherError, retry_after: float | None
    ) -> None:
        """Wait before the next attempt, or raise the error if there is none."""
        self._retry.breaker.check()
        bound = min(_MAX_WAIT, _FIRST_WAIT * 2**attempt)
        wait = self._jitter.uniform(0, bound) if retry_after is None else max(0.0, retry_after)
        is_last = attempt == self._retry.retries or self._retry.clock() + wait > end
        if error.settled or is_last:
            raise error
        self._retry.sleep(wait)


class _Gate:
    """Limits the calls in flight: additive increase, multiplicative decrease."""

    def __init__(self, max_calls: int) -> None:
        self._max = max_calls
        self._limit = max_calls
        self._in_flight = 0
        self._successes = 0
        self._changed = threading.Condition()

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._changed:
            self._changed.wait_for(lambda: self._in_flight < self._limit)
            self._in_flight += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_flight -= 1
                self._changed.notify()

    def narrow(self) -> None:
        with self._changed:
            self._limit = max(1, self._limit // 2)
            self._successes = 0

    def widen(self) -> None:
        with self._changed:
            self._successes += 1
            if self._successes >= self._limit and self._limit < self._max:
                self._limit += 1
                self._successes = 0
                self._changed.notify()


def with_breaker(teacher: Teacher) -> Teacher:
    """The teacher behind a circuit breaker; itself, where it has one."""
    return teacher if isinstance(teacher, RetryingTeacher) else RetryingTeacher(teacher, Retry(0))


def in_order(
    teacher: Teacher,
    call: Callable[[_Item], _Result],
    items: Iterable[_Item],
    *,
    on_end: Callable[[], object] = lambda: None,
) -> Generator[_Result]:
    """The results of `call` in the order of the items, with as many in flight as the teacher takes.

    When the caller stops early, or a call raises, those in flight are waited for, for they are
    paid, and no other begins: close the generator, or exhaust it.

    Args:
        teacher: whose calls they are.
        call: makes a call for an item.
        items: one for each call.
        on_end: called when no more is wanted, before those in flight are waited for.
    """
    if teacher.concurrency == 1:  # in this thread, where Ctrl-C is heard
        yield from map(call, items)
        return
    with ThreadPoolExecutor(teacher.concurrency, "pgkd-teacher") as pool:
        try:
            yield from pool.map(call, items)
        finally:
            on_end()
            pool.shutdown(wait=True, cancel_futures=True)
