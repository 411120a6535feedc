"""What a run will cost, before it costs anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pgkd.teachers.base import Request
from pgkd.usage.budget import most_tokens, prompt_bytes
from pgkd.usage.prices import Prices

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the output around each text of an answer


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all rounds will use if none is left out, and every text that is asked for is kept.

    Attributes:
        calls: requests, without repairs.
        input_tokens: of prompts, about.
        output_tokens: of answers, about.
        most_tokens: what a budget would reserve for all of them.
        usd: US dollars, about; None where no price is known.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    most_tokens: int
    usd: Decimal | None

    def to_json(self) -> dict[str, Any]:
        """Plain data; dollars as a decimal in words."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "most_tokens": self.most_tokens,
            "usd": None if self.usd is None else str(self.usd),
        }


def estimate(
    requests: Iterable[tuple[Request, int]], texts: Sequence[str], prices: Prices, model: str
) -> Estimate:
    """What requests will use.

    Args:
        requests: each with the number of texts that it asks for; 0 where a class is the answer.
        texts: real texts, as long as those that will be written.
        prices: of the teacher.
        model: that is asked.
    """
    length = sum(len(text.encode()) for text in texts) / len(texts) / _BYTES_A_TOKEN
    calls = prompts = answers = most = 0
    for request, count in requests:
        calls += 1
        prompts += prompt_bytes(request) // _BYTES_A_TOKEN
        answers += round(count * length + max(1, count) * _AROUND_A_TEXT)
        most += most_tokens(request)
    return Estimate(calls, prompts, answers, most, prices.cost(model, prompts, answers))
