"""Some cells of the fuzz of run folders; `make fuzz-runs` runs them all."""

from __future__ import annotations

import random
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.runs import FILES, HARMS, Cell, cells, make_pristine, run_cell

if TYPE_CHECKING:
    from pathlib import Path

SAMPLE = 60
ALWAYS = (  # what a page, a command or a finished run was lost by
    Cell("ledger.sqlite", "empty", "distill"),
    Cell("journal.jsonl", "nested", "ui"),
    Cell("journal.jsonl", "a pipe", "ui"),
    Cell("config.yaml", "aliases", "ui"),
    Cell("config.yaml", "nested", "ui"),
    Cell("config.yaml", "a link out", "report"),
    Cell("examples.jsonl", "no UTF-8", "show"),
    Cell("result.json", "missing keys", "export"),
    Cell("students/best/student.json", "a pipe", "predict"),
    Cell("task.json", "other types", "evaluate"),
)


def sampled() -> list[Cell]:
    """Others every day, and the same on all machines, so that in weeks all have had their turn."""
    return random.Random(date.today().toordinal()).sample(cells(), SAMPLE)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    make_pristine(folder)
    return folder


@pytest.mark.parametrize("cell", [*ALWAYS, *sampled()], ids=str)
def test_a_harmed_run_ends_with_an_answer_or_a_sentence(
    cell: Cell, pristine: Path, tmp_path: Path
) -> None:
    run_cell(cell, pristine, tmp_path / "work")


def test_every_file_is_harmed_in_every_way() -> None:
    assert {cell.file for cell in cells()} == set(FILES)
    assert {cell.harm for cell in cells()} == set(HARMS)
