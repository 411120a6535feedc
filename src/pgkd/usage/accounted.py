"""A teacher whose calls are metered."""

from __future__ import annotations

import logging
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pgkd.errors
from pgkd.errors import ConfigError, FieldRefusedError, TeacherError, TeacherUnavailableError
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.replies import without_thinking
from pgkd.usage.budget import Amount, Budget, Limits, most_tokens
from pgkd.usage.prices import prices_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgkd.usage.cache import ReplyCache
    from pgkd.usage.ledger import Call, Ledger
    from pgkd.usage.prices import Prices

_log = logging.getLogger(__name__)
_THINKING_TOKENS = 8192  # added to the bound of an answer; providers advise thousands

FROM_CACHE = "cache"
"""What the ledger gives as the source of the price where a reply was paid for by another run."""


class AccountedTeacher(Teacher):
    """Asks a teacher through a ledger and within a budget: nothing is paid twice, or too much.

    A run that is resumed asks the same requests in the same order, and gets from the ledger what
    its earlier life was answered; the first request that has no end there goes to the teacher.

    Args:
        teacher: who is asked; closing it stays with who made it.
        ledger: where every call is written down, before it leaves and before its reply is used.
        prices: what its tokens cost; default: its biller's list.
        limits: the most that all calls in the ledger may use.
        cache: replies that other runs have paid for.
        max_tokens: bound of every reply; None takes each request's own, with thinking tokens on
            top where the model is known to think.

    Raises:
        ConfigError: there is a limit in US dollars, and no price to count them by.
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
    ) -> None:
        self._stand_for(teacher)
        self._teacher = teacher
        self._max_tokens = max_tokens
        self._warned = False
        self._lessons = 0  # calls whose refusal changed what is sent
        self._ledger = ledger
        self._cache = cache
        self._prices = prices or prices_of(teacher.biller)
        self._budget = Budget(limits, spent(ledger.calls()))
        if limits and limits.usd is not None and self._prices.cost(self.model, 1, 1) is None:
            raise ConfigError(
                f"No price is known for '{self.model}' of {self.name}, so a budget in US dollars "
                "cannot be kept: give teacher.price_input and teacher.price_output, or a budget in "
                "tokens or calls."
            )

    def complete(self, request: Request) -> Reply:
        """Answer one request, from the ledger, from the cache or from the teacher.

        Raises:
            BudgetExhaustedError: the call might pass a limit. It was not made.
            TeacherError: no reply came, now or when the run went on without it.
        """
        request = self._bounded(request)
        settled = self._ledger.settled(request)
        if settled is not None:
            return _again(settled)
        stored = self._cache.find(self._teacher, request) if self._cache else None
        if stored is not None:
            n = self._ledger.begin(request, self.name, Amount())
            self._ledger.finish(n, stored, Decimal(0), FROM_CACHE)
            return stored
        return self._ask(request)

    def _bounded(self, request: Request) -> Request:
        """A request with the user's bound, if there is one."""
        if self._max_tokens is None:
            return request
        return replace(request, sampling=replace(request.sampling, max_tokens=self._max_tokens))

    def _with_thinking_tokens(self, request: Request) -> Request:
        """A request as it is sent: unless the user set a bound, a model that thinks gets more.

        Ledger and cache identify the request by the bound without these tokens, because a run may
        learn only halfway through that its model thinks.
        """
        if self._max_tokens is not None or not self.thinks:
            return request
        bound = request.sampling.max_tokens + _THINKING_TOKENS
        return replace(request, sampling=replace(request.sampling, max_tokens=bound))

    def _ask(self, request: Request) -> Reply:
        """The reply; calls that were refused, and taught how to ask, precede it in the ledger."""
        while True:
            thought = self.thinks
            try:
                reply = self._call(request)
            except FieldRefusedError as refusal:
                self.thinks = self.thinks or refusal.thinks
                self._lessons += 1
                continue
            if reply.finish_reason != "length":
                return reply
            self._notice_thinking(reply)
            if thought or not self.thinks or self._max_tokens is not None:
                self._warn(request)
                return reply

    def _notice_thinking(self, reply: Reply) -> None:
        """A reply that is cut off before its answer begins shows that the model thinks."""
        cut_off = reply.finish_reason == "length"
        self.thinks = self.thinks or (cut_off and not without_thinking(reply.text).strip())

    def _warn(self, request: Request) -> None:
        if not self._warned:
            self._warned = True
            bound = self._with_thinking_tokens(request).sampling.max_tokens
            _log.warning(
                "A reply of %s was cut off at its bound of %d tokens. If it happens often, "
                "set teacher.max_tokens to more.",
                self.model or self.name,
                bound,
            )

    def _call(self, request: Request) -> Reply:
        """A call that leaves: reserved, written down, made, written down, settled."""
        sent = self._with_thinking_tokens(request)
        most = most_of(sent, self.model, self._prices)
        self._budget.reserve(most)
        n = self._ledger.begin(request, self.name, most)
        used = most  # until the end is known: a call that broke off may have been charged
        try:
            reply = self._teacher.attempt(sent)
            cost = cost_of(reply, self.model, self._prices)
            self._ledger.finish(n, reply, cost, self._prices.source)
            if self._cache:
                self._cache.keep(self._teacher, request, reply)
            used = used_by(reply, cost, most)
        except TeacherError as error:
            self._ledger.fail(n, error)
            used = used_by_failure(type(error).__name__, most)
            raise
        finally:
            self._budget.settle(most, used)
        return reply


