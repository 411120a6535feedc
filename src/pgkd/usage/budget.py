"""A budget that is never exceeded, however many calls run at once.

Before a call is sent, the most it can use is reserved: its tokens are at most the bytes of its
prompt and schema, with room for the chat template, plus the `max_tokens` of its answer. It is sent
only if the sum of what was used, what is reserved for calls in flight and its own reservation fits.
When it returns, its actual use replaces the reservation.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from decimal import Decimal

from pgkd.errors import BudgetExhaustedError
from pgkd.teachers.base import Request

_TOKENS_PER_MESSAGE = 32  # that a chat template may add around a message
_TOKENS_PER_SCHEMA = 1024  # and around a schema, with what some providers add about tools


@dataclass(frozen=True, slots=True)
class Amount:
    """Usage: a number of calls, their tokens, their cost in US dollars."""

    calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.usd - other.usd)


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """The most that a run may use; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    usd: Decimal | None = None

    def exceeded_by(self, amount: Amount) -> str | None:
        """The first limit that an amount exceeds, in words; None if it exceeds none."""
        for limit, used, unit in (
            (self.calls, amount.calls, "calls"),
            (self.tokens, amount.tokens, "tokens"),
            (self.usd, amount.usd, "US dollars"),
        ):
            if limit is not None and used > limit:
                return f"{limit} {unit}"
        return None


class Budget:
    """What was used, and what calls in flight may still use, within limits. Thread-safe.

    Args:
        limits: of the sum.
        used: what earlier sessions of the run have used.
    """

    def __init__(self, limits: SpendingLimits | None = None, used: Amount | None = None) -> None:
        self._limits = limits or SpendingLimits()
        self._used = used or Amount()
        self._reserved = Amount()
        self._changed = threading.Condition()

    @property
    def used(self) -> Amount:
        """What was used so far, without the calls in flight."""
        with self._changed:
            return self._used

    def reserve(self, most: Amount) -> None:
        """Reserve the most that a call can use; waits for calls in flight where that may help.

        Raises:
            BudgetExhaustedError: it does not fit, and no call in flight can make room.
        """
        with self._changed:
            while limit := self._limits.exceeded_by(self._used + self._reserved + most):
                if self._limits.exceeded_by(self._used + most) or not self._reserved.calls:
                    used = self._used
                    raise BudgetExhaustedError(
                        f"the budget of {limit} is used up: {used.calls} calls, {used.tokens} "
                        f"tokens, {used.usd:.4f} US dollars so far, and the next call may take "
                        f"{most.tokens} tokens. Raise it to continue."
                    )
                self._changed.wait()
            self._reserved += most

    def try_reserve(self, most: Amount) -> bool:
        """Reserve the most that a call can use if it fits now, without waiting."""
        with self._changed:
            if self._limits.exceeded_by(self._used + self._reserved + most):
                return False
            self._reserved += most
            return True

    def reopen(self, most: Amount) -> None:
        """A call of an earlier session is in flight again: its use counts as reserved."""
        self.settle(Amount() - most, Amount() - most)

    def settle(self, most: Amount, used: Amount) -> None:
        """A call has ended: what it used replaces what was reserved for it."""
        with self._changed:
            self._reserved -= most
            self._used += used
            self._changed.notify_all()


def most_tokens(request: Request) -> int:
    """The most tokens that a request and its answer can have. A token is at least one byte."""
    around = _TOKENS_PER_MESSAGE * len(request.messages)
    around += _TOKENS_PER_SCHEMA * (request.schema is not None)
    return prompt_bytes(request) + around + request.sampling.max_tokens


def prompt_bytes(request: Request) -> int:
    """Bytes of a request's messages and schema."""
    messages = sum(len(m.content.encode(errors="replace")) for m in request.messages)
    return messages + (len(json.dumps(request.schema)) if request.schema is not None else 0)
