"""Prices: the list's, the user's, none on the own machine, and unknown where nobody knows."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pgkd.teachers.base import Reply, Request
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher
from pgkd.usage.prices import BatchPrices, GivenPrices, ListedPrices, OwnMachine, make_prices

if TYPE_CHECKING:
    from pathlib import Path


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
    assert make_prices(None) == OwnMachine()
    assert make_prices(None).cost("any", 10, 10) == 0
    given = make_prices("openai", Decimal(1), Decimal(2))
    assert given == GivenPrices(Decimal(1), Decimal(2))
    assert isinstance(make_prices("openai"), ListedPrices)


def test_what_a_provider_had_in_its_cache_costs_less() -> None:
    million = 1_000_000
    listed = ListedPrices("openai").cost("gpt-4o-mini", million, 0, million)
    assert listed == Decimal("0.075")
    given = make_prices("openai", Decimal(1), Decimal(2), Decimal("0.25"))
    assert given.cost("any", million, million, 400_000) == Decimal("2.70")
    assert BatchPrices(given).cost("any", million, million, 400_000) == Decimal("1.35")
    assert GivenPrices(Decimal(1), Decimal(2)).cost("any", million, 0, million) == 1
    assert OwnMachine().cost("any", million, 0, million) == 0


def test_more_cached_tokens_than_the_prompt_has_are_not_believed(tmp_path: Path) -> None:
    reply = Reply("a", "m", 1_000_000, 0, cached_tokens=5_000_000)
    prices = GivenPrices(Decimal(1), Decimal(2), Decimal("0.5"))
    with Ledger(tmp_path / "l") as ledger:
        MeteredTeacher(FakeTeacher([reply]), ledger, prices=prices).complete(Request(()))
        [call] = ledger.calls()
    assert call.cost == Decimal("0.5")
