"""Allocation: the whole budget is spent, evenly first, then where the student is weak."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from pgkd.guidance.allocation import Need, Quota, allocate, spread_evenly


def needs_of(*rows: tuple[str, int, int, float | None]) -> list[Need]:
    return [Need(*row) for row in rows]


def texts_by_label(quotas: tuple[Quota, ...]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for quota in quotas:
        counts[quota.label] += quota.count
    return counts


def test_the_floor_serves_the_rarest_classes_first() -> None:
    needs = needs_of(("common", 50, 0, 0.9), ("rare", 1, 0, None), ("unseen", 0, 0, None))
    quotas = allocate(needs, {}, budget=4, planned=12, floor_share=1.0, per_request=4)
    assert [quota.label for quota in quotas] == ["unseen"]
    assert quotas[0].reason == "floor: 0 of 4 texts, 0 real rows"


def test_over_the_rounds_every_class_reaches_the_floor() -> None:
    written = dict.fromkeys("abcdefg", 0)
    for _ in range(4):
        needs = [Need(name, i, written[name], 0.5) for i, name in enumerate(written)]
        quotas = allocate(
            needs, {("a", "b"): 9}, budget=7, planned=28, floor_share=0.75, per_request=3
        )
        for quota in quotas:
            written[quota.label] += quota.count
    assert min(written.values()) >= 3
    assert sum(written.values()) == 28


def test_after_the_floor_confused_pairs_come_before_weak_classes() -> None:
    needs = needs_of(("a", 9, 9, 0.9), ("b", 9, 9, 0.9), ("c", 9, 9, 0.1))
    quotas = allocate(
        needs, {("a", "b"): 3, ("b", "a"): 8}, budget=8, planned=8, floor_share=0.5, per_request=4
    )
    assert (quotas[0].label, quotas[0].rival) == ("b", "a")
    assert quotas[0].reason == "confused: 8 rows of 'b' taken for 'a'"
    assert quotas[-1].label == "c"
    assert quotas[-1].reason.startswith("weak: F1 0.10")


def test_a_pair_that_was_asked_for_waits() -> None:
    needs = needs_of(("a", 9, 9, 0.9), ("b", 9, 9, 0.9))
    confusions = {("a", "b"): 5, ("b", "a"): 4}
    quotas = allocate(
        needs,
        confusions,
        budget=4,
        planned=4,
        floor_share=0.0,
        per_request=2,
        asked_pairs={("a", "b"): 4},
    )
    assert (quotas[0].label, quotas[0].rival) == ("b", "a")


names = st.lists(st.text("abcdefgh", min_size=1, max_size=4), min_size=2, max_size=12, unique=True)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_every_budget_is_spent_exactly(data: st.DataObject) -> None:
    labels = data.draw(names)
    f1 = st.one_of(st.none(), st.floats(0, 1))
    count = st.integers(0, 60)
    needs = [Need(n, data.draw(count), data.draw(count), data.draw(f1)) for n in labels]
    pair = st.tuples(st.sampled_from(labels), st.sampled_from(labels)).filter(
        lambda p: p[0] != p[1]
    )
    confusions = data.draw(st.dictionaries(pair, st.integers(1, 30), max_size=8))
    budget, per_request = data.draw(st.integers(1, 80)), data.draw(st.integers(1, 9))
    quotas = allocate(
        needs,
        confusions,
        budget=budget,
        planned=budget * data.draw(st.integers(1, 10)),
        floor_share=data.draw(st.floats(0, 1)),
        per_request=per_request,
    )
    assert sum(quota.count for quota in quotas) == budget
    assert all(1 <= quota.count <= per_request for quota in quotas)
    assert all(quota.label in labels and quota.reason for quota in quotas)


@given(st.integers(1, 12), st.integers(1, 9), st.integers(1, 6), st.integers(1, 5))
def test_an_even_spread_gives_every_class_the_same_and_every_round_its_budget(
    classes: int, budget: int, rounds: int, per_request: int
) -> None:
    names = [f"class {i}" for i in range(classes)]
    given_to: Counter[str] = Counter()
    for number in range(rounds):
        quotas = spread_evenly(
            names, start=number * budget, budget=budget, planned=rounds * budget,
            per_request=per_request,
        )  # fmt: skip
        assert sum(quota.count for quota in quotas) == budget
        assert all(0 < quota.count <= per_request for quota in quotas)
        given_to += texts_by_label(quotas)
    counts = [given_to[name] for name in names]
    assert max(counts) - min(counts) <= 1
