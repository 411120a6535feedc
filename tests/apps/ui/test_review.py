"""The review in a real browser: by keyboard alone, ten thousand texts, hostile ones, two tabs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pgkd.runs.review import Reviews
from tests.apps.ui.conftest import HOSTILE, WebUI, add_texts, opened, run_of
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    from pgkd.runs.folder import RunFolder

IMAGE, FORMULA, LONG = HOSTILE[0], HOSTILE[2], HOSTILE[4]


def review(page: Page, ui: WebUI, query: str = "", name: str = "plain") -> None:
    ui.enter(page, f"/runs/{name}/review{query}")
    page.locator(".card:focus").wait_for()  # the scripts are there


def latest(ui: WebUI, name: str = "plain") -> dict[str, tuple[str, str | None, str | None]]:
    found = Reviews(ui.path / name).latest()
    return {id_: (d.kind, d.label, d.text) for id_, d in found.items()}


def ids(page: Page) -> list[str]:
    return [str(card.get_attribute("data-id")) for card in page.locator(".card").all()]


def current(page: Page) -> str:
    return str(page.locator(".card:focus").get_attribute("data-id"))


def card(page: Page, id_: str) -> Locator:
    return page.locator(f'.card[data-id="{id_}"]')


def test_the_keyboard_is_enough(page: Page, ui: WebUI) -> None:
    review(page, ui)
    order = ids(page)
    assert current(page) == order[0]
    page.keyboard.press("a")
    card(page, order[0]).get_by_text("Accepted by ann").wait_for()
    assert current(page) == order[1]
    page.keyboard.press("r")
    card(page, order[1]).get_by_text("Rejected by ann").wait_for()
    page.keyboard.press("l")
    page.locator("#relabel-words:focus").wait_for()
    page.keyboard.type("prod")
    page.keyboard.press("Enter")
    card(page, order[2]).get_by_text("Relabelled by ann").wait_for()
    assert "product" in card(page, order[2]).locator("h3").inner_text()
    assert current(page) == order[3]
    page.keyboard.press("e")
    page.locator("#edit-words:focus").wait_for()
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("quite other words")
    page.keyboard.press("Control+Enter")
    card(page, order[3]).get_by_text("Edited by ann").wait_for()
    assert card(page, order[3]).locator(".words").inner_text() == "quite other words"
    page.keyboard.press("k")
    page.keyboard.press("k")
    assert current(page) == order[2]
    page.keyboard.press("j")
    assert current(page) == order[3]
    assert latest(ui) == {
        order[0]: ("accept", None, None),
        order[1]: ("reject", None, None),
        order[2]: ("relabel", "product", None),
        order[3]: ("edit", None, "quite other words"),
    }
    page.keyboard.press("u")  # the edit, which was the last action
    card(page, order[3]).get_by_text("Edited by ann").wait_for(state="detached")
    page.keyboard.press("u")
    card(page, order[2]).get_by_text("Relabelled by ann").wait_for(state="detached")
    assert set(latest(ui)) == set(order[:2])
    assert current(page) == order[2]
    assert "2 reviewed" in page.inner_text("#tally")


def test_quick_fingers_lose_nothing(page: Page, ui: WebUI) -> None:
    from playwright.sync_api import expect

    review(page, ui)
    order = ids(page)
    assert len(order) >= 8
    page.keyboard.type("ararar")
    page.keyboard.type("aau")  # undone while it may still be on its way
    until(lambda: len(Reviews(run_of(ui).path).decisions()) == 9)  # eight, and the undoing
    expect(page.locator(".card.accept, .card.reject")).to_have_count(7)
    kinds = [latest(ui).get(id_, ("", None, None))[0] for id_ in order[:8]]
    assert kinds == ["accept", "reject"] * 3 + ["accept", ""]


def test_help_opens_and_closes_by_key_and_single_keys_can_be_turned_off(
    page: Page, ui: WebUI
) -> None:
    review(page, ui)
    page.keyboard.press("?")
    page.locator("#help[open]").wait_for()
    page.keyboard.press("a")  # decides nothing behind the dialog
    page.keyboard.press("Escape")
    page.locator("#help:not([open])").wait_for(state="attached")
    page.get_by_role("checkbox", name="Keyboard shortcuts").uncheck()
    page.locator(".card").first.focus()
    page.keyboard.press("a")
    page.reload()
    page.locator(".card:focus").wait_for()
    assert not page.get_by_role("checkbox", name="Keyboard shortcuts").is_checked()
    page.keyboard.press("a")
    assert latest(ui) == {}
    page.locator(".card:focus").get_by_role("button", name="Accept").press("Enter")
    page.get_by_text("Accepted by ann").wait_for()
    assert page.evaluate("document.activeElement.closest('.card') !== null")  # focus is not lost


def test_relabelling_filters_moves_and_is_left_without_a_trace(page: Page, ui: WebUI) -> None:
    review(page, ui)
    first = current(page)
    page.keyboard.press("l")
    options = page.locator("#relabel-list li:visible")
    assert options.count() == 4
    page.keyboard.type("zzz")
    assert options.count() == 0
    page.keyboard.press("Enter")  # there is nothing to take
    page.keyboard.press("Escape")
    assert current(page) == first
    page.keyboard.press("l")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # from the first to the last
    chosen = str(page.locator("#relabel-list li[aria-selected=true]").get_attribute("data-label"))
    assert chosen == "product"
    page.keyboard.press("Enter")
    card(page, first).get_by_text("Relabelled by ann").wait_for()
    assert latest(ui) == {first: ("relabel", "product", None)}


def test_filters_make_addresses_that_can_be_kept(page: Page, ui: WebUI) -> None:
    review(page, ui)
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "class"
    page.locator("#filter-class").select_option("delivery")
    page.locator("select[name=round]").select_option("1")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**class=delivery**")
    kept = [row for row in run_of(ui).synthetic() if row.label == "delivery"]
    wanted = {row.id for row in kept if row.origin and row.origin.round == 1}
    assert {id_ for id_ in ids(page) if id_.startswith("r")} == wanted
    page.reload()
    assert {id_ for id_ in ids(page) if id_.startswith("r")} == wanted


def test_two_tabs_see_each_others_decisions(page: Page, ui: WebUI) -> None:
    review(page, ui)
    other = page.context.new_page()
    other.goto(f"{ui.origin}/runs/plain/review")
    other.locator(".card:focus").wait_for()
    first, second = ids(page)[:2]
    place = current(other)
    page.bring_to_front()
    page.keyboard.press("r")
    card(other, first).get_by_text("Rejected by ann").wait_for()
    other.locator("#tally", has_text="1 reviewed").wait_for()
    assert current(other) == place  # nobody's place is lost
    Reviews(ui.path / "plain", ("billing",)).decide(second, "accept", "bob")  # another process
    for tab in (page, other):
        card(tab, second).get_by_text("Accepted by bob").wait_for()


def test_who_decides_on_what_was_decided_meanwhile_is_told(page: Page, ui: WebUI) -> None:
    review(page, ui)
    first = current(page)
    page.route("**/changes**", lambda route: route.abort())  # this tab hears nothing
    Reviews(ui.path / "plain").decide(first, "reject", "bob")
    page.keyboard.press("a")
    page.locator("#error", has_text="Meanwhile bob has decided on it: reject").wait_for()
    assert latest(ui)[first][0] == "reject"


def test_a_lost_connection_is_told_and_nothing_is_pretended(page: Page, ui: WebUI) -> None:
    review(page, ui)
    first, second = ids(page)[:2]
    page.context.set_offline(True)
    page.locator("#lost", has_text="The connection to the web UI is lost").wait_for()
    page.keyboard.press("a")
    page.wait_for_timeout(300)
    assert "Accepted" not in card(page, first).inner_text()
    page.context.set_offline(False)
    page.locator("#lost").wait_for(state="hidden")
    assert latest(ui) == {}
    page.keyboard.press("k")
    page.keyboard.press("a")
    card(page, first).get_by_text("Accepted by ann").wait_for()
    assert set(latest(ui)) == {first}
    assert second != first


def test_a_web_ui_that_was_closed_is_told(page: Page, ui: WebUI) -> None:
    review(page, ui)
    assert ui.close() == 0
    page.locator("#lost", has_text="The connection to the web UI is lost").wait_for()


@pytest.fixture
def hostile_ui(hostile: RunFolder, tmp_path: Path) -> Iterator[WebUI]:
    shutil.copytree(hostile.path, tmp_path / "runs" / "hostile")
    with opened(tmp_path / "runs") as ui:
        yield ui


def test_hostile_texts_classes_and_ids_do_no_harm(page: Page, hostile_ui: WebUI) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    review(page, hostile_ui, "?decided=all", name="hostile")
    for path in ("/", "/runs/hostile", "/runs/hostile/review?decided=all"):
        page.goto(f"{hostile_ui.origin}{path}")
        page.wait_for_timeout(200)
        assert page.locator("img").count() == 0
        assert page.locator("script").count() == 2
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.locator(".words").get_by_text(IMAGE, exact=True).first.is_visible()
    assert all(url.startswith(hostile_ui.origin) for url in asked)
    assert not [line for line in said if "Content Security" in line]
    shown = [card.inner_text() for card in page.locator(".card").all()]
    assert any("(20,000 characters)" in text for text in shown)  # a long text is cut, and says so


def test_hostile_texts_are_decided_on_and_written_down_letter_by_letter(
    page: Page, hostile_ui: WebUI
) -> None:
    review(page, hostile_ui, "?decided=all", name="hostile")
    words = page.locator(".words").get_by_text(IMAGE, exact=True)
    id_ = str(page.locator(".card", has=words).first.get_attribute("data-id"))
    card(page, id_).focus()
    page.keyboard.press("e")
    page.locator("#edit-words:focus").wait_for()
    assert page.input_value("#edit-words") == IMAGE
    new = f"{FORMULA}\n</textarea><script>alert(9)</script>\u202e\u2067"
    page.fill("#edit-words", new)
    page.keyboard.press("Control+Enter")
    page.get_by_text("Edited by ann").wait_for()
    page.locator("#edit").wait_for(state="hidden")  # the page may hear of it from the stream first
    assert [text for _, _, text in latest(hostile_ui, "hostile").values()] == [new]
    card(page, id_).focus()  # not by "k": which card is the last one, the CPU's rounding says
    page.keyboard.press("l")
    page.keyboard.type("onerror")
    page.keyboard.press("Enter")
    page.get_by_text("Relabelled by ann").wait_for()
    assert [label for _, label, _ in latest(hostile_ui, "hostile").values()] == [IMAGE]
    assert page.locator("img").count() == 0


def test_a_long_text_is_whole_in_the_editor_and_stays_so(page: Page, ui: WebUI) -> None:
    add_texts(run_of(ui), [(LONG.strip(), "billing")])
    review(page, ui, "?words=long%20long%20long")
    page.keyboard.press("e")
    page.locator("#edit-words:focus").wait_for()
    assert page.input_value("#edit-words") == LONG.strip()
    page.keyboard.press("End")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Edited by ann").wait_for()
    [(kind, _, text)] = latest(ui).values()
    assert (kind, text) == ("edit", LONG.strip())


def test_a_form_that_htmx_does_not_know_yet_is_sent_by_it_all_the_same(
    page: Page, ui: WebUI
) -> None:
    review(page, ui)
    page.evaluate(
        """() => {
            const form = document.querySelector(".card form");
            const fresh = form.cloneNode(true);
            form.replaceWith(fresh);
            fresh.querySelector("button[value=accept]").click();
        }"""
    )
    page.get_by_text("Accepted by ann").wait_for()
    assert [kind for kind, _, _ in latest(ui).values()] == ["accept"]


def test_an_edit_that_nears_a_validation_row_is_refused_and_not_lost(page: Page, ui: WebUI) -> None:
    held = run_of(ui).dataset().validation[0].text
    review(page, ui)
    page.keyboard.press("e")
    page.locator("#edit-words:focus").wait_for()
    page.fill("#edit-words", held.upper())
    page.keyboard.press("Control+Enter")
    page.locator("#edit-error", has_text="nearly a validation row").wait_for()
    assert page.input_value("#edit-words") == held.upper()
    page.keyboard.press("Escape")
    assert latest(ui) == {}


def test_ten_thousand_texts(page: Page, ui: WebUI) -> None:
    topics = ("billing", "delivery", "account", "product")
    many = [(f"text number {i} about {topics[i % 4]}", topics[i % 4]) for i in range(10_000)]
    add_texts(run_of(ui), many)
    review(page, ui)
    page.locator("#changes:not(:has-text('reads the texts'))").wait_for(state="attached")
    page.goto(f"{ui.origin}/runs/plain/review")
    page.locator(".card:focus").wait_for()
    assert page.locator(".card").count() == 50
    seen = set(ids(page))
    for _ in range(3):
        page.keyboard.press("a")
        page.keyboard.press("n")
        page.wait_for_load_state()
        page.locator(".card:focus").wait_for()
        assert seen.isdisjoint(ids(page))
        seen |= set(ids(page))
    page.goto(f"{ui.origin}/runs/plain/review?from=9900&words=number")
    page.locator(".card:focus").wait_for()
    page.keyboard.press("r")
    page.get_by_text("Rejected by ann").wait_for()


def test_retraining_from_the_page(page: Page, ui: WebUI) -> None:
    review(page, ui)
    page.locator("#retrain").click()
    page.locator("#retraining", has_text="Nobody has decided").wait_for()
    page.locator(".card").first.focus()
    page.keyboard.press("r")
    page.get_by_text("Rejected by ann").wait_for()
    page.locator("#retrain").click()
    page.locator("#retraining", has_text="Retrained 2").wait_for()  # and the year
    assert "1 reject" in page.inner_text("#retraining")
    assert run_of(ui).has_student("reviewed")
    review(page, ui)  # it is still told when the page is opened again
    assert "Retrained 2" in page.inner_text("#retraining")


@pytest.mark.parametrize("width", [320, 1200])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_the_screen_and_names_what_is_there(
    page: Page, ui: WebUI, width: int, colours: str
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    review(page, ui)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    levels = page.eval_on_selector_all(
        "main h1, main h2, main h3", "all => all.filter(e => e.checkVisibility())"
        ".map(e => +e.tagName[1])",
    )  # fmt: skip
    assert levels[0] == 1
    assert levels.count(1) == 1
    named = page.eval_on_selector_all(
        "button, input:not([type=hidden]), select",
        "all => all.every(e => e.textContent.trim() || e.labels?.length)",
    )
    assert named


def test_it_can_be_read_and_decided_without_a_pointer_or_a_key_of_ours(
    page: Page, ui: WebUI
) -> None:
    """Tab and Enter do: what single keys do, buttons do, too."""
    review(page, ui)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.value") == "accept"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_text("Rejected by ann").wait_for()
    assert [kind for kind, _, _ in latest(ui).values()] == ["reject"]
