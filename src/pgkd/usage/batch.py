"""A metered teacher that sends the requests of a round together, at half the price.

What is recorded, and when, so that a run may be killed anywhere and pays nothing twice:

1. a row for each request, with the tag of the batch that it will be sent with
2. the tag: the batch may be sent from now on; rows of an unknown tag were never sent
3. the provider's name of the batch; where it is missing, the provider is searched for the tag
4. the end of each request, as it is read from the results

`complete` then finds its reply in the ledger, and sends at once what has none.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from pgkd.errors import (
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.teachers.base import BatchApi, Reply, Request, Teacher
from pgkd.usage.budget import SpendingLimits
from pgkd.usage.cache import ReplyCache, replies_folder
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher, Pending, most_of_call
from pgkd.usage.prices import BatchPrices, prices_from
from pgkd.usage.retry import Breaker, Retry

if TYPE_CHECKING:  # pydantic
    from pgkd.config import Config

_FIRST_POLL = (
    2.0  # seconds until the first look at a batch; each later one takes half as long again
)
_MAX_POLL = 60.0
_MAX_OUTAGE = 3600.0  # seconds for which the provider may fail without a break
_MAX_WAIT = 26 * 3600.0  # seconds; the providers promise an end within 24 hours
_REQUEST_OVERHEAD = 256  # bytes of its name and address


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """The progress of the batches that a run waits for.

    Attributes:
        requests: in all open batches; 0 when the waiting is over.
        finished: requests that the provider has answered, or given up.
        error: what went wrong; empty where nothing did.
    """

    requests: int
    finished: int
    error: str = ""


@dataclass(slots=True)
class _Batch:
    """A batch, and its requests without an end, by name. When there are none, it is over."""

    tag: str
    made_at: datetime
    id: str | None = None
    may_exist: bool = False  # without an id: the provider may have it all the same
    size: int = 0
    finished: int = 0
    failed: int = 0
    calls: dict[str, Pending] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.id or self.tag


class BatchTeacher(MeteredTeacher):
    """A `MeteredTeacher` that fetches the replies to the next requests in batches.

    A batch of an earlier session of the run is waited for and collected, not submitted again.

    Args:
        teacher: answers; closing it is up to its owner.
        ledger: records every call.
        submits: whether batches are submitted. If not, earlier ones are collected, and those that
            cannot be are given up.
        on_progress: called after each look at the batches.
        metering: as for a `MeteredTeacher`, for calls that are answered at once: a batch costs half
            of the `prices`. The `sleep` of `retry` waits for batches, too.

    Raises:
        ConfigError: the teacher takes no batches; or as for a `MeteredTeacher`.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        *,
        submits: bool = True,
        on_progress: Callable[[BatchProgress], None] = lambda progress: None,
        **metering: Any,
    ) -> None:
        super().__init__(teacher, ledger, **metering)
        api = teacher.batches()
        if api is None:
            raise ConfigError(
                f"The teacher '{teacher.name}' takes no batches (teacher.batch): remove the "
                "setting, or choose openai or anthropic."
            )
        self._api: BatchApi = api
        self._batch_prices = BatchPrices(self._prices)
        self._submits = submits
        self._on_progress = on_progress
        self._open: list[_Batch] = []
        self._refused_requests: list[Request] = []

    def prepare(self, requests: Sequence[Request]) -> None:  # type: ignore[override]
        """Fetch the replies to these requests, as far as the budget has room for them.

        What has no reply after that is sent at once, and at the full price, by `complete`. Fetching
        takes up to a day; Ctrl-C and the end of the process lose nothing.

        Raises:
            TeacherError: the provider refuses the key or a batch, or knows a batch no longer; or it
                fails for an hour, or has no answer after a day.
        """
        self._reopen()
        self._collect()
        if not self._submits:
            return
        bounded = map(self._bounded, requests)
        waiting = deque(request for request in bounded if self._is_unanswered(request))
        while self._make_batches(waiting):  # again with what the last ones left of the budget
            self._refused_requests.clear()
            self._collect()
            waiting.extend(self._refused_to_send_again())

    def _refused_to_send_again(self) -> list[Request]:
        """Refused requests, if a single call learns from its refusal, as no batch can."""
        if len(self._refused_requests) < 2:
            return []
        first, *others = self._refused_requests
        lessons = self._lessons
        with suppress(TeacherError):  # the request is sent again on its own, and reports it then
            self._complete_once(first)
        return others if self._lessons > lessons else []

    def _is_unanswered(self, request: Request) -> bool:
        if self._ledger.settled(request) is not None:
            return False
        return self._cache is None or self._cache.find(self._teacher, request) is None

    def _reopen(self) -> None:
        """Wait for the batches of an earlier session, too."""
        known = {batch.tag for batch in self._open}
        for old in self._ledger.open_batches():
            if old.tag in known:
                continue
            batch = _Batch(old.tag, old.made_at, old.id, may_exist=True, size=old.size)
            for call in old.calls:
                pending = Pending(call.n, Request.from_json(call.request), call.most)
                batch.calls[f"{batch.tag}-{call.n}"] = pending
                self._budget.reopen(call.most)
            self._open.append(batch)

    def _make_batches(self, waiting: deque[Request]) -> bool:
        """Make batches of what the budget has room for; whether any batch is open."""
        while True:
            batch = _Batch(f"pgkd-{token_hex(8)}", datetime.now(UTC))
            self._fill(batch, waiting)
            if not batch.calls:
                return bool(self._open)
            self._ledger.open_batch(batch.tag)
            self._open.append(batch)

    def _fill(self, batch: _Batch, waiting: deque[Request]) -> None:
        """Reserve and record what fits into one batch."""
        size = 0
        while waiting and batch.size < self._api.most_requests:
            request = waiting[0]
            sent = self._with_thinking_tokens(request)
            try:
                size += len(json.dumps(self._api.body(sent))) + _REQUEST_OVERHEAD
            except TeacherRequestError:
                waiting.popleft()  # `complete` will raise it
                continue
            most = most_of_call(sent, self.model, self._batch_prices)
            too_large = batch.calls and size > self._api.most_bytes
            if too_large or not self._budget.try_reserve(most):
                return
            n = self._ledger.begin(request, self.name, most, batch=batch.tag)
            batch.calls[f"{batch.tag}-{n}"] = Pending(n, request, most)
            batch.size += 1
            waiting.popleft()

    def _collect(self) -> None:
        """Bring every open batch to its end, and wait in between."""
        waited = outage = 0.0
        wait = pause = _FIRST_POLL
        while True:
            try:
                self._advance()
                outage = 0.0
            except (TeacherRateLimitError, TeacherUnavailableError) as error:
                wait = max(pause, getattr(error, "retry_after", None) or 0.0)
                outage += wait
                if outage > _MAX_OUTAGE:
                    raise
                self._report(str(error))
            self._report()
            if not self._open:
                return
            waited += wait
            if waited > _MAX_WAIT:
                raise TeacherError(
                    f"{self.name} has not finished the batch {self._open[0]} within a day. Run the "
                    "same command again to collect it when it has."
                )
            self._retry.sleep(wait)
            wait = pause = min(_MAX_POLL, pause * 1.5)  # short at first, a minute in the end

    def _advance(self) -> None:
        """One step with every batch: submit it, or look at its state."""
        try:
            for batch in self._open:
                if batch.id is None:
                    self._submit(batch)
                else:
                    self._poll(batch, batch.id)
        finally:
            self._open = [batch for batch in self._open if batch.calls]

    def _submit(self, batch: _Batch) -> None:
        """Submit a batch, unless the provider has it: an earlier attempt may have broken off."""
        if batch.may_exist:
            trace = self._api.find(batch.tag, batch.made_at, batch.size)
            if trace.undecided:
                self._report("it is not known yet which batch of the provider is this run's")
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
            batch.may_exist = True
            raise
        except (TeacherAuthError, TeacherRequestError) as refusal:
            self._refused(batch, refusal)
            raise

    def _name(self, batch: _Batch, id_: str) -> None:
        self._ledger.name_batch(batch.tag, id_)
        batch.id = id_

    def _poll(self, batch: _Batch, id_: str) -> None:
        """Look at the state of a batch, and read its results if it has ended."""
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

    def _report(self, error: str = "") -> None:
        requests, finished = sum(b.size for b in self._open), sum(b.finished for b in self._open)
        self._on_progress(BatchProgress(requests, finished, error))

    def _read(self, batch: _Batch, id_: str) -> None:
        """Read the results of a batch: all its requests have their ends then."""
        try:
            self._read_results(batch, id_)
        except TeacherRequestError as refusal:  # the file is gone, or too large
            self._give_up(batch, str(refusal))
        missing = "The results of its batch do not include it, or it is damaged."
        self._fail(batch, TeacherUnavailableError(missing))  # perhaps answered, and charged
        if batch.failed:
            self._report(
                f"{batch.failed} of {batch.size} requests have no answer in it, and are sent "
                "again at once, at the full price"
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

    def _end(self, batch: _Batch, pending: Pending, end: Reply | TeacherError) -> None:
        """Record how a request ended, and settle what was reserved."""
        used = self._record(pending, end, self._batch_prices)
        if isinstance(end, Reply):
            self._detect_thinking(end)
        else:
            if isinstance(end, TeacherRequestError):
                self._refused_requests.append(pending.request)
            batch.failed += 1
        self._budget.settle(pending.most, used)

    def _refused(self, batch: _Batch, refusal: TeacherError) -> None:
        """The provider refuses a batch: single calls cost more, so the user decides."""
        self._fail(batch, refusal)
        self._report(f"{self.name} refuses it; --no-batch sends single calls, at the full price")

    def _fail(self, batch: _Batch, error: TeacherError) -> None:
        """All requests without an end fail with this error."""
        for pending in batch.calls.values():
            self._end(batch, pending, error)
        batch.calls.clear()

    def _give_up(self, batch: _Batch, why: str) -> None:
        """A batch cannot be collected: continue without it if the user chose so, else raise."""
        message = f"The batch {batch} cannot be collected: {why}"
        if self._submits:
            raise TeacherError(
                f"{message}. It may belong to another account or project than the key. To continue "
                f"without its {len(batch.calls)} requests, which may have been charged and are "
                "sent again at once, use --no-batch (teacher.batch: false)."
            )
        self._report(f"{message}. It counts as charged, and its requests are sent again at once.")
        self._ledger.lose_batch(batch.tag)
        for pending in batch.calls.values():
            self._budget.settle(pending.most, pending.most)
        batch.calls.clear()


def metered_teacher(
    config: Config,
    teacher: Teacher,
    ledger: Ledger,
    on_progress: Callable[[BatchProgress], None] = lambda progress: None,
    *,
    breaker: Breaker | None = None,
) -> MeteredTeacher:
    """A teacher under a config: retried, within the budget, with each attempt in the ledger.

    Args:
        config: the settings of the run.
        teacher: answers; closing it is up to its owner.
        ledger: records the calls.
        on_progress: called with the progress of batches, where there are any.
        breaker: stops calls to a teacher that is down; default: for good.

    Raises:
        ConfigError: there is a budget in US dollars, and no known price; or batches are wanted,
            and the teacher takes none.
    """
    how = config.teacher
    is_local = teacher.biller is None
    mode = how.cache if how.cache != "auto" else "off" if is_local else "on"
    retries = 0 if is_local else how.retries  # what fails on this machine fails again
    metering: dict[str, Any] = {
        "prices": prices_from(config, teacher),
        "limits": SpendingLimits(config.budget.calls, config.budget.tokens, config.budget.usd),
        "cache": ReplyCache(replies_folder(), mode),
        "max_tokens": how.max_tokens,
        "retry": Retry(retries, how.longest, how.concurrency, breaker or Breaker()),
    }
    if how.batch or (ledger.open_batches() and teacher.batches() is not None):
        return BatchTeacher(teacher, ledger, submits=how.batch, on_progress=on_progress, **metering)
    return MeteredTeacher(teacher, ledger, **metering)
