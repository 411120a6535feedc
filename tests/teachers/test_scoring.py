"""The scores of choices, against a model whose probabilities are known."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgkd.teachers.local import score_choices

if TYPE_CHECKING:
    from collections.abc import Mapping


class Model:
    """Knows the next tokens after some beginnings, and notes which it was asked for."""

    def __init__(self, table: Mapping[str, Mapping[str, float]]) -> None:
        self._table = table
        self.asked: list[str] = []

    def __call__(self, begun: str) -> dict[bytes, float]:
        self.asked.append(begun)
        return {token.encode(): math.log(p) for token, p in self._table[begun].items()}


def test_probabilities_are_shared_where_the_answers_part() -> None:
    model = Model(
        {
            "": {"card": 0.6, "refund": 0.2, "Card": 0.2},
            "card": {"_": 0.5, "\0": 0.3, "s": 0.1},
            "card_": {"arrival": 0.2, "lost": 0.1, "x": 0.7},
        }
    )
    scores = score_choices(["card", "card_arrival", "card_lost", "refund"], model)
    card, tail = 0.75, 0.5 / 0.8
    expected = [card * 0.3 / 0.8, card * tail * 2 / 3, card * tail / 3, 0.25]
    assert [math.exp(s) for s in scores] == pytest.approx(expected)
    assert model.asked == ["", "card", "card_"]


def test_of_tokens_that_fit_the_likeliest_counts() -> None:
    model = Model({"": {"b": 0.1, "bo": 0.3, "yes": 0.4, "ye": 0.05, "yesterday": 0.1}})
    scores = score_choices(["bob", "yes"], model)
    assert [math.exp(s) for s in scores] == pytest.approx([3 / 7, 4 / 7])


def test_what_no_token_leads_to_counts_as_the_least_likely_one() -> None:
    model = Model({"": {"a": 0.9, "z": 0.1}})
    scores = score_choices(["a", "b", "c"], model)
    assert [math.exp(s) for s in scores] == pytest.approx([0.9 / 1.1, 0.1 / 1.1, 0.1 / 1.1])


def test_an_unlikely_branch_is_shared_evenly_without_a_look() -> None:
    model = Model({"": {"a": 0.9999, "b": 0.0001}})
    scores = score_choices(["a", "b1", "b2"], model)
    assert scores[1] == scores[2] == pytest.approx(math.log(0.00005))
    assert model.asked == [""]


def test_a_token_may_end_in_the_middle_of_a_character() -> None:
    """`é` and `è` begin with the same byte; no prompt can hold that byte alone."""
    scores = score_choices(["é", "è"], lambda begun: {b"\xc3": math.log(0.9), b"x": -3.0})
    assert scores == pytest.approx([math.log(0.5)] * 2)


@given(
    st.lists(st.text(alphabet="abé", min_size=0, max_size=4), min_size=1, max_size=8, unique=True),
    st.randoms(use_true_random=False),
)
def test_they_always_sum_to_one(words: list[str], random: object) -> None:
    draw = random.random  # type: ignore[attr-defined]

    def next_tokens(begun: str) -> dict[bytes, float]:
        return {
            token.encode(): math.log(0.01 + draw()) for token in ("a", "b", "ab", "é", "\0", "q")
        }

    scores = score_choices(words, next_tokens)
    assert sum(math.exp(s) for s in scores) == pytest.approx(1.0)
