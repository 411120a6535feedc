"""Retries: for what may pass, after the wait that was asked for, and never without end."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import (
    BudgetExhaustedError,
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.patient import PatientTeacher

if TYPE_CHECKING:
    from collections.abc import Iterable

ASKED = Request(())


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def now(self) -> float:
        return sum(self.waits)


def patient(answers: Iterable[Any], clock: Clock, **settings: Any) -> PatientTeacher:
    return PatientTeacher(FakeTeacher(answers), sleep=clock.sleep, clock=clock.now, **settings)


def test_what_may_pass_is_retried_with_growing_bounded_waits() -> None:
    clock = Clock()
    down = [TeacherUnavailableError("down")] * 4
    assert patient([*down, "up"], clock).complete(ASKED).text == "up"
    assert all(0 <= wait <= 2**i for i, wait in enumerate(clock.waits))
    assert len(set(clock.waits)) == 4  # drawn, so that calls do not come back together


def test_the_wait_that_a_provider_asks_for_is_kept() -> None:
    clock = Clock()
    limits = [TeacherRateLimitError("slow down", retry_after) for retry_after in (7.5, 0.0)]
    assert patient([*limits, "ok"], clock).complete(ASKED).text == "ok"
    assert clock.waits == [7.5, 0.0]


@pytest.mark.parametrize(
    "error", [TeacherAuthError("key"), TeacherRequestError("bad"), BudgetExhaustedError("spent")]
)
def test_what_no_retry_can_mend_is_not_retried(error: TeacherError) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        patient([error, "never"], clock).complete(ASKED)
    assert clock.waits == []


def test_the_last_error_is_told_when_retries_or_time_are_up() -> None:
    clock = Clock()
    teacher = patient([TeacherUnavailableError(str(i)) for i in range(9)], clock, retries=2)
    with pytest.raises(TeacherUnavailableError, match="2"):
        teacher.complete(ASKED)
    assert len(clock.waits) == 2
    with pytest.raises(TeacherRateLimitError):
        patient([TeacherRateLimitError("tomorrow", 86_400)], Clock()).complete(ASKED)


def test_a_failure_of_an_earlier_life_is_not_waited_for() -> None:
    clock = Clock()
    error = TeacherUnavailableError("down, then")
    error.settled = True
    with pytest.raises(TeacherUnavailableError):
        patient([error, "never"], clock).complete(ASKED)
    assert clock.waits == []


class Crowd(Teacher):
    """Counts how many calls it has at once; says 429 to all beyond a limit."""

    concurrency = 64

    def __init__(self, limit: int) -> None:
        self.limit, self.inside, self.most, self.refused = limit, 0, 0, 0
        self.lock = threading.Lock()

    def complete(self, request: Request) -> Reply:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            too_many = self.inside > self.limit
            self.refused += too_many
        time.sleep(0.002)
        with self.lock:
            self.inside -= 1
        if too_many:
            raise TeacherRateLimitError("too many at once", 0.001)
        return Reply("ok", "m")


def ask_at_once(teacher: Teacher, n: int) -> None:
    threads = [threading.Thread(target=teacher.complete, args=(ASKED,)) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_more_calls_are_in_flight_than_were_allowed() -> None:
    crowd = Crowd(limit=64)
    ask_at_once(PatientTeacher(crowd, concurrency=5), 40)
    assert crowd.most == 5


def test_a_rate_limit_slows_all_calls_down() -> None:
    crowd = Crowd(limit=4)
    ask_at_once(PatientTeacher(crowd, concurrency=32, retries=20), 200)
    assert crowd.refused < 100  # of 200 calls: without the gate nearly every one and its retries


def test_a_teacher_that_takes_one_call_gets_one() -> None:
    assert PatientTeacher(FakeTeacher(), concurrency=64).concurrency == 1
