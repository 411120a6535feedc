"""Runs side by side, and a run that goes on: watched, paused and stopped in a real browser."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pgkd.distiller import Distiller
from pgkd.runs.control import read_signal
from pgkd.runs.folder import RunFolder
from tests.apps.ui.conftest import WebUI, opened
from tests.apps.ui.test_starting import rows_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

SLOW = """
import sys, time
from pathlib import Path
from pgkd import Distiller, FakeTeacher
from tests.conftest import make_rows

class Slow(FakeTeacher):
    def complete(self, request):
        time.sleep(2)  # longer than a page takes to be brought up to date
        return super().complete(request)

Distiller(
    teacher=Slow(), student={"kind": "linear"}, guidance={"folds": 3}, rounds=3, samples=24,
    out=sys.argv[1],
).fit(*make_rows(10))
"""


@contextmanager
def slow_run(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run in a process of its own, as from the command line, that takes its time."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(path)], env={**os.environ, "PYTHONPATH": _path()}
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _path() -> str:
    root = os.fspath(__file__).partition("/tests/apps/ui/")[0]
    return os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    return tmp_path / "runs"


def test_a_run_is_watched_paused_and_stopped(page: Page, root: Path) -> None:
    with opened(root) as ui, slow_run(root / "slow") as process:
        ui.enter(page)
        link = page.get_by_role("link", name="slow")
        link.wait_for()  # it appears by itself
        link.click()
        page.locator("#state", has_text="the teacher writes").wait_for()
        page.locator("#pause").click()
        page.locator("#state", has_text="paused").wait_for()
        assert page.inner_text("#state").count("ann")
        said = page.inner_text("#state")
        time.sleep(1)
        assert page.inner_text("#state") == said
        page.locator("#go").click()
        page.locator("#state", has_text="running").wait_for()
        page.locator("tbody th", has_text="0").first.wait_for()
        page.locator("#stop").click()
        page.locator("#state .state.ended").wait_for()
        assert "it was stopped: ann stopped it" in page.inner_text("#state")
        assert page.locator("#stop").count() == 0
        assert process.wait(30) == 0
        run = RunFolder.open(root / "slow")
        assert run.has_student("best")
        assert run.read_json("result.json")["stopped_by"] == "interrupted"


def test_a_run_that_was_killed_is_cut_off(page: Page, root: Path) -> None:
    with opened(root) as ui, slow_run(root / "slow") as process:
        ui.enter(page)
        page.get_by_role("link", name="slow").click()
        page.locator("#state", has_text="the teacher writes").wait_for()
        process.kill()
        page.locator("#state", has_text="cut off").wait_for()
        assert page.locator("#stop").count() == 0
        status, message = ui.post("/runs/slow/control", signal="stop")
        assert status == 422
        assert "No process runs this run" in message
        assert read_signal(RunFolder(root / "slow"))[0] == "go"


def test_runs_stand_side_by_side_and_one_that_is_damaged_says_so(page: Page, ui: WebUI) -> None:
    (ui.path / "broken").mkdir()
    (ui.path / "broken" / "config.yaml").write_text("rounds: 2")
    (ui.path / "broken" / "journal.jsonl").write_text("no JSON\n")
    ui.enter(page)
    page.get_by_role("link", name="plain").wait_for()
    line = page.locator("tr", has_text="plain").inner_text()
    result = RunFolder.open(ui.path / "plain").read_json("result.json")
    best = next(r for r in result["rounds"] if r["round"] == result["best"])
    assert f"{best['validation']['accuracy']:.3f}" in line
    assert "ended" in line
    assert "fake" in line
    assert "journal.jsonl, line 1, is damaged" in page.locator("tr", has_text="broken").inner_text()
    page.get_by_role("link", name="broken").click()
    page.get_by_text("This cannot be shown").wait_for()


def test_a_single_run_can_be_shown_alone(page: Page, folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "config.yaml").write_text("rounds: 2")
    with opened(folder / "plain") as ui:
        assert ui.get("/runs/plain")[0] == 200
        assert ui.get("/runs/other")[0] == 422
        ui.enter(page)
        assert page.locator("tbody tr").count() == 1


def test_what_is_not_there_is_told_as_text(page: Page, ui: WebUI) -> None:
    ui.enter(page, "/runs/%3Cimg%20src=x%20onerror=alert(1)%3E")
    page.get_by_text('There is no run "<img src=x onerror=alert(1)>" here.').wait_for()
    assert page.locator("img").count() == 0
    assert ui.get("/nothing")[0] == 404
    status, message = ui.post("/runs/plain/decisions", id="nothing", decision="accept")
    assert (status, "not in the run" in message) == (422, True)
    status, message = ui.post("/runs/plain/control", signal="explode")
    assert (status, 'Unknown signal "explode"' in message) == (422, True)


def test_an_empty_folder_says_what_to_do(page: Page, tmp_path: Path) -> None:
    with opened(tmp_path / "nothing-yet") as ui:
        ui.enter(page)
        page.get_by_text("There are no runs here yet.").wait_for()


@pytest.mark.parametrize("width", [320, 1200])
def test_no_screen_has_to_scroll_sideways(page: Page, ui: WebUI, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/runs/plain"):
        ui.enter(page, path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_run_that_was_cut_off_goes_on_from_the_page(page: Page, root: Path) -> None:
    data = rows_file(root.parent / "rows.csv")
    columns = {"train": data, "text_column": "what they wrote", "label_column": "kind"}
    Distiller(
        teacher="fake", student={"kind": "linear"}, guidance={"folds": 3}, rounds=1, samples=6,
        data=columns, out=root / "cut",
    ).fit()  # fmt: skip
    journal = root / "cut" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    assert "run ended" in lines[-1]
    journal.write_text("".join(lines[:-1]))
    with opened(root) as ui:
        ui.enter(page, "/runs/cut")
        page.locator("#state", has_text="cut off").wait_for()
        page.locator("#resume").click()
        page.locator("#state .state.ended").wait_for()
        assert page.locator("#resume").count() == 0
    events = [line["event"] for line in RunFolder.open(root / "cut").read_lines("journal.jsonl")]
    assert events[0] == "run resumed"
    assert events[-1] == "run ended"
