"""Sums of calls: what nobody knows the price of is never taken for nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from pgkd.teachers.base import Reply, Request
from pgkd.usage.ledger import Ledger
from pgkd.usage.sums import by_round_and_purpose, known_usd, summed

if TYPE_CHECKING:
    from pathlib import Path


def ledger(path: Path, *calls: tuple[str, str, str | None]) -> Ledger:
    """Answered calls with their names, purposes and prices."""
    made = Ledger(path)
    for id_, purpose, usd in calls:
        n = made.begin(Request((), id=id_, purpose=purpose), "teacher")
        cost = None if usd is None else Decimal(usd)
        made.finish(n, Reply("", "m", 10, 1), cost, None if usd is None else "given")
    return made


def test_parts_are_rounds_and_purposes_in_order(tmp_path: Path) -> None:
    rows = (("r2-1", "write", "1"), ("r1-1", "write", "2"), ("r1-1-repair1", "repair", "3"),
            ("r1-2", "write", "4"))  # fmt: skip
    with ledger(tmp_path / "ledger", *rows) as usage:
        parts = by_round_and_purpose(usage.calls())
    assert [(part["round"], part["purpose"], part["usd"]) for part in parts] == [
        (1, "repair", "3"), (1, "write", "6"), (2, "write", "1"),
    ]  # fmt: skip


def test_a_sum_is_unknown_where_no_price_of_it_is_known(tmp_path: Path) -> None:
    with ledger(tmp_path / "none", ("a", "write", None)) as usage:
        assert known_usd(summed(usage.calls())) is None
    with ledger(tmp_path / "part", ("a", "write", None), ("b", "write", "2")) as usage:
        assert known_usd(summed(usage.calls())) == 2
    assert known_usd(summed([])) == 0
