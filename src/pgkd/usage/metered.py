"""A teacher whose calls are recorded in a ledger and kept within a budget."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal

import pgkd.errors
from pgkd.errors import ConfigError, FieldRefusedError, TeacherError, TeacherUnavailableError
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.replies import without_thinking
from pgkd.usage.budget import Amount, Budget, SpendingLimits, most_tokens
from pgkd.usage.cache import ReplyCache
from pgkd.usage.ledger import FROM_CACHE, Call, Ledger
from pgkd.usage.prices import Prices, make_prices, reply_cost
from pgkd.usage.retry import Retry, RetryingTeacher

_log = logging.getLogger(__name__)
_THINKING_TOKENS = 8192  # added to the bound of an answer; providers advise thousands


@dataclass(frozen=True, slots=True)
class Pending:
    """A call in flight: its row in the ledger, its request, and what is reserved for it."""

    n: int
    request: Request
    most: Amount


class MeteredTeacher(RetryingTeacher):
    """Answers from the ledger or the cache, else asks the teacher within the budget.

    A call is a row of the ledger before it is sent, and its reply is on disk before it is used.
    A run that is resumed sends the same requests in the same order, and gets from the ledger what
    its earlier sessions were answered; the first request without an end there goes to the teacher.

    Args:
        teacher: answers; closing it is up to its owner.
        ledger: records every call.
        prices: what its tokens cost; default: its biller's list.
        limits: of all calls in the ledger together.
        cache: replies that other runs have paid for.
        max_tokens: bound of every reply; None takes each request's own, with thinking tokens on
            top where the model is known to think.
        retry: how calls are repeated; default: not at all.

    Raises:
        ConfigError: there is a limit in US dollars, and no known price to count them by.
    """

    def __init__(
        self,
        teacher: Teacher,
        ledger: Ledger,
        *,
        prices: Prices | None = None,
        limits: SpendingLimits | None = None,
        cache: ReplyCache | None = None,
        max_tokens: int | None = None,
        retry: Retry | None = None,
    ) -> None:
        super().__init__(teacher, retry or Retry(0))
        self._max_tokens = max_tokens
        self._warned = False
        self._lessons = 0  # calls whose refusal changed what is sent
        self._ledger = ledger
        self._cache = cache
        self._prices = prices or make_prices(teacher.biller)
        self._budget = Budget(limits, total_used(ledger.calls()))
        if limits and limits.usd is not None and self._prices.cost(self.model, 1, 1) is None:
            raise ConfigError(
                f"No price is known for '{self.model}' of {self.name}, so a budget in US dollars "
                "cannot be kept: set teacher.price_input and teacher.price_output, or a budget in "
                "tokens or calls."
            )

    def prepare(self, requests: object) -> None:
        """Nothing: each request is sent when its reply is needed, and recorded then."""

    def _complete_once(self, request: Request) -> Reply:
        """Answer from the ledger, from the cache or with a call.

        Raises:
            BudgetExhaustedError: the call might exceed a limit. It was not made.
            TeacherError: no reply came, now or when the run continued without it.
        """
        request = self._bounded(request)
        settled = self._ledger.settled(request)
        if settled is not None:
            return _end_again(settled)
        cached = self._cache.find(self._teacher, request) if self._cache else None
        if cached is not None:
            n = self._ledger.begin(request, self.name, Amount())
            self._ledger.finish(n, cached, Decimal(0), FROM_CACHE)
            return cached
        while True:
            thought = self.thinks
            try:
                reply = self._send(request)
            except FieldRefusedError as refusal:  # recorded, and the next one is sent without it
                self.thinks = self.thinks or refusal.thinks
                self._lessons += 1
                continue
            if reply.finish_reason != "length":
                return reply
            self._detect_thinking(reply)
            if thought or not self.thinks or self._max_tokens is not None:
                self._warn_of_cut_off(request)
                return reply

    def _bounded(self, request: Request) -> Request:
        """A request with the user's bound, if there is one."""
        return request if self._max_tokens is None else _with_bound(request, self._max_tokens)

    def _with_thinking_tokens(self, request: Request) -> Request:
        """A request as it is sent: unless the user set a bound, a model that thinks gets more.

        Ledger and cache identify the request by the bound without these tokens, because a run may
        learn only halfway through that its model thinks.
        """
        if self._max_tokens is not None or not self.thinks:
            return request
        return _with_bound(request, request.sampling.max_tokens + _THINKING_TOKENS)

    def _detect_thinking(self, reply: Reply) -> None:
        """A reply that is cut off before its answer begins shows that the model thinks."""
        cut_off = reply.finish_reason == "length"
        self.thinks = self.thinks or (cut_off and not without_thinking(reply.text).strip())

    def _warn_of_cut_off(self, request: Request) -> None:
        if not self._warned:
            self._warned = True
            _log.warning(
                "A reply of %s was cut off at its bound of %d tokens. If it happens often, "
                "increase teacher.max_tokens.",
                self.model or self.name,
                self._with_thinking_tokens(request).sampling.max_tokens,
            )

    def _send(self, request: Request) -> Reply:
        """Make a call: reserve, record, send, record the end, settle."""
        sent = self._with_thinking_tokens(request)
        most = most_of_call(sent, self.model, self._prices)
        self._budget.reserve(most)
        call = Pending(self._ledger.begin(request, self.name, most), request, most)
        used = most  # until the end is known: a call that broke off may have been charged
        try:
            reply = self._teacher.attempt(sent)
            used = self._record(call, reply, self._prices)
        except TeacherError as error:
            used = self._record(call, error, self._prices)
            raise
        finally:
            self._budget.settle(most, used)
        return reply

    def _record(self, call: Pending, end: Reply | TeacherError, prices: Prices) -> Amount:
        """Commit how a call ended, before anybody uses it; returns what it has used."""
        if isinstance(end, TeacherError):
            self._ledger.fail(call.n, end)
            return _used_by_failure(type(end).__name__, call.most)
        cost = reply_cost(end, self.model, prices)
        self._ledger.finish(call.n, end, cost, prices.source)
        if self._cache:
            self._cache.save(self._teacher, call.request, end)
        return _used_by_reply(end, cost, call.most)


