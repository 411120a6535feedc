"""What tokens cost, in US dollars and as decimals. A price that nobody knows stays unknown."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Protocol

from pgkd.errors import MissingExtraError
from pgkd.extras import require

_MILLION = Decimal(1_000_000)


class Prices(Protocol):
    """The prices of one provider."""

    @property
    def source(self) -> str:
        """Where they are from, for the ledger."""

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """What a call costs; None where no price is known, which is never taken for zero.

        Args:
            model: the model's name.
            input_tokens: of the whole prompt.
            output_tokens: of the answer.
            cached_tokens: those of the prompt that the provider had in its cache.
        """


@dataclass(frozen=True, slots=True)
class OwnMachine:
    """Nobody bills for what runs here."""

    source: str = "own machine"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """Nothing."""
        return Decimal(0)


@dataclass(frozen=True, slots=True)
class GivenPrices:
    """Prices that the user gives, for all models.

    Attributes:
        input: US dollars a million tokens of a prompt.
        output: US dollars a million tokens of an answer.
        cached: US dollars a million tokens of a prompt that the provider had in its cache; None is
            the same as `input`.
    """

    input: Decimal
    output: Decimal
    cached: Decimal | None = None
    source: str = "given"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """By the given prices."""
        cached = self.input if self.cached is None else self.cached
        fresh = self.input * (input_tokens - cached_tokens)
        return (fresh + cached * cached_tokens + self.output * output_tokens) / _MILLION


@dataclass(frozen=True, slots=True)
class BatchPrices:
    """What the same costs in a batch: half, at OpenAI as at Anthropic.

    Attributes:
        whole: the prices of calls that are answered at once.
    """

    whole: Prices

    @property
    def source(self) -> str:
        """The list, and that half of it was paid."""
        return f"{self.whole.source}, half for a batch"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """Half of the whole price."""
        whole = self.whole.cost(model, input_tokens, output_tokens, cached_tokens)
        return None if whole is None else whole / 2


class ListedPrices:
    """The price list of the package genai-prices, which is part of it and needs no network.

    Args:
        biller: a provider by genai-prices' name, such as ``openai``, or the URL of an API.
    """

    def __init__(self, biller: str) -> None:
        self._biller = {"provider_api_url" if "://" in biller else "provider_id": biller}

    @cached_property
    def source(self) -> str:
        """The list and its version, which dates it."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            return f"genai-prices {version('genai-prices')}"
        except PackageNotFoundError:
            return "no price list"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """By the list; None where it has neither the provider nor the model."""
        try:
            prices = require("genai_prices", extra="prices", job="Looking up a price")
        except MissingExtraError:
            return None
        usage = prices.Usage(
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_read_tokens=cached_tokens or None,
        )
        try:
            found: Decimal = prices.calc_price(usage, model_ref=model, **self._biller).total_price
        except LookupError:
            return None
        return found


def prices_of(
    biller: str | None,
    price_input: Decimal | None = None,
    price_output: Decimal | None = None,
    price_cached: Decimal | None = None,
) -> Prices:
    """The prices of a teacher: the user's, else its biller's.

    Args:
        biller: `Teacher.biller`.
        price_input: US dollars a million tokens of a prompt, where the user gives it.
        price_output: the same for an answer; both are given, or neither.
        price_cached: the same for what the provider had in its cache; None is `price_input`.
    """
    if price_input is not None and price_output is not None:
        return GivenPrices(price_input, price_output, price_cached)
    return OwnMachine() if biller is None else ListedPrices(biller)
