"""Who gets how many texts: everything is handed out, weak classes get more, nothing is favoured."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgkd.tasks.common.allocation import allocate, error_rate, portions, scheduled


def test_a_class_without_rows_is_the_weakest_and_none_is_perfect() -> None:
    assert error_rate(0, 0) == 1.0
    assert 0 < error_rate(50, 0) < error_rate(50, 10) < error_rate(1, 1) == 1.0


def test_texts_go_in_proportion_to_the_error_rate() -> None:
    given_ = allocate({"weak": 0.8, "fair": 0.4, "good": 0.2}, {}, 70)
    assert given_ == {"weak": 40, "fair": 20, "good": 10}


def test_what_was_asked_before_counts() -> None:
    assert allocate({"a": 1.0, "b": 1.0}, {"a": 6}, 10) == {"a": 2, "b": 8}


def test_equal_rates_spread_evenly() -> None:
    even = dict.fromkeys("abcd", 1.0)
    asked: dict[str, int] = {}
    for budget in (6, 6, 8):
        for name, count in allocate(even, asked, budget).items():
            asked[name] = asked.get(name, 0) + count
    assert asked == dict.fromkeys("abcd", 5)


@given(
    rates=st.dictionaries(st.text(min_size=1, max_size=3), st.floats(0.01, 1), min_size=1),
    budget=st.integers(0, 200),
)
def test_exactly_the_budget_is_handed_out(rates: dict[str, float], budget: int) -> None:
    found = allocate(rates, {}, budget)
    assert sum(found.values()) == budget
    assert all(count > 0 for count in found.values())
    assert list(found) == [name for name in rates if name in found]


def test_portions_are_even_and_hold_no_more_than_allowed() -> None:
    assert portions([("a", 13), ("b", 3)], 12) == [("a", 7), ("a", 6), ("b", 3)]


@pytest.mark.parametrize(("budget", "rounds"), [(640, 3), (7, 4), (100, 1), (2, 3)])
def test_a_schedule_spends_the_budget_and_doubles_what_is_there(budget: int, rounds: int) -> None:
    counts = [scheduled(budget, rounds, number) for number in range(1, rounds + 1)]
    assert sum(counts) == budget
    for number in range(2, rounds + 1):
        assert abs(counts[number - 1] - sum(counts[: number - 1])) <= 1
