"""The circuit breaker: a teacher that is down is not asked again, from whichever thread."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

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
from pgkd.usage.accounted import AccountedTeacher
from pgkd.usage.breaker import Breaker
from pgkd.usage.concurrency import in_order
from pgkd.usage.ledger import Ledger
from pgkd.usage.patient import PatientTeacher
from tests.teachers.server import Server

if TYPE_CHECKING:
    from pathlib import Path

ASKED = Request(())
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
    patient = PatientTeacher(fake, retries=0)
    unavailable, down = "TeacherUnavailableError", "TeacherDownError"
    assert ends(patient, 6) == [unavailable, unavailable, down, down, down, down]
    assert len(fake.requests) == 3


def test_it_says_what_happened_how_often_and_what_to_do() -> None:
    patient = PatientTeacher(FakeTeacher([DOWN] * 9), retries=0)
    ends(patient, 3)
    with pytest.raises(TeacherDownError) as caught:
        patient.complete(ASKED)
    told = str(caught.value)
    assert "3 requests in a row" in told
    assert "no route to host." in told
    assert "run the same command again" in told


def test_a_success_starts_the_count_again() -> None:
    fake = FakeTeacher([DOWN, DOWN, "up"] * 3)
    ended = ends(PatientTeacher(fake, retries=0), 9)
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
    assert ends(PatientTeacher(fake, retries=0), 4)[2:] == ["TeacherDownError"] * 2
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
    patient = PatientTeacher(fake, retries=4, sleep=lambda _: None)
    assert ends(patient, 3)[-1] == "TeacherDownError"
    assert len(fake.requests) == 15


def test_calls_that_wait_for_a_retry_are_not_made_once_it_is_open() -> None:
    waits, over = threading.Event(), threading.Event()

    def sleep(_: float) -> None:
        waits.set()
        over.wait(10)

    fake, breaker = FakeTeacher(lambda _: DOWN), Breaker()
    fake.concurrency = 2
    others = PatientTeacher(fake, retries=0, breaker=breaker)
    waiting = PatientTeacher(fake, retries=4, breaker=breaker, sleep=sleep)
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
        teacher = PatientTeacher(AccountedTeacher(asked, ledger), retries=0, concurrency=8)
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
    breaker = Breaker(rest=30, clock=lambda: now[0])
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