def most_of(request: Request, model: str, prices: Prices) -> Amount:
    """The most that a call can use."""
    tokens, answer = most_tokens(request), request.sampling.max_tokens
    usd = prices.cost(model, tokens - answer, answer)
    return Amount(1, tokens, usd or Decimal(0))


def cost_of(reply: Reply, model: str, prices: Prices) -> Decimal | None:
    """What a reply has cost; None where its tokens or their price are not known."""
    if reply.input_tokens is None or reply.output_tokens is None:
        return None
    cached = min(reply.cached_tokens or 0, reply.input_tokens)
    counts = reply.input_tokens, reply.output_tokens, cached
    named = prices.cost(reply.model, *counts)
    return prices.cost(model, *counts) if named is None and model != reply.model else named


def spent(calls: Iterable[Call]) -> Amount:
    """What calls have used: what replies say, and the reservation where nothing is known."""
    total = Amount()
    for call in calls:
        if call.price_source == FROM_CACHE:
            continue
        if call.reply is not None:
            total += used_by(call.reply, call.cost, call.most)
        elif call.state == "failed":
            total += used_by_failure(call.error_kind, call.most)
        else:
            total += call.most
    return total


def used_by(reply: Reply, cost: Decimal | None, most: Amount) -> Amount:
    """What an answered call has used; all that was reserved where nothing is known."""
    if reply.input_tokens is None or reply.output_tokens is None:
        return most
    return Amount(1, reply.input_tokens + reply.output_tokens, most.usd if cost is None else cost)


def used_by_failure(kind: str | None, most: Amount) -> Amount:
    """A refused call costs nothing; one that broke off may have been answered and charged."""
    if kind == FieldRefusedError.__name__:
        return Amount()  # it will be made again, and counts then
    return most if kind == TeacherUnavailableError.__name__ else Amount(1)


def _again(call: Call) -> Reply:
    """The end of an earlier call once more: its reply, or its failure."""
    if call.reply is not None:
        return call.reply
    kind = getattr(pgkd.errors, call.error_kind or "", TeacherError)
    known = isinstance(kind, type) and issubclass(kind, TeacherError)
    error: TeacherError = (kind if known else TeacherError)(call.error or "")
    error.settled = True
    raise error
