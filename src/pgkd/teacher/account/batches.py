"""A teacher on the books that is handed a round's requests together, at half the price.

What is written down, and when, so that a run may be cut off anywhere and pays nothing twice:

1. a row for each request, with the tag of the batch that it will leave with
2. the tag, as the batch is about to leave: rows of a tag that is not there never left
3. the provider's name of the batch; where it is missing, the provider is asked for the tag
4. the end of each request, as it is read from the results

`complete` then finds its reply in the ledger, and asks at once for what has none.
"""

from __future__ import annotations

import json
import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import TYPE_CHECKING, Any, TypeVar

from pgkd.errors import (
    ConfigError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teacher.account.accounted import (
    AccountedTeacher,
    cost_of,
    most_of,
    used_by,
    used_by_failure,
)
from pgkd.teacher.account.prices import BatchPrices
from pgkd.teacher.base import Reply, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgkd.teacher.account.budget import Amount, Limits
    from pgkd.teacher.account.cache import ReplyCache
    from pgkd.teacher.account.ledger import Ledger, OpenBatch
    from pgkd.teacher.account.prices import Prices
    from pgkd.teacher.base import Teacher
    from pgkd.teacher.batch import BatchApi

_Found = TypeVar("_Found")

_FIRST_LOOK = 2.0  # seconds until the first look at a batch; half as long again with each
_LONGEST_LOOK = 60.0
_LONGEST_TROUBLE = 3600.0  # seconds for which the provider may fail without a break
_LONGEST_BATCH = timedelta(hours=26)  # the providers promise an end within 24
_AROUND_A_REQUEST = 256  # bytes of its name and address


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far the batches are that a run waits for.

    Attributes:
        batches: that are out.
        requests: in all of them.
        finished: requests that the provider has answered, or given up.
        trouble: what went wrong and is tried again, or cannot be; empty where nothing did.
    """

    batches: int
    requests: int
    finished: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Booked:
    """A request that is out: its row in the ledger, and what is reserved for it."""

    n: int
    request: Request
    most: Amount


@dataclass(slots=True)
class _Batch:
    """A batch that is out, and those of its requests that have no end yet, by name."""

    tag: str
    made_at: datetime
    id: str = ""
    size: int = 0
    finished: int = 0
    calls: dict[str, _Booked] = field(default_factory=dict)


class BatchTeacher(AccountedTeacher):
    """An `AccountedTeacher` that fetches the replies to what will be asked in batches.

    A batch of an earlier life of the run is waited for and collected, not handed in again.

    Args:
        teacher: who is asked; closing it stays with who made it.
        ledger: as of an `AccountedTeacher`.
        prices: of calls that are answered at once; a batch costs half.
        limits: as of an `AccountedTeacher`.
        cache: as of an `AccountedTeacher`.
        submits: whether new batches are handed in; if not, only earlier ones are collected.
        told: hears how far the batches are, after each look.
        sleep: waits so many seconds.
        clock: the time.

    Raises:
        ConfigError: the teacher takes no batches; or as of an `AccountedTeacher`.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        *,
        prices: Prices | None = None,
        limits: Limits | None = None,
        cache: ReplyCache | None = None,
        submits: bool = True,
        told: Callable[[BatchProgress], None] = lambda progress: None,
        sleep: Callable[[float], object] = time.sleep,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        super().__init__(teacher, ledger, prices=prices, limits=limits, cache=cache)
        api = teacher.batches()
        if api is None:
            raise ConfigError(
                f"The teacher '{teacher.name}' takes no batches (teacher.batch): leave the setting "
                "out, or choose openai or anthropic."
            )
        self._api: BatchApi = api
        self._batch_prices = BatchPrices(self._prices)
        self._submits = submits
        self._told = told
        self._sleep = sleep
        self._clock = clock

    def prepare(self, requests: Sequence[Request]) -> None:
        """Fetch the replies to these requests, as far as the budget has room for them.

        What has no reply after that is answered at once, and at the whole price, when it is asked.
        It takes up to a day; Ctrl-C and the end of the process lose nothing.

        Raises:
            TeacherError: the provider refuses the key or a batch as a whole, or fails for an hour.
        """
        self._collect([self._taken_up(batch) for batch in self._ledger.open_batches()])
        if not self._submits:
            return
        waiting = deque(request for request in requests if self._is_open(request))
        while batches := list(self._sent(waiting)):  # with what earlier ones left of the budget
            self._collect(batches)

    def _is_open(self, request: Request) -> bool:
        if self._ledger.settled(request) is not None:
            return False
        return self._cache is None or self._cache.find(self._teacher, request) is None

    # Leaving

    def _sent(self, waiting: deque[Request]) -> Iterator[_Batch]:
        """Hand in as many as the budget has room for; they are taken off the queue."""
        while waiting:
            batch = _Batch(f"pgkd-{token_hex(8)}", self._clock())
            bodies = self._booked(waiting, batch)
            if not bodies:
                return
            self._submit(batch, bodies)
            yield batch

    def _booked(self, waiting: deque[Request], batch: _Batch) -> dict[str, dict[str, Any]]:
        """Reserve and write down what fits into one batch; returns what the provider is told."""
        bodies: dict[str, dict[str, Any]] = {}
        size = 0
        while waiting and len(bodies) < self._api.most_requests:
            request = waiting[0]
            try:
                body = self._api.body(request)
            except TeacherRequestError:
                waiting.popleft()  # `complete` will tell
                continue
            size += len(json.dumps(body)) + _AROUND_A_REQUEST
            most = most_of(request, self.model, self._batch_prices)
            too_large = bool(bodies) and size > self._api.most_bytes
            if too_large or not self._budget.reserve_at_once(most):
                break
            n = self._ledger.begin(request, self.name, most, batch=batch.tag)
            name = f"{batch.tag}-{n}"
            bodies[name] = body
            batch.calls[name] = _Booked(n, request, most)
            waiting.popleft()
        batch.size = len(bodies)
        return bodies

    def _submit(self, batch: _Batch, bodies: dict[str, dict[str, Any]]) -> None:
        self._ledger.open_batch(batch.tag)
        may_be_there = False

        def attempt() -> str:
            nonlocal may_be_there
            if may_be_there and (found := self._found(batch)):
                return found
            try:
                return self._api.submit(batch.tag, bodies)
            except TeacherUnavailableError:
                may_be_there = True
                raise

        try:
            batch.id = self._patiently(attempt)
        except TeacherUnavailableError:
            raise  # its rows stay in flight: the next life of the run looks for it
        except TeacherError as error:
            self._fail(batch, error)
            raise
        self._ledger.name_batch(batch.tag, batch.id)

    # Taking up

    def _taken_up(self, batch: OpenBatch) -> _Batch:
        """A batch of an earlier life; it may have no calls left, if the provider knows it not."""
        calls = {
            f"{batch.tag}-{call.n}": _Booked(call.n, Request.from_json(call.request), call.most)
            for call in batch.calls
        }
        made_at = datetime.fromisoformat(batch.made_at)
        found = _Batch(batch.tag, made_at, batch.id or "", batch.size, calls=calls)
        for call in calls.values():
            self._budget.reopen(call.most)
        if batch.id is None:
            found.id = self._found(found) or ""
            if found.id:
                self._ledger.name_batch(found.tag, found.id)
            else:
                self._lose(found)
        return found

    def _found(self, batch: _Batch) -> str | None:
        """The provider's name of a batch that may have left."""
        for pause in _pauses():
            trace = self._patiently(lambda: self._api.find(batch.tag, batch.made_at, batch.size))
            if trace.id is not None or not trace.undecided:
                return trace.id
            self._tell([batch], "it is not known yet which batch of the provider is the run's")
            self._pause(batch, pause)
        raise AssertionError("unreachable: there is always another pause")

    # Coming back

    def _collect(self, batches: Sequence[_Batch]) -> None:
        """Wait for batches, and write down the end of each of their requests."""
        out = [batch for batch in batches if batch.calls]
        for pause in _pauses():
            for batch in list(out):
                if self._has_ended(batch):
                    out.remove(batch)
            self._tell(out)
            if not out:
                return
            self._pause(out[0], pause)

    def _has_ended(self, batch: _Batch) -> bool:
        """Look at a batch, and collect it if it has ended."""
        state = self._patiently(lambda: self._api.state(batch.id))
        if state is None:
            self._lose(batch)
            return True
        batch.finished = state.finished
        if state.refusal:
            error = TeacherRequestError(state.refusal)
            self._fail(batch, error)
            raise error
        if state.ended:
            self._read(batch)
        return state.ended

    def _read(self, batch: _Batch) -> None:
        missing = "The results of its batch do not have it, or not in one piece."
        try:
            self._patiently(lambda: self._read_on(batch))
        except TeacherRequestError as error:  # the file is gone, or too large
            missing = str(error)
        self._fail(batch, TeacherUnavailableError(missing))  # perhaps answered, and charged

    def _read_on(self, batch: _Batch) -> None:
        """Read the results until every request has its end. A request's first end counts."""
        strange = 0
        with closing(self._api.results(batch.id)) as results:
            for name, end in results:
                booked = batch.calls.get(name)
                if booked is None:
                    strange += 1
                    continue
                self._end(booked, end)
                del batch.calls[name]
                if not batch.calls:
                    break
        if strange:
            self._tell([batch], f"{strange} results for nothing that is open are passed over")

    def _end(self, booked: _Booked, end: Reply | TeacherError) -> None:
        """Write an end down, before anybody uses it, and settle what was reserved."""
        if isinstance(end, Reply):
            cost = cost_of(end, self.model, self._batch_prices)
            self._ledger.finish(booked.n, end, cost, self._batch_prices.source)
            if self._cache:
                self._cache.keep(self._teacher, booked.request, end)
            used = used_by(end, cost, booked.most)
        else:
            self._ledger.fail(booked.n, end)
            used = used_by_failure(type(end).__name__, booked.most)
        self._budget.settle(booked.most, used)

    def _fail(self, batch: _Batch, error: TeacherError) -> None:
        """All requests that have no end yet end with this error."""
        for booked in batch.calls.values():
            self._end(booked, error)
        batch.calls.clear()

    def _lose(self, batch: _Batch) -> None:
        """Give up a batch that the provider does not know: it may have been charged."""
        self._tell(
            [batch],
            f"the provider knows no batch {batch.id or batch.tag}: its {len(batch.calls)} requests "
            "count as charged, and are asked again",
        )
        self._ledger.lose_batch(batch.tag)
        for booked in batch.calls.values():
            self._budget.settle(booked.most, booked.most)
        batch.calls.clear()

    # Waiting

    def _patiently(self, call: Callable[[], _Found]) -> _Found:
        """What a call returns, as often as it has to be made; trouble may last an hour."""
        waited = 0.0
        for pause in _pauses():
            try:
                return call()
            except (TeacherRateLimitError, TeacherUnavailableError) as error:
                asked = error.retry_after if isinstance(error, TeacherRateLimitError) else None
                seconds = pause if asked is None else asked
                waited += seconds
                if waited > _LONGEST_TROUBLE:
                    raise
                self._tell([], str(error))
                self._sleep(seconds)
        raise AssertionError("unreachable: there is always another pause")

    def _pause(self, batch: _Batch, seconds: float) -> None:
        """Wait before the next look.

        Raises:
            TeacherUnavailableError: the batch should have ended long ago.
        """
        if self._clock() - batch.made_at > _LONGEST_BATCH:
            raise TeacherUnavailableError(
                f"The batch {batch.id or batch.tag} of {self.name} has not ended within a day. Run "
                "the same command again to collect it when it has."
            )
        self._sleep(seconds)

    def _tell(self, out: Sequence[_Batch], trouble: str = "") -> None:
        requests, finished = sum(b.size for b in out), sum(b.finished for b in out)
        self._told(BatchProgress(len(out), requests, finished, trouble))


def _pauses() -> Iterator[float]:
    """Seconds between looks: short at first, a minute in the end."""
    pause = _FIRST_LOOK
    while True:
        yield pause
        pause = min(_LONGEST_LOOK, pause * 1.5)
