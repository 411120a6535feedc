"""The budget: never overrun, whatever calls do at once; and what counts when nothing is known."""

from __future__ import annotations

import random
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import (
    BudgetExhaustedError,
    ConfigError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import Message, Reply, Request, Sampling
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.budget import Amount, Budget, SpendingLimits, most_tokens
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher
from pgkd.usage.prices import GivenPrices
from pgkd.usage.retry import Breaker, Retry

if TYPE_CHECKING:
    from pathlib import Path


def request(n: int, content: str = "write", max_tokens: int = 100) -> Request:
    return Request((Message("user", content),), None, Sampling(max_tokens=max_tokens), id=f"r1-{n}")


class Random(FakeTeacher):
    """Takes its time, and uses any number of tokens up to what may be used."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.rng = random.Random(seed)
        self.lock = threading.Lock()
        self.tokens = self.calls = 0

    def complete(self, request: Request) -> Reply:
        with self.lock:
            delay, end = self.rng.uniform(0, 0.002), self.rng.random()
            prompt = self.rng.randint(1, most_tokens(request) - request.sampling.max_tokens)
            answer = self.rng.randint(1, request.sampling.max_tokens)
            self.calls += 1
            if end >= 0.1:  # refused calls use nothing
                self.tokens += prompt + answer
        time.sleep(delay)
        if end < 0.1:
            raise TeacherRequestError("refused")
        if end < 0.2:
            raise TeacherUnavailableError("broke off, and was charged")
        return Reply("x", "m", prompt, answer)


@pytest.mark.parametrize("trials", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_sixty_four_calls_at_once_never_pass_it(tmp_path: Path, trials: int) -> None:
    for trial in range(trials):
        limit = random.Random(trial).randint(500, 8_000)
        teacher = Random(trial)
        with Ledger(tmp_path / f"{trial}.sqlite") as ledger:
            life = MeteredTeacher(
                teacher,
                ledger,
                limits=SpendingLimits(tokens=limit, calls=40),
                retry=Retry(0, breaker=Breaker(10**9)),
            )
            refused = _at_once(life, 64)
        assert teacher.tokens <= limit
        assert teacher.calls <= 40
        assert refused == 64 - teacher.calls


def _at_once(life: MeteredTeacher, n: int) -> int:
    """Send n calls from n threads; returns how many the budget refused."""
    refused: list[int] = []
    gate = threading.Barrier(n)

    def work(i: int) -> None:
        gate.wait()
        try:
            life.complete(request(i))
        except BudgetExhaustedError:
            refused.append(i)
        except (TeacherRequestError, TeacherUnavailableError):
            pass

    threads = [threading.Thread(target=work, args=(i,)) for i in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(refused)


def test_a_call_waits_for_room_that_calls_in_flight_may_leave() -> None:
    budget = Budget(SpendingLimits(tokens=100))
    budget.reserve(Amount(1, 80))
    came: list[str] = []

    def second() -> None:
        budget.reserve(Amount(1, 50))
        came.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    thread.join(0.05)
    assert came == []
    budget.settle(Amount(1, 80), Amount(1, 30))
    thread.join()
    assert came == ["second"]
    with pytest.raises(BudgetExhaustedError, match=r"100 tokens is used up: 1 calls, 30 tokens"):
        budget.reserve(Amount(1, 71))


def test_tokens_of_a_request_are_at_most_its_bytes_and_its_answer() -> None:
    asked = request(1, "é" * 1000, max_tokens=7)
    assert most_tokens(asked) == 2000 + 32 + 7
    with_schema = Request(asked.messages, {"type": "object"}, asked.sampling)
    assert most_tokens(with_schema) > most_tokens(asked) + 1024


def test_what_earlier_lives_used_counts(tmp_path: Path) -> None:
    limits = SpendingLimits(calls=3)
    with Ledger(tmp_path / "l") as ledger:
        MeteredTeacher(FakeTeacher(), ledger, limits=limits).complete(request(1))
        ledger.begin(request(2), "fake")  # in flight when the process was killed
    with Ledger(tmp_path / "l") as ledger:
        ledger.abandon()
        life = MeteredTeacher(FakeTeacher(), ledger, limits=limits)
        life.complete(request(1))  # from the ledger: costs nothing
        life.complete(request(2))
        with pytest.raises(BudgetExhaustedError, match="3 calls"):
            life.complete(request(3))


def test_dollars_are_decimals_by_the_given_prices(tmp_path: Path) -> None:
    prices = GivenPrices(Decimal("0.10"), Decimal("0.40"))
    teacher = FakeTeacher([Reply("a", "m", 1_000_000, 3), Reply("b", "m", 1, 1)])
    with Ledger(tmp_path / "l") as ledger:
        life = MeteredTeacher(
            teacher, ledger, prices=prices, limits=SpendingLimits(usd=Decimal("0.10"))
        )
        life.complete(request(1))
        [call] = ledger.calls()
        assert (call.cost, call.price_source) == (Decimal("0.1000012"), "given")
        with pytest.raises(BudgetExhaustedError, match="0.10 US dollars"):
            life.complete(request(2))


def test_no_budget_in_dollars_without_a_price(tmp_path: Path) -> None:
    teacher = FakeTeacher(model="a model of ours")
    teacher.biller = "openai"
    with Ledger(tmp_path / "l") as ledger:
        with pytest.raises(ConfigError, match="No price is known for 'a model of ours'"):
            MeteredTeacher(teacher, ledger, limits=SpendingLimits(usd=Decimal(1)))
        MeteredTeacher(teacher, ledger, limits=SpendingLimits(tokens=1000)).complete(request(1))
        [call] = ledger.calls()
    assert call.cost is None  # unknown, never zero
