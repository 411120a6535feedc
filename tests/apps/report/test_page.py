"""The page: it does no harm, is the same every time, and stays small."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest

from pgkd.apps.report import gather, write_report
from pgkd.apps.report.content import (
    CellChange,
    Content,
    Map,
    Neighbours,
    Point,
    Snippet,
    Text,
    Texts,
)
from pgkd.apps.report.figures import draw
from pgkd.apps.report.page import dollars, duration, one_line, printable, render
from pgkd.errors import MissingExtraError, RunError
from tests.apps.report.conftest import FORMULA, IMAGE, TURNED, distilled

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

MEGABYTE = 1_000_000


class ParsedPage(HTMLParser):
    """Tags, ids and what is asked for in a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def values(self, *names: str) -> list[str]:
        return [value for _, name, value in self.attributes if name in names]


@pytest.fixture(scope="module")
def page(page_path: Path) -> str:
    return page_path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def parsed(page: str) -> ParsedPage:
    return ParsedPage(page)


def test_hostile_texts_are_only_text(page: str, parsed: ParsedPage) -> None:
    assert "img" not in parsed.tags
    assert parsed.tags.count("script") == 1
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert FORMULA in page
    assert f'<bdi dir="auto">{TURNED}</bdi>' in page
    assert "\x07" not in page
    assert "… (20,000 characters)" in page
    assert "long " * 200 not in page


def test_nothing_is_asked_of_anybody(parsed: ParsedPage) -> None:
    targets = parsed.values("href", "src", "action", "data", "poster", "srcset")
    assert targets
    assert {t for t in targets if not t.startswith("#")} == {"data:,"}
    assert not parsed.values("style")


def test_the_policy_knows_the_two_parts_by_their_hashes(page: str, parsed: ParsedPage) -> None:
    (policy,) = [v for t, n, v in parsed.attributes if (t, n) == ("meta", "content") and "src" in v]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("script", "style"):
        body = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert body is not None
        digest = base64.b64encode(hashlib.sha256(body[1].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_ids_are_unique_and_each_reference_has_its_target(page: str, parsed: ParsedPage) -> None:
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    references = [value[1:] for value in parsed.values("href") if value.startswith("#")]
    references += re.findall(r"url\(#(.+?)\)", page)
    references += [i for value in parsed.values("aria-labelledby") for i in value.split()]
    assert set(references) <= set(ids)


def test_every_chart_is_described_and_has_its_table(page: str) -> None:
    charts = re.findall(r"<figure.*?</figure>", page, re.DOTALL)
    assert len(charts) >= 9
    for chart in charts:
        assert 'role="img"' in chart
        assert re.search(r"<title id=.+?>\S", chart)
        assert re.search(r"<desc id=.+?>\S", chart)
        assert "<details>" in chart
        assert "<td>" in chart
        assert "var(--" in chart
        assert not re.search(r'(fill|stroke)="#', chart)


def test_the_same_run_gives_the_same_bytes_in_another_process(
    hostile: RunFolder, page_path: Path, tmp_path: Path
) -> None:
    code = (
        "from pathlib import Path; from pgkd.runs import RunFolder;"
        "from pgkd.apps.report import write_report;"
        f"write_report(RunFolder.open(Path({str(hostile.path)!r})), Path({str(tmp_path / 'r')!r}))"
    )
    seeded = {**os.environ, "PYTHONHASHSEED": "4711"}
    subprocess.run([sys.executable, "-c", code], check=True, env=seeded)
    assert (tmp_path / "r").read_bytes() == page_path.read_bytes()


def test_a_run_of_one_round_has_no_curves(tmp_path: Path) -> None:
    run = distilled(tmp_path / "alone", rounds=0)
    page = write_report(run).read_text(encoding="utf-8")
    assert "without synthetic texts" in page
    assert "Log loss by round" not in page
    assert "The teacher was not called." in page


def test_a_price_that_nobody_knows_is_not_nothing(run: RunFolder) -> None:
    import sqlite3

    with sqlite3.connect(run.ledger_path) as ledger:
        ledger.execute("UPDATE calls SET cost_usd = NULL, price_source = NULL")
    page = write_report(run).read_text(encoding="utf-8")
    assert "Their price is unknown" in page
    assert "$0" not in page


def large(content: Content, *, classes: int, rounds: int) -> Content:
    """As much as a report of so many classes and rounds can hold, in long texts."""
    names = [f"a class with a long name, number {i}" for i in range(classes)]
    text = Snippet("word " * 80, 400)
    line = content.rounds[-1]
    shown = [
        Text(i % rounds + 1, names[i % classes], ("accepted", "too long")[i % 8 == 0], text, text)
        for i in range(800)
    ]
    points = [
        Point(i % 37 / 37, i % 41 / 41, names[i % classes], i % 2 == 0, text) for i in range(1200)
    ]
    per_class = [
        {"name": name, "precision": 0.5, "recall": 0.5, "f1": 0.5, "n": 5} for name in names
    ]
    basis = content.bases[0]
    students = {role: {**each, "cells": per_class} for role, each in basis.students.items()}
    near = tuple(Neighbours(name, 9, 9, 5) for name in names)
    return replace(
        content,
        bases=(replace(basis, students=students),),
        rounds=tuple(replace(line, number=i) for i in range(rounds + 1)),
        cells=tuple(
            CellChange(name, "f1", 5, 0.5, (i + 1) / classes, 3, 4, 5)
            for i, name in enumerate(names)
        ),
        texts=Texts(640, 160, (("too long", 160),), tuple(shown)),
        map=Map("t-SNE", tuple(points), 800, 640, near),
    )


def test_forty_one_classes_and_ten_rounds_stay_under_three_megabytes(run: RunFolder) -> None:
    content = large(gather(run), classes=41, rounds=10)
    page = render(content, draw(content))
    assert 0.3 * MEGABYTE < len(page.encode()) < 3 * MEGABYTE


def test_hundreds_of_classes_are_all_in_the_table(run: RunFolder) -> None:
    content = large(gather(run), classes=400, rounds=3)
    figure = draw(content)["cells"]
    assert len(figure.rows) == 400
    assert "40 of 400" in figure.description
    assert len(render(content, {"cells": figure}).encode()) < 3 * MEGABYTE


def test_a_report_that_cannot_be_written_says_so(run: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be written"):
        write_report(run, tmp_path / "nowhere" / "report.html")


def test_without_matplotlib_the_extra_is_named(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pgkd\[report\]"):
        write_report(run)


def test_words_for_charts_hold_no_mark_of_direction() -> None:
    assert one_line(f"a\n{TURNED}\x00", 60) == "a left right אבג\ufffd"
    assert one_line(IMAGE, 6) == "<img …"
    assert printable("a\tb\nc\x00\ud800") == "a\tb\nc\ufffd\ufffd"


@pytest.mark.parametrize(
    ("usd", "words"),
    [(None, "unknown"), ("0", "$0.00"), ("0.00123", "$0.0012"), ("1234.5", "$1,234.50")],
)
def test_money_in_words(usd: str | None, words: str) -> None:
    assert dollars(usd) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "unknown"), (0.0123, "12.3 ms"), (2.5, "2.5 s"), (600, "10 minutes"),
     (36_000, "10 hours"), (864_000, "10 days")],
)  # fmt: skip
def test_time_in_words(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words
