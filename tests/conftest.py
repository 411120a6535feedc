"""What many tests share: a small task, and run folders in a temporary place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pgkd.config import Config

if TYPE_CHECKING:
    from pathlib import Path

TOPICS = {
    "billing": "invoice charge payment refund card fee statement price",
    "delivery": "parcel courier late address tracking shipment box arrived",
    "account": "login password email profile username locked reset delete",
    "product": "broken size colour quality manual battery screen warranty",
}


def make_rows(per_class: int, *, start: int = 0) -> tuple[list[str], list[str]]:
    """Rows that a linear student can learn, all different and none near another."""
    texts, labels = [], []
    for i in range(start, start + per_class):
        for label, words in TOPICS.items():
            w = words.split()
            a, b, c = w[i % 8], w[(i * 3 + 1) % 8], w[(i * 5 + 3) % 8]
            texts.append(f"case {i * 37 % 1000}: {a} and {b}, then {c} on day {i * 7919 % 365}")
            labels.append(label)
    return texts, labels


@pytest.fixture
def rows() -> tuple[list[str], list[str]]:
    """Ten rows of each of four classes."""
    return make_rows(10)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A quick run: linear student, two rounds of six texts."""
    return Config.parse(
        {
            "student": {"kind": "linear"},
            "teacher": {"provider": "fake"},
            "guidance": {"folds": 3},
            "rounds": 2,
            "samples": 6,
            "out": tmp_path / "run",
        }
    )
