"""Every command and snippet of the docs runs; what cannot is checked, and the page says why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from docs.reference.make import PAGES as MADE

from tests.docs.checks import check, check_span
from tests.docs.pages import ROOT, read_page

if TYPE_CHECKING:
    from pathlib import Path

    from tests.docs.desk import Desk

PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.name not in MADE),
    *sorted((ROOT / "examples").rglob("*.md")),
]


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_every_block_names_what_there_is(path: Path, tmp_path: Path) -> None:
    for block in read_page(path).blocks:
        if block.shown:
            try:
                check(block, tmp_path)
            except Exception as error:
                where = f"{path.relative_to(ROOT)}, line {block.line}"
                raise AssertionError(f"{where}: {error}") from error


@pytest.mark.pages
@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_every_block_of_a_page_does_what_the_page_says(path: Path, desk: Desk) -> None:
    for block in read_page(path).blocks:
        try:
            desk.work(block)
        except Exception as error:
            raise AssertionError(f"{path.relative_to(ROOT)}, line {block.line}: {error}") from error


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_every_command_within_a_sentence_is_there(path: Path) -> None:
    for code, line in read_page(path).spans:
        if code.split()[:1] == ["pgkd"]:
            try:
                check_span(code)
            except AssertionError as error:
                raise AssertionError(f"{path.relative_to(ROOT)}, line {line}: {error}") from error


def test_what_is_not_run_says_why() -> None:
    reasons = [
        b.notes["not run"] for p in PAGES for b in read_page(p).blocks if "not run" in b.notes
    ]
    assert all(len(reason.split()) > 1 for reason in reasons), reasons
