"""A budget that cannot be overrun, by how many calls at once whatsoever.

Before a call leaves, the most that it can use is reserved: its tokens are at most the bytes of its
prompt and schema, with room for the chat template, and the `max_tokens` of its answer. It leaves
only if what was used, what is reserved for calls in flight, and its own reservation fit. When it
is back, what it really used takes the reservation's place.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from pgkd.errors import BudgetExhaustedError

if TYPE_CHECKING:
    from pgkd.teachers.base import Request

_A_MESSAGE = 32  # tokens that a chat template may add around a message
_A_SCHEMA = 1024  # and around a schema, with what some providers say about tools


@dataclass(frozen=True, slots=True)
class Amount:
    """What calls use: their number, their tokens, their money (US dollars)."""

    calls: int = 0
    tokens: int = 0
    usd: Decimal = Decimal(0)

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.calls + other.calls, self.tokens + other.tokens, self.usd + other.usd)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.calls - other.calls, self.tokens - other.tokens, self.usd - other.usd)


@dataclass(frozen=True, slots=True)
class Limits:
    """The most that a run may use; None is no limit."""

    calls: int | None = None
    tokens: int | None = None
    usd: Decimal | None = None

    def passed_by(self, amount: Amount) -> str | None:
        """The first limit that an amount passes, in words; None if it keeps them all."""
        if self.calls is not None and amount.calls > self.calls:
            return f"{self.calls} calls"
        if self.tokens is not None and amount.tokens > self.tokens:
            return f"{self.tokens} tokens"
        if self.usd is not None and amount.usd > self.usd:
            return f"{self.usd} US dollars"
        return None


class Budget:
    """What may be used, what was, and what calls in flight may still use. Safe between threads.

    Args:
        limits: the most of it all.
        used: what earlier lives of the run have used.
    """

    def __init__(self, limits: Limits | None = None, used: Amount | None = None) -> None:
        self._limits = limits or Limits()
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
            while limit := self._limits.passed_by(self._used + self._reserved + most):
                if self._limits.passed_by(self._used + most) or not self._reserved.calls:
                    raise BudgetExhaustedError(
                        f"the budget of {limit} is used up: {_told(self._used)} so far, and the "
                        f"next call may take {most.tokens} tokens. Raise it to go on."
                    )
                self._changed.wait()
            self._reserved += most

    def reserve_at_once(self, most: Amount) -> bool:
        """Reserve the most that a call can use if it fits now; waits for nothing."""
        with self._changed:
            if self._limits.passed_by(self._used + self._reserved + most):
                return False
            self._reserved += most
            return True

    def reopen(self, most: Amount) -> None:
        """A call of an earlier life is in flight again: what it may use is reserved, not used."""
        self.settle(Amount() - most, Amount() - most)

    def settle(self, most: Amount, used: Amount) -> None:
        """A call is back: what it used takes the place of what was reserved for it."""
        with self._changed:
            self._reserved -= most
            self._used += used
            self._changed.notify_all()


def most_tokens(request: Request) -> int:
    """The most tokens that a request and its answer can have. A token is at least one byte."""
    around = _A_MESSAGE * len(request.messages) + _A_SCHEMA * (request.schema is not None)
    return prompt_bytes(request) + around + request.sampling.max_tokens


def prompt_bytes(request: Request) -> int:
    """Bytes of all that a request says: its messages and its schema."""
    messages = sum(len(m.content.encode(errors="replace")) for m in request.messages)
    return messages + (len(json.dumps(request.schema)) if request.schema is not None else 0)


def _told(used: Amount) -> str:
    return f"{used.calls} calls, {used.tokens} tokens, {used.usd:.4f} US dollars"