def most_of_call(request: Request, model: str, prices: Prices) -> Amount:
    """The most that a call can use."""
    tokens, answer = most_tokens(request), request.sampling.max_tokens
    return Amount(1, tokens, prices.cost(model, tokens - answer, answer) or Decimal(0))


def total_used(calls: Iterable[Call]) -> Amount:
    """What calls have used: what replies say, and the reservation where nothing is known."""
    total = Amount()
    for call in calls:
        if call.price_source == FROM_CACHE:
            continue
        if call.reply is not None:
            total += _used_by_reply(call.reply, call.cost, call.most)
        elif call.state == "failed":
            total += _used_by_failure(call.error_kind, call.most)
        else:
            total += call.most
    return total


def _used_by_reply(reply: Reply, cost: Decimal | None, most: Amount) -> Amount:
    """What an answered call has used; all that was reserved where nothing is known."""
    if reply.input_tokens is None or reply.output_tokens is None:
        return most
    return Amount(1, reply.input_tokens + reply.output_tokens, most.usd if cost is None else cost)


def _used_by_failure(kind: str | None, most: Amount) -> Amount:
    """A refused call costs nothing; one that broke off may have been answered and charged."""
    if kind == FieldRefusedError.__name__:
        return Amount()  # it will be made again, and counts then
    return most if kind == TeacherUnavailableError.__name__ else Amount(1)


def _with_bound(request: Request, max_tokens: int) -> Request:
    return replace(request, sampling=replace(request.sampling, max_tokens=max_tokens))


def _end_again(call: Call) -> Reply:
    """The reply of an earlier call once more, or its failure."""
    if call.reply is not None:
        return call.reply
    kind = getattr(pgkd.errors, call.error_kind or "", TeacherError)
    known = isinstance(kind, type) and issubclass(kind, TeacherError)
    error: TeacherError = (kind if known else TeacherError)(call.error or "")
    error.settled = True
    raise error
