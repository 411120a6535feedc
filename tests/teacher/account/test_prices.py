"""Prices: the list's, the user's, none on the own machine, and unknown where nobody knows."""

from __future__ import annotations

from decimal import Decimal

from pgkd.teacher.account import GivenPrices, ListedPrices, OwnMachine, prices_of


def test_a_listed_model_has_its_price_and_the_list_is_dated() -> None:
    prices = ListedPrices("openai")
    assert prices.cost("gpt-4o-mini", 1_000_000, 0) == Decimal("0.15")
    assert prices.cost("gpt-4o-mini", 0, 1_000_000) == Decimal("0.60")
    assert prices.source.startswith("genai-prices ")
    assert ListedPrices("https://api.openai.com/v1").cost("gpt-4o-mini", 1_000_000, 0)


def test_what_is_not_listed_is_unknown_and_not_zero() -> None:
    assert ListedPrices("openai").cost("no-such-model", 10, 10) is None
    assert ListedPrices("http://127.0.0.1:8000/v1").cost("gpt-4o-mini", 10, 10) is None


def test_whose_prices_apply() -> None:
    assert prices_of(None) == OwnMachine()
    assert prices_of(None).cost("any", 10, 10) == 0
    given = prices_of("openai", Decimal(1), Decimal(2))
    assert given == GivenPrices(Decimal(1), Decimal(2))
    assert isinstance(prices_of("openai"), ListedPrices)
