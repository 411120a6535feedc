"""Retries: for temporary errors, after the requested wait, never without end; and the breaker."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pgkd.errors import (
    BudgetExhaustedError,
    TeacherAuthError,
    TeacherDownError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher
from pgkd.usage.retry import Breaker, Retry, RetryingTeacher, in_order
from tests.teachers.server import Server

ASKED = Request(())


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    def now(self) -> float:
        return sum(self.waits)


def retrying(answers: Iterable[Any], clock: Clock, **settings: Any) -> RetryingTeacher:
    return RetryingTeacher(
        FakeTeacher(answers), Retry(sleep=clock.sleep, clock=clock.now, **settings)
    )


def test_what_may_pass_is_retried_with_growing_bounded_waits() -> None:
    clock = Clock()
    down = [TeacherUnavailableError("down")] * 4
    assert retrying([*down, "up"], clock).complete(ASKED).text == "up"
    assert all(0 <= wait <= 2**i for i, wait in enumerate(clock.waits))
    assert len(set(clock.waits)) == 4  # drawn, so that calls do not come back together


def test_the_wait_that_a_provider_asks_for_is_kept() -> None:
    clock = Clock()
    limits = [TeacherRateLimitError("slow down", retry_after) for retry_after in (7.5, 0.0)]
    assert retrying([*limits, "ok"], clock).complete(ASKED).text == "ok"
    assert clock.waits == [7.5, 0.0]


@pytest.mark.parametrize(
    "error", [TeacherAuthError("key"), TeacherRequestError("bad"), BudgetExhaustedError("spent")]
)
def test_what_no_retry_can_mend_is_not_retried(error: TeacherError) -> None:
    clock = Clock()
    with pytest.raises(type(error)):
        retrying([error, "never"], clock).complete(ASKED)
    assert clock.waits == []


def test_the_last_error_is_told_when_retries_or_time_are_up() -> None:
    clock = Clock()
    teacher = retrying([TeacherUnavailableError(str(i)) for i in range(9)], clock, retries=2)
    with pytest.raises(TeacherUnavailableError, match="2"):
        teacher.complete(ASKED)
    assert len(clock.waits) == 2
    with pytest.raises(TeacherRateLimitError):
        retrying([TeacherRateLimitError("tomorrow", 86_400)], Clock()).complete(ASKED)


def test_a_failure_of_an_earlier_life_is_not_waited_for() -> None:
    clock = Clock()
    error = TeacherUnavailableError("down, then")
    error.settled = True
    with pytest.raises(TeacherUnavailableError):
        retrying([error, "never"], clock).complete(ASKED)
    assert clock.waits == []


class Crowded(Teacher):
    """Counts how many calls it has at once; says 429 to all beyond a limit.

    With `together`, a call ends only when so many are inside at once.
    """

    concurrency = 64

    def __init__(self, limit: int, together: int = 1) -> None:
        self.limit, self.inside, self.most, self.refused = limit, 0, 0, 0
        self.lock = threading.Lock()
        self.together = threading.Barrier(together, timeout=60)

    def complete(self, request: Request) -> Reply:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            too_many = self.inside > self.limit
            self.refused += too_many
        self.together.wait()
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
    crowd = Crowded(limit=64, together=5)
    ask_at_once(RetryingTeacher(crowd, Retry(concurrency=5)), 40)
    assert crowd.most == 5


def test_a_rate_limit_slows_all_calls_down() -> None:
    crowd = Crowded(limit=4)
    ask_at_once(RetryingTeacher(crowd, Retry(concurrency=32, retries=20)), 200)
    assert crowd.refused < 100  # of 200 calls: without the gate nearly every one and its retries


def test_a_teacher_that_takes_one_call_gets_one() -> None:
    assert RetryingTeacher(FakeTeacher(), Retry(concurrency=64)).concurrency == 1


# The circuit breaker: a teacher that is down is not called again, from whichever thread.

DOWN = TeacherUnavailableError("no route to host.")


def ends(teacher: Teacher, n: int) -> list[str]:
    """How so many calls end, one after the other."""
    found = []
    for _ in range(n):
        try:
            found.append(teacher.complete(ASKED).text)
        except TeacherError as error:
            found.append(type(error).__name__)
    return found


def test_after_three_failures_in_a_row_nothing_more_is_asked() -> None:
    fake = FakeTeacher([DOWN] * 9)
    teacher = RetryingTeacher(fake, Retry(retries=0))
    unavailable, down = "TeacherUnavailableError", "TeacherDownError"
    assert ends(teacher, 6) == [unavailable, unavailable, down, down, down, down]
    assert len(fake.requests) == 3


def test_it_says_what_happened_how_often_and_what_to_do() -> None:
    teacher = RetryingTeacher(FakeTeacher([DOWN] * 9), Retry(retries=0))
    ends(teacher, 3)
    with pytest.raises(TeacherDownError) as caught:
        teacher.complete(ASKED)
    told = str(caught.value)
    assert "3 requests in a row" in told
    assert "no route to host." in told
    assert "run the same command again" in told


def test_a_success_starts_the_count_again() -> None:
    fake = FakeTeacher([DOWN, DOWN, "up"] * 3)
    ended = ends(RetryingTeacher(fake, Retry(retries=0)), 9)
    assert ended == ["TeacherUnavailableError", "TeacherUnavailableError", "up"] * 3


def test_an_answer_to_a_call_in_flight_closes_it() -> None:
    breaker = Breaker(1)
    with pytest.raises(TeacherDownError):
        breaker.failed(DOWN)
    with pytest.raises(TeacherDownError):
        breaker.check()
    breaker.succeeded()
    breaker.check()


@pytest.mark.parametrize(
    "error", [TeacherRateLimitError("slow down"), TeacherRequestError("bad"), TeacherError("odd")]
)
def test_other_failures_count_too(error: TeacherError) -> None:
    fake = FakeTeacher([error] * 9)
    assert ends(RetryingTeacher(fake, Retry(retries=0)), 4)[2:] == ["TeacherDownError"] * 2
    assert len(fake.requests) == 3


def test_what_ends_a_run_by_itself_or_is_of_its_earlier_life_does_not_count() -> None:
    settled = TeacherUnavailableError("down")
    settled.settled = True
    breaker = Breaker(1)
    for error in (BudgetExhaustedError("spent"), TeacherAuthError("key"), settled):
        breaker.failed(error)
    breaker.check()


def test_retries_of_one_request_are_one_failure() -> None:
    fake = FakeTeacher([DOWN] * 99)
    teacher = RetryingTeacher(fake, Retry(retries=4, sleep=lambda _: None))
    assert ends(teacher, 3)[-1] == "TeacherDownError"
    assert len(fake.requests) == 15


def test_calls_that_wait_for_a_retry_are_not_made_once_it_is_open() -> None:
    waits, over = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        waits.set()
        over.wait(10)

    fake, breaker = FakeTeacher(lambda _: DOWN), Breaker()
    fake.concurrency = 2
    others = RetryingTeacher(fake, Retry(retries=0, breaker=breaker))
    waiting = RetryingTeacher(fake, Retry(retries=4, breaker=breaker, sleep=sleep))
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(waiting.complete, ASKED)
        waits.wait(10)
        ends(others, 3)
        over.set()
        assert isinstance(late.exception(10), TeacherDownError)
    assert len(fake.requests) == 4


def test_over_many_threads_a_provider_that_is_down_gets_few_calls_and_the_work_is_kept(
    tmp_path: Path,
) -> None:
    """A real server answers twenty requests, then nothing but 503s."""
    answer = {"choices": [{"message": {"content": "text"}, "finish_reason": "stop"}]}
    server = Server(path="/v1")
    server.answers = [*[(200, answer, {})] * 20, (503, {}, {})]
    requests = [Request((), id=f"r1-{i:04d}", repeat=i) for i in range(200)]
    with (
        server.running() as url,
        Ledger(tmp_path / "l") as ledger,
        OpenAITeacher("m", base_url=url) as asked,
    ):
        teacher = MeteredTeacher(asked, ledger, retry=Retry(retries=0, concurrency=8))
        replies: list[Reply] = []
        with pytest.raises(TeacherError):
            replies += in_order(teacher, teacher.complete, requests)
        with pytest.raises(TeacherDownError):
            teacher.complete(requests[-1])
        kept = [call for call in ledger.calls() if call.state == "replied"]
    assert len(kept) == 20
    # Three in a row, and what was in flight; a late answer begins the count anew.
    assert len(server.seen) < 60


def test_a_server_tries_one_call_after_a_rest() -> None:
    now = [100.0]
    breaker = Breaker(cooldown=30, clock=lambda: now[0])
    for _ in range(2):
        breaker.failed(TeacherUnavailableError("no route to host."))
    with pytest.raises(TeacherDownError):
        breaker.failed(TeacherUnavailableError("no route to host."))
    now[0] += 29
    with pytest.raises(TeacherDownError):
        breaker.check()
    now[0] += 1
    breaker.check()  # one call leaves
    with pytest.raises(TeacherDownError):
        breaker.check()  # and no other beside it
    with pytest.raises(TeacherDownError):
        breaker.failed(TeacherUnavailableError("no route to host."))
    now[0] += 30
    breaker.check()
    breaker.succeeded()
    breaker.check()
    breaker.check()
