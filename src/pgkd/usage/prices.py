"""What tokens cost, in US dollars as decimals. A price that is not known stays unknown."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from pgkd.errors import MissingExtraError
from pgkd.extras import require
from pgkd.teachers.base import Reply, Teacher

if TYPE_CHECKING:  # pydantic
    from pgkd.config import Config

_MILLION = Decimal(1_000_000)


class Prices(Protocol):
    """The prices of one provider."""

    @property
    def source(self) -> str:
        """Where they are from, for the ledger."""

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """What a call costs; None where no price is known, which never counts as zero.

        Args:
            model: the model's name.
            input_tokens: of the whole prompt.
            output_tokens: of the answer.
            cached_tokens: those of the prompt that the provider had in its cache.
        """


@dataclass(frozen=True, slots=True)
class OwnMachine:
    """The model runs on the user's own machine, which costs nothing."""

    source: str = "own machine"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """Zero."""
        return Decimal(0)


@dataclass(frozen=True, slots=True)
class GivenPrices:
    """Prices that the user gives, for all models.

    Attributes:
        input: US dollars per million tokens of a prompt.
        output: US dollars per million tokens of an answer.
        cached: US dollars per million tokens of a prompt that the provider had in its cache; None
            is the same as `input`.
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
        uncached = self.input * (input_tokens - cached_tokens)
        return (uncached + cached * cached_tokens + self.output * output_tokens) / _MILLION


@dataclass(frozen=True, slots=True)
class BatchPrices:
    """Half the usual prices: what a batch costs at OpenAI and at Anthropic."""

    usual: Prices

    @property
    def source(self) -> str:
        """The usual source, and that half was paid."""
        return f"{self.usual.source}, half for a batch"

    def cost(
        self, model: str, input_tokens: int, output_tokens: int, cached_tokens: int = 0
    ) -> Decimal | None:
        """Half the usual cost."""
        usual = self.usual.cost(model, input_tokens, output_tokens, cached_tokens)
        return None if usual is None else usual / 2


class ListedPrices:
    """The price list of the package genai-prices, which comes with it and needs no network.

    Args:
        biller: a provider by genai-prices' name, such as ``openai``, or the URL of an API.
    """

    def __init__(self, biller: str) -> None:
        self._biller = {"provider_api_url" if "://" in biller else "provider_id": biller}

    @cached_property
    def source(self) -> str:
        """The list and its version, which dates it."""
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


def make_prices(
    biller: str | None,
    price_input: Decimal | None = None,
    price_output: Decimal | None = None,
    price_cached: Decimal | None = None,
) -> Prices:
    """The prices of a teacher: the user's, else its biller's.

    Args:
        biller: `Teacher.biller`.
        price_input: US dollars per million tokens of a prompt, where the user gives it.
        price_output: the same for an answer; both are given, or neither.
        price_cached: the same for what the provider had in its cache; None is `price_input`.
    """
    if price_input is not None and price_output is not None:
        return GivenPrices(price_input, price_output, price_cached)
    return OwnMachine() if biller is None else ListedPrices(biller)


def prices_from(config: Config, teacher: Teacher) -> Prices:
    """The prices of a teacher under a config."""
    how = config.teacher
    return make_prices(teacher.biller, how.price_input, how.price_output, how.price_cached)


def reply_cost(reply: Reply, model: str, prices: Prices) -> Decimal | None:
    """What a reply to a request for `model` cost; None where tokens or price are not known."""
    if reply.input_tokens is None or reply.output_tokens is None:
        return None
    cached = min(reply.cached_tokens or 0, reply.input_tokens)
    counts = reply.input_tokens, reply.output_tokens, cached
    cost = prices.cost(reply.model, *counts)
    return prices.cost(model, *counts) if cost is None and model != reply.model else cost
