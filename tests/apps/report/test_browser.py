"""The page in a real browser: a hostile run, the keyboard, no script, a phone, the dark, paper."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from tests.apps.report.conftest import IMAGE

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page


@pytest.fixture
def noise(page: Page) -> list[str]:
    """What the page says on the console, and what it asks for."""
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("request", lambda request: heard.append(f"request: {request.url}"))
    return heard


@pytest.fixture
def opened(page: Page, noise: list[str], page_path: Path) -> Page:
    """The report of the hostile run, open."""
    page.goto(page_path.as_uri())
    return page


def shown(page: Page) -> int:
    return page.locator("#texts tbody tr:visible").count()


def test_a_hostile_run_does_no_harm(opened: Page, noise: list[str], page_path: Path) -> None:
    for summary in opened.locator("summary").all():
        summary.click()
    assert opened.get_by_text(IMAGE).first.is_visible()
    assert opened.locator("img").count() == 0
    assert noise == [f"request: {page_path.as_uri()}"]


def test_the_filter_works_by_keyboard(opened: Page) -> None:
    from playwright.sync_api import expect

    whole = shown(opened)
    opened.locator("#filter select[name=label]").focus()
    opened.keyboard.press("Tab")
    opened.keyboard.press("ArrowDown")  # the first round
    in_round = shown(opened)
    assert 0 < in_round < whole
    assert opened.locator("#filter-count").inner_text() == f"{in_round} of {whole} texts"
    opened.keyboard.press("Tab")
    opened.keyboard.type("no JSON")
    dropped = shown(opened)
    assert 0 < dropped < in_round
    opened.keyboard.press("Tab")
    opened.keyboard.type("onerror")
    assert 0 < shown(opened) < dropped
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")  # show all
    expect(opened.locator("#texts tbody tr:visible")).to_have_count(whole)


def test_the_enter_key_in_the_filter_goes_nowhere(opened: Page, noise: list[str]) -> None:
    opened.get_by_label("Words").fill("nothing has these words")
    opened.get_by_label("Words").press("Enter")
    assert shown(opened) == 0
    assert len(noise) == 1


def test_it_can_be_read_without_script(browser: Browser, page_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_path.as_uri())
    assert page.locator("#filter").is_hidden()
    assert page.locator("#texts tbody tr").count() == shown(page) > 0
    context.close()


@pytest.mark.parametrize("width", [320, 768, 1400])
def test_no_screen_has_to_scroll_sideways(opened: Page, width: int) -> None:
    opened.set_viewport_size({"width": width, "height": 800})
    inside = opened.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert inside


def test_charts_follow_light_and_dark(opened: Page) -> None:
    colours = set()
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        text = opened.locator("#loss svg text").first
        ink = text.evaluate("e => getComputedStyle(e).fill")
        paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
        assert ink != paper
        colours |= {ink, paper}
    assert len(colours) == 4


def test_paper_is_light_and_bears_no_controls(opened: Page) -> None:
    opened.emulate_media(media="print", color_scheme="dark")
    assert (
        opened.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    )
    assert opened.locator("nav").is_hidden()
    assert opened.locator("#filter").is_hidden()


def test_a_screen_reader_finds_names_and_headings_in_order(opened: Page) -> None:
    levels = opened.eval_on_selector_all("h1, h2, h3", "all => all.map(e => +e.tagName[1])")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    names = opened.eval_on_selector_all(
        "svg[role=img]", "all => all.map(e => document.getElementById("
        "e.getAttribute('aria-labelledby').split(' ')[0]).textContent)",
    )  # fmt: skip
    assert len(names) == len(set(names)) > 8
