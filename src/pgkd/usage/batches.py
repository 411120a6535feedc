"""A metered teacher that is handed a round's requests together, at half the price.

What is written down, and when, so that a run may be cut off anywhere and pays nothing twice:

1. a row for each request, with the tag of the batch that it will leave with
2. the tag: the batch may leave from now on; rows of a tag that is not there never left
3. the provider's name of the batch; where it is missing, the provider is asked for the tag
4. the end of each request, as it is read from the results

`complete` then finds its reply in the ledger, and asks at once for what has none.
"""

from __future__ import annotations

import json
import time
from collections import deque
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING

from pgkd.errors import (
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import Reply, Request
from pgkd.usage.accounted import AccountedTeacher, cost_of, most_of, used_by, used_by_failure
from pgkd.usage.prices import BatchPrices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgkd.teachers.base import Teacher
    from pgkd.teachers.batch import BatchApi
    from pgkd.usage.budget import Amount, Limits
    from pgkd.usage.cache import ReplyCache
    from pgkd.usage.ledger import Ledger
    from pgkd.usage.prices import Prices

_FIRST_LOOK = 2.0  # seconds until the first look at a batch; half as long again with each
_LONGEST_LOOK = 60.0
_LONGEST_TROUBLE = 3600.0  # seconds for which the provider may fail without a break
_LONGEST_WAIT = 26 * 3600.0  # seconds; the providers promise an end within 24 hours
_AROUND_A_REQUEST = 256  # bytes of its name and address


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far the batches are that a run waits for.

    Attributes:
        requests: in all batches that are out; 0 when the waiting is over.
        finished: requests that the provider has answered, or given up.
        trouble: what went wrong and is tried again, or cannot be; empty where nothing did.
    """

    requests: int
    finished: int
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A request that is out: its row in the ledger, and what is reserved for it."""

    n: int
    request: Request
    most: Amount


@dataclass(slots=True)
class _Batch:
    """A batch, and those of its requests that have no end yet, by name. With none it is over."""

    tag: str
    made_at: datetime
    id: str | None = None
    may_be_there: bool = False  # without an id: the provider may have it all the same
    size: int = 0
    finished: int = 0
    failed: int = 0
    calls: dict[str, _Pending] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id or self.tag


class BatchTeacher(AccountedTeacher):
    """An `AccountedTeacher` that fetches the replies to what will be asked in batches.

    A batch of an earlier life of the run is waited for and collected, not handed in again.

    Args:
        teacher: who is asked; closing it stays with who made it.
        ledger: as of an `AccountedTeacher`.
        prices: of calls that are answered at once; a batch costs half.
        limits: as of an `AccountedTeacher`.
        cache: as of an `AccountedTeacher`.
        max_tokens: as of an `AccountedTeacher`.
        submits: whether batches are handed in. If not, earlier ones are collected, and those that
            cannot be are given up.
        told: hears how far the batches are, after each look.
        sleep: waits so many seconds.

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
        max_tokens: int | None = None,
        submits: bool = True,
        told: Callable[[BatchProgress], None] = lambda progress: None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        super().__init__(
            teacher, ledger, prices=prices, limits=limits, cache=cache, max_tokens=max_tokens
        )
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
        self._out: list[_Batch] = []
        self._refused_requests: list[Request] = []

    def prepare(self, requests: Sequence[Request]) -> None:
        """Fetch the replies to these requests, as far as the budget has room for them.

        What has no reply after that is answered at once, and at the whole price, when it is asked.
        It takes up to a day; Ctrl-C and the end of the process lose nothing.

        Raises:
            TeacherError: the provider refuses the key or a batch, or knows a batch no longer; or it
                fails for an hour, or has no answer after a day.
        """
        self._take_up()
        self._collect()
        if not self._submits:
            return
        bounded = map(self._bounded, requests)
        waiting = deque(request for request in bounded if self._is_open(request))
        while self._book(waiting):  # again with what the last ones have left of the budget
            self._refused_requests.clear()
            self._collect()
            waiting.extend(self._worth_another_batch())

    def _worth_another_batch(self) -> list[Request]:
        """Refused requests, if a single call learns from its refusal, as no batch can."""
        if len(self._refused_requests) < 2:
            return []
        first, *others = self._refused_requests
        lessons = self._lessons
        with suppress(TeacherError):  # the request is sent again on its own, and reports it then
            self.complete(first)
        return others if self._lessons > lessons else []

    def _is_open(self, request: Request) -> bool:
        if self._ledger.settled(request) is not None:
            return False
        return self._cache is None or self._cache.find(self._teacher, request) is None

    # What is out

    def _take_up(self) -> None:
        """The batches of an earlier life are out again."""
        known = {batch.tag for batch in self._out}
        for left in self._ledger.open_batches():
            if left.tag in known:
                continue
            batch = _Batch(left.tag, left.made_at, left.id, may_be_there=True, size=left.size)
            for call in left.calls:
                pending = _Pending(call.n, Request.from_json(call.request), call.most)
                batch.calls[f"{batch.tag}-{call.n}"] = pending
                self._budget.reopen(call.most)
            self._out.append(batch)

    def _book(self, waiting: deque[Request]) -> bool:
        """Make batches of what the budget has room for, off the queue; whether there are any."""
        while True:
            batch = _Batch(f"pgkd-{token_hex(8)}", datetime.now(UTC))
            self._fill(batch, waiting)
            if not batch.calls:
                return bool(self._out)
            self._ledger.open_batch(batch.tag)
            self._out.append(batch)

    def _fill(self, batch: _Batch, waiting: deque[Request]) -> None:
        """Reserve and write down what fits into one batch."""
        size = 0
        while waiting and batch.size < self._api.most_requests:
            request = waiting[0]
            try:
                size += (
                    len(json.dumps(self._api.body(self._with_thinking_tokens(request))))
                    + _AROUND_A_REQUEST
                )
            except TeacherRequestError:
                waiting.popleft()  # `complete` will tell
                continue
            most = most_of(self._with_thinking_tokens(request), self.model, self._batch_prices)
            too_large = batch.calls and size > self._api.most_bytes
            if too_large or not self._budget.reserve_at_once(most):
                return
            n = self._ledger.begin(request, self.name, most, batch=batch.tag)
            batch.calls[f"{batch.tag}-{n}"] = _Pending(n, request, most)
            batch.size += 1
            waiting.popleft()

    # Waiting

    def _collect(self) -> None:
        """Take every batch that is out to its end, and wait in between."""
        waited = troubled = 0.0
        for pause in _pauses():
            wait = pause
            try:
                self._advance()
                troubled = 0.0
            except (TeacherRateLimitError, TeacherUnavailableError) as error:
                asked = error.retry_after if isinstance(error, TeacherRateLimitError) else None
                wait = max(pause, asked or 0.0)
                troubled += wait
                if troubled > _LONGEST_TROUBLE:
                    raise
                self._tell(str(error))
            self._tell()
            if not self._out:
                return
            waited += wait
            if waited > _LONGEST_WAIT:
                raise TeacherError(
                    f"{self.name} has not ended the batch {self._out[0]} within a day. Run the "
                    "same command again to collect it when it has."
                )
            self._sleep(wait)

    def _advance(self) -> None:
        """One step with every batch: hand it in, or look how far it is."""
        try:
            for batch in self._out:
                if batch.id is None:
                    self._hand_in(batch)
                else:
                    self._look(batch, batch.id)
        finally:
            self._out = [batch for batch in self._out if batch.calls]

    def _hand_in(self, batch: _Batch) -> None:
        """Hand a batch in, unless it is there: an earlier attempt may have broken off too late."""
        if batch.may_be_there:
            trace = self._api.find(batch.tag, batch.made_at, batch.size)
            if trace.undecided:
                self._tell("it is not known yet which batch of the provider is this run's")
                return
            if trace.id is not None:
                self._name(batch, trace.id)
                return
            if not self._submits:
                self._give_up(batch, "it never arrived")
                return
        sent = self._with_thinking_tokens
        bodies = {name: self._api.body(sent(call.request)) for name, call in batch.calls.items()}
        try:
            self._name(batch, self._api.submit(batch.tag, bodies))
        except TeacherUnavailableError:
            batch.may_be_there = True
            raise
        except (TeacherAuthError, TeacherRequestError) as refusal:
            self._refused(batch, refusal)
            raise

    def _name(self, batch: _Batch, id_: str) -> None:
        self._ledger.name_batch(batch.tag, id_)
        batch.id = id_

    def _look(self, batch: _Batch, id_: str) -> None:
        """Look how far a batch is, and read its results if it has ended."""
        state = self._api.state(id_)
        if state is None:
            self._give_up(batch, f"{self.name} does not know it")
        elif state.refusal:
            refusal = TeacherRequestError(state.refusal)
            self._refused(batch, refusal)
            raise refusal
        elif state.ended:
            self._read(batch, id_)
        else:
            batch.finished = state.finished

    def _tell(self, trouble: str = "") -> None:
        requests, finished = sum(b.size for b in self._out), sum(b.finished for b in self._out)
        self._told(BatchProgress(requests, finished, trouble))

    # Coming back

    def _read(self, batch: _Batch, id_: str) -> None:
        """Read the results of a batch: all its requests have their ends then."""
        try:
            self._read_results(batch, id_)
        except TeacherRequestError as refusal:  # the file is gone, or too large
            self._give_up(batch, str(refusal))
        missing = "The results of its batch do not have it, or not in one piece."
        self._fail(batch, TeacherUnavailableError(missing))  # perhaps answered, and charged
        if batch.failed:
            self._tell(
                f"{batch.failed} of {batch.size} requests have no answer in it, and are asked "
                "again at once, at the whole price"
            )

    def _read_results(self, batch: _Batch, id_: str) -> None:
        """Read on until every request has its end, in any order; the first end counts."""
        with closing(self._api.results(id_)) as results:
            for name, end in results:
                if pending := batch.calls.get(name):
                    self._end(batch, pending, end)
                    del batch.calls[name]
                if not batch.calls:
                    return

    def _end(self, batch: _Batch, pending: _Pending, end: Reply | TeacherError) -> None:
        """Write an end down, before anybody uses it, and settle what was reserved."""
        if isinstance(end, Reply):
            cost = cost_of(end, self.model, self._batch_prices)
            self._ledger.finish(pending.n, end, cost, self._batch_prices.source)
            if self._cache:
                self._cache.keep(self._teacher, pending.request, end)
            used = used_by(end, cost, pending.most)
            self._notice_thinking(end)
        else:
            if isinstance(end, TeacherRequestError):
                self._refused_requests.append(pending.request)
            self._ledger.fail(pending.n, end)
            used = used_by_failure(type(end).__name__, pending.most)
            batch.failed += 1
        self._budget.settle(pending.most, used)

    def _refused(self, batch: _Batch, refusal: TeacherError) -> None:
        """The provider refuses a batch: to ask one by one is dearer, and for the user to say."""
        self._fail(batch, refusal)
        self._tell(f"{self.name} refuses it; --no-batch asks one by one, at the whole price")

    def _fail(self, batch: _Batch, error: TeacherError) -> None:
        """All requests that have no end yet end with this error."""
        for pending in batch.calls.values():
            self._end(batch, pending, error)
        batch.calls.clear()

    def _give_up(self, batch: _Batch, why: str) -> None:
        """A batch cannot be collected: go on without it if the user said so.

        Raises:
            TeacherError: the user did not say so.
        """
        told = f"The batch {batch} cannot be collected: {why}"
        if self._submits:
            raise TeacherError(
                f"{told}. It may belong to another account or project than the key. To go on "
                f"without its {len(batch.calls)} requests, which may have been charged and are "
                "asked again at once, give --no-batch (teacher.batch: false)."
            )
        self._tell(f"{told}. It counts as charged, and its requests are asked again at once.")
        self._ledger.lose_batch(batch.tag)
        for pending in batch.calls.values():
            self._budget.settle(pending.most, pending.most)
        batch.calls.clear()


def _pauses() -> Iterator[float]:
    """Seconds between looks: short at first, a minute in the end."""
    pause = _FIRST_LOOK
    while True:
        yield pause
        pause = min(_LONGEST_LOOK, pause * 1.5)
