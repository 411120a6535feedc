"""A run from a dropped file: in a browser, with the command that a user would type."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
import yaml

from pgkd.apps.ui.starting import Draft, free_name
from pgkd.config import Config
from pgkd.errors import ConfigError, DataError, RunError
from pgkd.runs.folder import RunFolder
from tests.apps.ui.conftest import HOSTILE, WebUI, opened
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

IMAGE, FORMULA = HOSTILE[0], HOSTILE[2]


def rows_file(path: Path, *, names: dict[str, str] | None = None) -> Path:
    texts, labels = make_rows(8)
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("number", "what they wrote", "kind"))
        for i, (text, label) in enumerate(zip(texts, labels, strict=True)):
            table.writerow((i, text, (names or {}).get(label, label)))
    return path


def fill_in(page: Page, ui: WebUI, path: Path) -> None:
    """Everything up to the settings of a quick run that asks nobody."""
    ui.enter(page, "/new")
    page.set_input_files("#file", path)
    page.get_by_role("heading", name="Columns").wait_for()
    page.locator("select[name=text]").select_option("what they wrote")
    page.locator("select[name=label]").select_option("kind")
    page.get_by_role("button", name="Read the rows").click()
    page.get_by_role("heading", name="Classes").wait_for()
    page.locator("select[name='teacher.provider']").select_option("fake")
    page.locator("select[name='student.kind']").select_option("linear")
    page.fill("input[name=rounds]", "1")
    page.fill("input[name=samples]", "6")


def test_a_dropped_file_becomes_a_run(page: Page, tmp_path: Path) -> None:
    data = rows_file(tmp_path / "my tickets.csv", names={"billing": IMAGE, "account": FORMULA})
    with opened(tmp_path / "runs") as ui:
        fill_in(page, ui, data)
        assert "4 classes" in page.inner_text("#settings")
        page.get_by_label(IMAGE).fill("who paid too much")
        page.fill("#instructions", "customers of a shop")
        page.fill("input[name='budget.calls']", "many")
        page.locator("#start").click()
        page.locator("#error", has_text="budget.calls").wait_for()  # and nothing is lost
        page.fill("input[name='budget.calls']", "20")
        page.locator("#ask-estimate").click()
        page.locator("#estimate", has_text="Up to").wait_for()
        assert not list((tmp_path / "runs").glob("my-tickets*"))  # an estimate makes no run
        page.locator("#start").click()
        page.wait_for_url("**/runs/my-tickets-1")
        page.locator("#state .state.ended").wait_for()
        assert page.locator("img").count() == 0
    run = RunFolder.open(tmp_path / "runs" / "my-tickets-1")
    config = Config.from_yaml(run.path / "config.yaml")
    assert (config.rounds, config.samples, config.budget.calls) == (1, 6, 20)
    assert config.guidance.instructions == "customers of a shop"
    assert run.dataset().taxonomy[IMAGE].description == "who paid too much"
    assert run.read_json("result.json")["stopped_by"] in ("rounds", "budget")


def test_a_file_that_cannot_be_used_is_told_and_another_one_may_follow(
    page: Page, tmp_path: Path
) -> None:
    with opened(tmp_path / "runs") as ui:
        ui.enter(page, "/new")
        (tmp_path / "notes.txt").write_text("hello")
        page.set_input_files("#file", tmp_path / "notes.txt")
        page.locator("#error", has_text="Unknown file type").wait_for()
        (tmp_path / "one.csv").write_text("text\nhello\n")
        page.set_input_files("#file", tmp_path / "one.csv")
        page.locator("#error", has_text="a column of texts and one of classes").wait_for()
        page.set_input_files("#file", rows_file(tmp_path / "good.csv"))
        page.get_by_role("heading", name="Columns").wait_for()
        assert page.locator("#error").is_hidden()
        page.locator("select[name=text]").select_option("kind")
        page.locator("select[name=label]").select_option("kind")
        page.get_by_role("button", name="Read the rows").click()
        page.locator("#error", has_text="Choose two different columns").wait_for()


def test_a_web_ui_of_one_run_starts_no_other(ui: WebUI) -> None:
    with opened(ui.path / "plain") as single:
        assert single.get("/new")[0] == 422


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    content = rows_file(tmp_path / "rows.csv").read_bytes()
    return Draft.create(tmp_path / "drafts", "../../we ird.csv", content)


def test_columns_are_guessed_by_name_or_by_length(tmp_path: Path, draft: Draft) -> None:
    found = draft.columns()
    assert (found.text, found.label) == ("what they wrote", "kind")
    content = b"id,Category,Message\n1,a long class name it is,hi\n"
    named = Draft.create(tmp_path / "drafts", "x.CSV", content).columns()
    assert (named.text, named.label) == ("Message", "Category")


def test_a_name_of_a_file_leads_nowhere(tmp_path: Path, draft: Draft) -> None:
    assert draft.rows.parent == draft.folder
    assert draft.folder.parent == tmp_path / "drafts"
    assert draft.name == "we ird"
    assert free_name(tmp_path, "../\u202e<img>") == "img-1"
    (tmp_path / "run-1").mkdir()
    assert free_name(tmp_path, "…") == "run-2"


@pytest.mark.parametrize("id_", ["", "..", "../drafts", "0" * 16, "A" * 16])
def test_a_draft_that_is_not_there_is_told(tmp_path: Path, id_: str) -> None:
    with pytest.raises(RunError, match="Drop it again"):
        Draft.open(tmp_path, id_)


def test_settings_and_classes_are_files_that_the_command_line_reads(
    tmp_path: Path, draft: Draft
) -> None:
    with pytest.raises(RunError, match="Choose the columns first"):
        draft.write({}, tmp_path / "run")
    draft.choose("what they wrote", "kind")
    form = {"about-0": " mine ", "rounds": "3", "teacher.model": "", "teacher.provider": "fake"}
    written = draft.write(form, tmp_path / "run")
    assert Config.from_yaml(draft.config) == written
    assert (written.rounds, written.teacher.provider, written.teacher.model) == (3, "fake", None)
    listed = yaml.safe_load((draft.folder / "classes.yaml").read_text())
    assert listed[0] == {"name": "account", "description": "mine"}
    with pytest.raises(ConfigError, match="rounds"):
        draft.write({"rounds": "-1"}, tmp_path / "run")


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    for name, content in (("a.csv", b""), ("a.parquet", b"no"), ("a.exe", b"MZ")):
        with pytest.raises(DataError):
            Draft.create(tmp_path, name, content).columns()
