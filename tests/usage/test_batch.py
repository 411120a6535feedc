"""Batches, before servers on loopback that speak OpenAI's and Anthropic's wire formats."""

from __future__ import annotations

import time
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import (
    BudgetExhaustedError,
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers import sdk
from pgkd.teachers.anthropic import AnthropicTeacher
from pgkd.teachers.base import Message, Request, Sampling
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.teachers.sdk import read_records
from pgkd.usage import batch
from pgkd.usage.batch import BatchProgress, BatchTeacher
from pgkd.usage.budget import Amount, SpendingLimits, most_tokens
from pgkd.usage.cache import ReplyCache
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import total_used
from pgkd.usage.prices import GivenPrices
from pgkd.usage.retry import Retry
from tests.teachers.batch_services import AnthropicService, End, Fault, OpenAIService, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pgkd.usage.ledger import Call

KEY = "sk-very-secret-1234567890"
PRICES = GivenPrices(Decimal(1), Decimal(2))
WHOLE = Decimal(12 + 2 * 3) / 1_000_000  # dollars of a reply of 12 + 3 tokens
SUBMIT = {"OpenAIService": "POST /v1/batches", "AnthropicService": "POST /v1/messages/batches"}
LOOK = {"OpenAIService": "GET /v1/batches/b", "AnthropicService": "GET /v1/messages/batches/b"}
TEACHERS = {"OpenAIService": OpenAITeacher, "AnthropicService": AnthropicTeacher}


class Killed(BaseException):
    """The process ends here."""


class Desk:
    """A service, and a ledger on which one life of a run after the other works."""

    def __init__(self, service: Service, url: str, folder: Path) -> None:
        self.service = service
        self.path = folder / "ledger.sqlite"
        self.told: list[BatchProgress] = []
        self.slept: list[float] = []
        self._url = url
        self._maker: Any = TEACHERS[type(service).__name__]

    @contextmanager
    def life(self, sleep: Any = None, **settings: Any) -> Iterator[BatchTeacher]:
        """One life of the run, from its ledger to its end."""
        usual: dict[str, Any] = {
            "prices": PRICES,
            "on_progress": self.told.append,
            "retry": Retry(0, sleep=sleep or self.slept.append),
        }
        with (
            Ledger(self.path) as ledger,
            self._maker("asked", base_url=self._url, api_key_env="TEST_KEY") as teacher,
        ):
            ledger.abandon()
            yield BatchTeacher(teacher, ledger, **(usual | settings))

    def calls(self) -> list[Call]:
        with Ledger(self.path) as ledger:
            return list(ledger.calls())

    @property
    def states(self) -> str:
        return " ".join(call.state for call in self.calls())

    @property
    def errors(self) -> str:
        return "\n".join(progress.error for progress in self.told if progress.error)

    @property
    def submit(self) -> str:
        return SUBMIT[type(self.service).__name__]

    @property
    def look(self) -> str:
        return LOOK[type(self.service).__name__]


def asked(n: int) -> list[Request]:
    return [
        Request((Message("user", f"write {i}"),), None, Sampling(max_tokens=100), id=f"r1-{i}")
        for i in range(n)
    ]


def fetch(life: BatchTeacher, requests: list[Request]) -> list[str]:
    """What the writer does in a round."""
    life.prepare(requests)
    return [life.complete(request).text for request in requests]


def answers(n: int) -> list[str]:
    return [f"to write {i}" for i in range(n)]


@pytest.fixture(params=[OpenAIService, AnthropicService])
def service(request: pytest.FixtureRequest) -> Service:
    made: Service = request.param()
    return made


@pytest.fixture
def desk(service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("TEST_KEY", KEY)
    with service.running() as url:
        yield Desk(service, url, tmp_path)


def test_a_round_comes_in_one_batch_at_half_the_price(desk: Desk, service: Service) -> None:
    service.looks = 3
    service.shaped = lambda lines: lines[::-1]  # the order is the provider's
    with desk.life() as life:
        assert fetch(life, asked(5)) == answers(5)
    assert service.asked == []
    assert service.submitted == [f"write {i}" for i in range(5)]
    assert {call.cost for call in desk.calls()} == {WHOLE / 2}
    assert {call.price_source for call in desk.calls()} == {"given, half for a batch"}
    [batch] = service.batches.values()
    assert [f"{call.batch}-{call.n}" for call in desk.calls()] == list(batch.requests)
    assert desk.slept == [2.0, 3.0, 4.5, 6.75]  # longer and longer
    assert desk.told[-1] == BatchProgress(0, 0)
    assert BatchProgress(5, 0) in desk.told


def test_its_requests_are_those_that_would_be_asked_at_once(desk: Desk, service: Service) -> None:
    request = Request(
        (Message("system", "You write."), Message("user", "Cards.")),
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"],
         "additionalProperties": False},
        Sampling(seed=7),
    )  # fmt: skip
    with desk.life() as life:
        life.prepare([request])
        life._teacher.complete(request)
    [batch] = service.batches.values()
    assert [*batch.requests.values()] == service.asked


@pytest.mark.parametrize("end", ["refused", "expired", "missing", "damaged"])
def test_what_failed_in_the_batch_is_asked_at_once_at_the_whole_price(
    desk: Desk, service: Service, end: End
) -> None:
    service.ends = lambda n: end if n in (1, 3) else "answered"
    with desk.life() as life:
        assert fetch(life, asked(4)) == answers(4)
    assert [body["messages"][-1]["content"] for body in service.asked] == ["write 1", "write 3"]
    assert desk.states == "replied failed replied failed replied replied"
    costs = Counter(call.cost for call in desk.calls())
    assert costs == {WHOLE / 2: 2, WHOLE: 2, None: 2}
    assert "2 of 4 requests have no answer" in desk.errors
    charged = end in ("missing", "damaged")  # perhaps: nobody knows
    kinds = {call.error_kind for call in desk.calls() if call.state == "failed"}
    assert (kinds == {"TeacherUnavailableError"}) == charged


def test_what_a_batch_was_refused_for_is_learnt_by_one_call_and_the_rest_is_a_batch_again(
    desk: Desk, service: Service
) -> None:
    service.ends = lambda n: "refused" if len(service.batches) == 1 else "answered"
    service.quoted = "temperature: not supported; the grammar is too large"
    single = "POST /v1/chat" if desk.submit == "POST /v1/batches" else "POST /v1/messages"
    results_read: list[int] = []

    def shaped(lines: list[bytes]) -> list[bytes]:
        if not results_read:  # the next call is not a batch
            service.faults = [Fault(single, 400)]
        results_read.append(len(lines))
        return lines

    service.shaped = shaped
    schema = {
        "type": "object",
        "properties": {"label": {"type": "string", "enum": ["a", "b"]}},
        "required": ["label"],
        "additionalProperties": False,
    }
    requests = [replace(request, schema=schema) for request in asked(4)]
    with desk.life() as life:
        assert fetch(life, requests) == answers(4)
    assert len(service.asked) == 1
    assert [len(batch.requests) for batch in service.batches.values()] == [4, 3]
    assert desk.states.split() == ["failed"] * 5 + ["replied"] * 4


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_batch_that_ended_early_gives_what_it_has(
    status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = OpenAIService()
    service.status = status
    service.ends = lambda n: "answered" if n < 2 else "expired"
    monkeypatch.setenv("TEST_KEY", KEY)
    with service.running() as url:
        desk = Desk(service, url, tmp_path)
        with desk.life() as life:
            assert fetch(life, asked(4)) == answers(4)
    assert len(service.asked) == 2


def test_a_batch_that_is_refused_ends_the_round_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To ask one by one would cost twice what the user chose to pay."""
    service = OpenAIService()
    service.status, service.quoted = "failed", KEY
    monkeypatch.setenv("TEST_KEY", KEY)
    with service.running() as url:
        desk = Desk(service, url, tmp_path)
        with desk.life() as life, pytest.raises(TeacherRequestError, match="no batches for this"):
            life.prepare(asked(2))
        assert desk.states == "failed failed"
        assert "--no-batch sends single calls" in desk.errors
        assert all(KEY not in str(call.error) for call in desk.calls())
        service.status = "completed"
        with desk.life() as life:  # the round where the run ended: worth another try
            assert fetch(life, asked(2)) == answers(2)
    assert len(service.batches) == 2


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, TeacherRequestError), (404, TeacherRequestError), (401, TeacherAuthError)],
)
def test_a_submission_that_is_refused_is_told(
    desk: Desk, service: Service, status: int, error: type[TeacherError]
) -> None:
    service.faults = [Fault(desk.submit, status)]
    with desk.life() as life, pytest.raises(error):
        life.prepare(asked(2))
    assert desk.states == "failed failed"
    assert service.asked == []


def test_strange_lines_among_the_results_are_passed_over(desk: Desk, service: Service) -> None:
    strange = [
        b"", b"null", b"[1]", b'"x"', b"{", b"\xff\xfe", b"[" * 100_000, b'{"custom_id": 5}', b"{}",
        b'{"custom_id": "another"}', b'{"custom_id": "pgkd-0-1", "result": {"type": "succeeded"}}',
    ]  # fmt: skip
    service.shaped = lambda lines: [*strange, lines[0], lines[0], *lines[1:], *strange]
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert service.asked == []


@pytest.mark.parametrize(
    "result",
    ['"response": null, "result": null', '"response": {"status_code": 200, "body": "x"}, '
     '"result": {"type": "succeeded", "message": "x"}', '"response": {"status_code": "x"}, '
     '"error": "x", "result": {"type": "errored", "error": "x"}', '"x": 1'],
)  # fmt: skip
def test_a_result_that_is_none_is_a_failure(desk: Desk, service: Service, result: str) -> None:
    def shaped(lines: list[bytes]) -> list[bytes]:
        [batch] = service.batches.values()
        return [f'{{"custom_id": "{name}", {result}}}'.encode() for name in batch.requests]

    service.shaped = shaped
    with desk.life() as life:
        assert fetch(life, asked(1)) == answers(1)
    assert desk.states == "failed replied"


def test_a_huge_result_is_not_read(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "MAX_LINE", 10_000)
    service.shaped = lambda lines: [lines[0].replace(b"to write", b"x" * 10_000), *lines[1:]]
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert len(service.asked) == 1


def test_results_without_end_are_not_read_and_not_given_up(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "_MAX_FILE", 500_000)
    service.shaped = lambda lines: [lines[0], *[b"x" * 1000] * 5_000, *lines[1:]]
    with desk.life() as life, pytest.raises(TeacherError, match=r"more than 500000 bytes.*--no-b"):
        life.prepare(asked(3))
    assert desk.states == "replied in flight in flight"
    monkeypatch.undo()
    monkeypatch.setenv("TEST_KEY", KEY)
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert len(service.batches) == 1


def test_records_do_not_depend_on_how_the_bytes_come() -> None:
    data = b'{"a": 1}\n\n{"a": {"b": "\xc3\xa9"}}\r\nno\n{"a": 3}'
    for size in (1, 2, 3, 7, len(data)):
        chunks = [data[i : i + size] for i in range(0, len(data), size)]
        first, second, third = read_records(chunks)
        assert (first.a, second.a.b, third.a) == (1, "é", 3)


def test_a_line_without_end_does_not_fill_the_memory() -> None:
    def poured() -> Iterator[bytes]:
        for _ in range(1000):
            yield b"x" * 65_536
        yield b'\n{"a": 1}\n'

    tracemalloc.start()
    try:
        [record] = read_records(poured())
        assert tracemalloc.get_traced_memory()[1] < 3 * sdk.MAX_LINE
    finally:
        tracemalloc.stop()
    assert record.a == 1


# Restarts


def kill_after(n: int, call: Callable[..., Any]) -> Callable[..., Any]:
    """A function that does its work n times, and then ends the process before it."""
    left = iter(range(n))

    def killed(*args: Any, **settings: Any) -> Any:
        if next(left, None) is None:
            raise Killed
        return call(*args, **settings)

    return killed


POINTS: dict[str, tuple[type, str, int]] = {
    "the third row is written": (Ledger, "begin", 2),
    "the tag is written": (Ledger, "open_batch", 0),
    "the batch leaves": (sdk.SdkBatches, "_call", 0),
    "its name is written": (Ledger, "name_batch", 0),
    "the first result is written": (Ledger, "finish", 0),
    "the third result is written": (Ledger, "finish", 2),
}


@pytest.mark.parametrize("point", POINTS)
def test_a_run_that_is_killed_before_anything_hands_nothing_in_twice(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    owner, name, n = POINTS[point]
    with desk.life(limits=SpendingLimits(calls=5)) as life, monkeypatch.context() as patched:
        if owner is Ledger:
            patched.setattr(owner, name, kill_after(n, getattr(owner, name)))
        else:
            patched.setattr(life._api, name, kill_after(n, getattr(life._api, name)))
        with pytest.raises(Killed):
            life.prepare(asked(5))
    with desk.life(limits=SpendingLimits(calls=5)) as life:  # the budget has room for no call more
        assert fetch(life, asked(5)) == answers(5)
        assert life._budget.used == total_used(life._ledger.calls())
    assert Counter(service.submitted) == {f"write {i}": 1 for i in range(5)}
    assert service.asked == []
    assert desk.states == " ".join(["replied"] * 5)
    assert total_used(desk.calls()) == Amount(5, 5 * 15, WHOLE / 2 * 5)


def test_a_run_that_ends_while_it_waits_goes_on_waiting(desk: Desk, service: Service) -> None:
    service.looks = 10

    def ctrl_c(seconds: float) -> None:
        if len(desk.slept) == 4:
            raise KeyboardInterrupt
        desk.slept.append(seconds)

    with desk.life(sleep=ctrl_c) as life, pytest.raises(KeyboardInterrupt):
        life.prepare(asked(3))
    assert desk.states == "in flight in flight in flight"
    with Ledger(desk.path) as ledger:
        assert ledger.abandon() == []  # they are not lost
        [left] = ledger.open_batches()
    assert (left.id, left.size, len(left.calls)) == ("batch_1", 3, 3)
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert service.submitted == ["write 0", "write 1", "write 2"]


def test_without_batches_an_earlier_one_is_still_collected(desk: Desk, service: Service) -> None:
    with desk.life(sleep=kill_after(0, print)) as life, pytest.raises(Killed):
        life.prepare(asked(3))
    with desk.life(submits=False) as life:
        assert fetch(life, asked(4)) == answers(4)
    assert service.submitted == ["write 0", "write 1", "write 2"]
    assert [body["messages"][-1]["content"] for body in service.asked] == ["write 3"]


def test_a_batch_that_the_provider_does_not_know_is_given_up_only_when_told_so(
    desk: Desk, service: Service
) -> None:
    with desk.life(sleep=kill_after(0, print)) as life, pytest.raises(Killed):
        life.prepare(asked(2))
    service.batches.clear()
    with desk.life() as life, pytest.raises(TeacherError, match=r"does not know it.*--no-batch"):
        life.prepare(asked(2))
    assert desk.states == "in flight in flight"
    limits = SpendingLimits(calls=3)
    with desk.life(submits=False, limits=limits) as life:
        life.prepare(asked(2))
        assert "counts as charged" in desk.errors
        assert desk.states == "lost lost"
        assert life.complete(asked(2)[0]).text == "to write 0"
        with pytest.raises(BudgetExhaustedError):
            life.complete(asked(2)[1])


def test_a_submission_that_never_arrived_is_given_up_too(desk: Desk, service: Service) -> None:
    with desk.life() as life:
        life._api.submit = kill_after(0, print)  # type: ignore[method-assign]
        with pytest.raises(Killed):
            life.prepare(asked(2))
    with desk.life(submits=False) as life:
        assert fetch(life, asked(2)) == answers(2)
    assert service.batches == {}
    assert desk.states == "lost lost replied replied"


# Trouble


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("status", [0, 500])
def test_a_submission_that_broke_off_is_looked_for_before_it_is_repeated(
    desk: Desk, service: Service, status: int, late: bool
) -> None:
    service.faults = [Fault(desk.submit, status, late)]
    service.add({"another": {}}, "another")  # somebody else's, of another size
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert len(service.batches) == 2
    assert service.asked == []
    assert desk.states == "replied replied replied"


def test_trouble_while_waiting_is_waited_out(desk: Desk, service: Service) -> None:
    limited = Fault(desk.look, 429, headers={"retry-after": "77"})
    service.faults = [Fault(desk.look), Fault(desk.look, 503), limited]
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert 77.0 in desk.slept
    assert "fault" in desk.errors
    assert len(service.batches) == 1


def test_results_that_break_off_are_read_again(desk: Desk, service: Service) -> None:
    with desk.life(sleep=kill_after(1, desk.slept.append)) as life, pytest.raises(Killed):
        life.prepare(asked(3))
    results = "GET /v1/files/output" if "Open" in type(service).__name__ else "GET /v1/messages/b"
    looks = [] if "Open" in type(service).__name__ else [Fault(desk.look, 500)]
    service.faults = [*looks, Fault(results)]
    with desk.life() as life:
        assert fetch(life, asked(3)) == answers(3)
    assert service.asked == []


def test_an_hour_of_trouble_ends_the_wait_and_loses_nothing(desk: Desk, service: Service) -> None:
    service.faults = [Fault(desk.submit, 429) for _ in range(100)]
    with desk.life() as life, pytest.raises(TeacherError, match="fault"):
        life.prepare(asked(2))
    assert 3000 < sum(desk.slept) <= 3600
    assert desk.states == "in flight in flight"
    service.faults = []
    with desk.life() as life:
        assert fetch(life, asked(2)) == answers(2)
    assert len(service.batches) == 1


def test_a_batch_that_does_not_end_is_left_after_a_day(
    desk: Desk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MAX_POLL", 1800.0)  # the test has no day
    service.looks = 10**9
    with desk.life() as life, pytest.raises(TeacherError, match="batch_1 within a day"):
        life.prepare(asked(2))
    assert 24 * 3600 < sum(desk.slept) <= 26 * 3600
    assert desk.states == "in flight in flight"


def test_no_row_and_no_log_tells_the_key(
    desk: Desk, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    service.quoted = KEY
    service.ends = lambda n: "refused" if n else "expired"
    service.faults = [Fault(desk.submit, 500), Fault(desk.look, 503)]
    with desk.life() as life:
        assert fetch(life, asked(2)) == answers(2)
    assert "[key]" in desk.errors
    assert KEY not in desk.errors
    assert all(KEY.encode() not in path.read_bytes() for path in desk.path.parent.iterdir())
    assert "refused [key]" in str(desk.calls()[1].error)
    assert caplog.text
    assert KEY not in caplog.text


# Looking for a batch whose name was never heard


def test_openai_tells_a_batch_by_its_tag_on_any_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = OpenAIService()
    monkeypatch.setenv("TEST_KEY", KEY)
    with service.running() as url:
        desk = Desk(service, url, tmp_path)
        with desk.life() as life:
            life._ledger.name_batch = kill_after(0, print)  # type: ignore[method-assign]
            with pytest.raises(Killed):
                life.prepare(asked(2))
        for n in range(7):
            service.add({"a": {}, "b": {}}, f"pgkd-{n}" if n % 2 else "")
        with desk.life() as life:
            assert fetch(life, asked(2)) == answers(2)
    assert len(service.batches) == 8


def test_anthropic_tells_it_by_its_names_when_those_of_its_size_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = AnthropicService()
    monkeypatch.setenv("TEST_KEY", KEY)
    body = {"messages": [{"role": "user", "content": "another"}]}
    with service.running() as url:
        desk = Desk(service, url, tmp_path)
        old = service.add({"a": body, "b": body})
        old.made_at = time.time() - 7200
        with desk.life() as life:
            life._ledger.name_batch = kill_after(0, print)  # type: ignore[method-assign]
            with pytest.raises(Killed):
                life.prepare(asked(2))
        own = service.batches["batch_2"]
        service.add({"a": body, "b": body})  # of the same size, and not ours
        own.looks = -1000

        def end(seconds: float) -> None:
            desk.slept.append(seconds)
            own.looks += 2000 * (len(desk.slept) == 5)

        with desk.life(sleep=end) as life:
            assert fetch(life, asked(2)) == answers(2)
    assert "not known yet which batch" in desk.errors
    assert len(service.batches) == 3
    assert service.asked == []
    assert "GET /v1/messages/batches/batch_3/results" in service.calls
    assert "GET /v1/messages/batches/batch_1/results" not in service.calls  # too old


# The budget


def test_a_budget_is_kept_and_used_up_at_half_the_price(desk: Desk, service: Service) -> None:
    """What the first batch leaves of its reservations goes to the next."""
    requests = asked(10)
    most = PRICES.cost("m", most_tokens(requests[0]) - 100, 100)
    assert most is not None
    limits = SpendingLimits(usd=most / 2 * 4)
    with desk.life(limits=limits) as life:
        assert fetch(life, requests) == answers(10)
    sizes = [len(batch.requests) for batch in service.batches.values()]
    assert sizes[0] == 4
    assert sum(sizes) == 10
    assert total_used(desk.calls()).usd == WHOLE / 2 * 10
    assert limits.usd is not None
    assert total_used(desk.calls()).usd <= limits.usd


def test_what_does_not_fit_into_the_budget_is_not_asked(desk: Desk, service: Service) -> None:
    with desk.life(limits=SpendingLimits(calls=3)) as life:
        life.prepare(asked(5))
        assert [life.complete(request).text for request in asked(3)] == answers(3)
        with pytest.raises(BudgetExhaustedError, match="3 calls"):
            life.complete(asked(5)[3])
    assert service.submitted == ["write 0", "write 1", "write 2"]
    assert service.asked == []


def test_a_large_round_leaves_in_several_batches(desk: Desk, service: Service) -> None:
    with desk.life() as life:
        life._api.most_requests = 4
        assert fetch(life, asked(10)) == answers(10)
        assert [len(batch.requests) for batch in service.batches.values()] == [4, 4, 2]
        assert max(progress.requests for progress in desk.told) == 10  # all at once
        life._api.most_bytes = 1000
        later = [Request((Message("user", f"more {i}" + "x" * 300),), id=f"r2-{i}") for i in "abc"]
        life.prepare(later)
    assert [len(batch.requests) for batch in service.batches.values()][3:] == [1, 1, 1]


def test_a_reply_that_another_run_has_paid_for_is_not_asked(
    desk: Desk, service: Service, tmp_path: Path
) -> None:
    cache = ReplyCache(tmp_path / "replies")
    with desk.life(cache=cache) as life:
        fetch(life, asked(2))
    desk.path = tmp_path / "another.sqlite"
    with desk.life(cache=cache) as life:
        assert fetch(life, asked(3)) == answers(3)
    assert service.submitted == ["write 0", "write 1", "write 2"]


def test_a_teacher_without_batches_is_refused(tmp_path: Path) -> None:
    with (
        Ledger(tmp_path / "l") as ledger,
        pytest.raises(ConfigError, match=r"'fake' takes no batches \(teacher.batch\)"),
    ):
        BatchTeacher(FakeTeacher(), ledger)


def test_a_request_that_no_schema_can_say_fails_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = AnthropicService()
    monkeypatch.setenv("TEST_KEY", KEY)
    odd = Request((Message("user", "odd"),), {"type": "no such type"}, id="r1-odd")
    with service.running() as url:
        desk = Desk(service, url, tmp_path)
        with desk.life() as life:
            life.prepare([odd, *asked(2)])
            with pytest.raises(TeacherRequestError, match="does not support this schema"):
                life.complete(odd)
    assert service.submitted == ["write 0", "write 1"]


def test_the_trouble_that_remains_is_of_its_kind(desk: Desk, service: Service) -> None:
    service.faults = [Fault(desk.look) for _ in range(100)]
    with desk.life() as life, pytest.raises(TeacherUnavailableError):
        life.prepare(asked(1))
