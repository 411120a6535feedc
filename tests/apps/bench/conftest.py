"""A tiny data set, and benchmarks on it that take seconds."""

from __future__ import annotations

import csv
import gzip
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.conftest import make_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETTINGS: dict[str, Any] = {
    "rounds": 2, "samples": 6, "student": {"kind": "linear"}, "label_names": False,
    "synthetic_weight": 1.0, "guidance": {"folds": 2, "glossary": "off", "texts_per_request": 2},
    "data": {"validation_fraction": 0.2}, "exam": 0, "pool": {"samples": 6},
    "curation": {"near_duplicate": 1.0},  # the rows are all alike
}  # fmt: skip
TEACHERS = {"oracle": {"provider": "oracle"}, "fake": {"provider": "fake"}}


def write_rows(path: Path, texts: list[str], labels: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("text", "label"))
        table.writerows(zip(texts, labels, strict=True))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The folder of one data set, ``tiny``, that has no test file yet."""
    texts, labels = make_rows(25)
    write_rows(tmp_path / "data" / "tiny" / "train.csv.gz", texts, labels)
    return tmp_path / "data"


def write_test_file(data: Path) -> None:
    write_rows(data / "tiny" / "test.csv.gz", *make_rows(8, start=60))


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes the file of a benchmark; replies are cached in a place of the test's own."""
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path / "cache"))

    def write(*arms: str, seeds: tuple[int, ...] = (0,), **more: Any) -> Path:
        block = {
            "data": ["tiny"], "rows": [30], "seeds": list(seeds), "arms": list(arms),
            "teachers": more.pop("use", ["oracle"]),
        }  # fmt: skip
        plan = {
            "settings": SETTINGS, "teachers": TEACHERS, "grid": [block], "resamples": 50,
            "label_rows": 10, **more,
        }  # fmt: skip
        path = tmp_path / "tiny.yaml"
        path.write_text(yaml.safe_dump(plan), encoding="utf-8")
        return path

    return write
