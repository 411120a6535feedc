"""The page at `/`, in a real browser."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.apps.server.conftest import serving
from tests.apps.server.test_process import GATED, limited
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.apps.server.conftest import Server

HOSTILE = "<img src=x onerror=alert(1)>"
TEXT = "an invoice and a charge"


@pytest.fixture(scope="module")
def hostile(export_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose class names are markup."""
    folder = tmp_path_factory.mktemp("page") / "export"
    shutil.copytree(export_folder, folder)
    manifest = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    manifest["details"]["classes"] = [HOSTILE, "<script>alert(2)</script>", "plain", "x" * 300]
    (folder / "export.json").write_text(json.dumps(manifest), encoding="utf-8")
    with serving(folder, "--workers", "1") as server:
        yield server


def open_page(page: Page, server: Server) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/")
    page.locator("#about", has_text="classes,").wait_for()  # no script: the page forbids eval


def classify(page: Page, text: str) -> None:
    page.get_by_label("Texts").fill(text)
    page.get_by_role("button", name="Try").click()


def test_texts_are_classified(page: Page, server: Server) -> None:
    open_page(page, server)
    assert "4 classes, onnx-int8" in page.inner_text("details")
    page.get_by_label("Classes to show").fill("2")
    classify(page, f"{TEXT}\n\nthe parcel is late")
    page.wait_for_selector("article")
    texts = [TEXT, "the parcel is late"]
    answers = server.predict({"texts": texts, "top": 2})[1]["predictions"]
    shown = [article.inner_text().split() for article in page.locator("article").all()]
    assert shown == [
        [*text.split(), *(cell for one in answer["top"]
                          for cell in (one["label"], f"{one['probability']:.3f}"))]
        for text, answer in zip(texts, answers, strict=True)
    ]  # fmt: skip
    bars = [bar.evaluate("bar => bar.value") for bar in page.locator("meter").all()]
    assert bars == [one["probability"] for answer in answers for one in answer["top"]]


def test_hostile_texts_and_class_names_are_shown_as_text(page: Page, hostile: Server) -> None:
    open_page(page, hostile)
    page.locator("summary").click()
    assert HOSTILE in page.inner_text("#classes")
    page.get_by_label("Classes to show").fill("9")
    classify(page, f"{HOSTILE}\n</p><script>document.title = 'taken'</script>")
    page.wait_for_selector("article")
    assert [p.inner_text() for p in page.locator("article p").all()] == [
        HOSTILE, "</p><script>document.title = 'taken'</script>",
    ]  # fmt: skip
    labels = {span.inner_text() for span in page.locator(".candidate span:first-child").all()}
    assert {HOSTILE, "<script>alert(2)</script>"} <= labels
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 1
    assert page.title() == "pgkd"


def test_the_keyboard_is_enough(page: Page, server: Server) -> None:
    open_page(page, server)
    page.keyboard.type(TEXT)  # the field has the focus already
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("article")
    assert page.evaluate("document.activeElement.id") == "go"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.type("the parcel is late")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("article p:has-text('the parcel is late')")


def test_whose_answer_it_is_and_how_unsure_is_told(page: Page, server: Server) -> None:
    open_page(page, server)
    top = [{"label": "billing", "probability": 0.4}]
    teacher = {"label": HOSTILE, "probability": None, "top": top, "by": "teacher", "abstain": False}
    unsure = {**top[0], "top": top, "by": "student", "abstain": True}
    answer = json.dumps({"predictions": [teacher, unsure]})
    page.route("**/predict", lambda route: route.fulfill(body=answer))
    classify(page, "one\ntwo")
    page.wait_for_selector("article")
    first, second = (article.inner_text() for article in page.locator("article").all())
    assert f"The teacher: {HOSTILE}" in first
    assert "Unsure" in second
    assert "The teacher" not in second


@pytest.mark.parametrize("width", [320, 1200])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_it_fits_the_screen_and_can_be_read(
    page: Page, hostile: Server, width: int, colours: str
) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    open_page(page, hostile)
    page.locator("summary").click()
    page.get_by_label("Classes to show").fill("4")
    classify(page, "w" * 300)
    page.wait_for_selector("article")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("--quiet", "--bad", "--link"):
        assert contrast(page, name) >= 4.5, name  # WCAG 2.2, level AA


def contrast(page: Page, variable: str) -> float:
    """Contrast of a colour of the style sheet against the page, as WCAG defines it."""
    found: float = page.evaluate(
        """variable => {
          const probe = document.body.appendChild(document.createElement("i"));
          const rgb = (colour) => {
            probe.style.color = colour;
            return getComputedStyle(probe).color.match(/[\\d.]+/g).slice(0, 3).map(Number);
          };
          const light = (colour) => rgb(colour).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
          const pair = [light(`var(${variable})`), light("Canvas")].sort((a, b) => b - a);
          probe.remove();
          return (pair[0] + 0.05) / (pair[1] + 0.05);
        }""",
        variable,
    )
    return found


def test_a_server_that_is_overloaded_says_so(
    page: Page, export_folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with limited(export_folder, "texts=2, waiting=2", GATED.format(str(gate))) as server:
        open_page(page, server)
        gate.touch()
        classify(page, f"{TEXT}\nanother")
        until(lambda: server.get("/ready")[0] == 503)
        second = page.context.new_page()
        open_page(second, server)
        classify(second, TEXT)
        second.wait_for_selector("#error:has-text('The server is overloaded. Retry in 1 s.')")
        gate.unlink()
        page.wait_for_selector("article")
        classify(second, TEXT)
        second.wait_for_selector("article")
        assert second.inner_text("#error") == ""


def test_a_server_that_was_stopped_or_a_proxy_that_fails_is_told(
    page: Page, export_folder: Path
) -> None:
    with serving(export_folder, "--workers", "1") as server:
        open_page(page, server)
        page.route("**/predict", lambda route: route.fulfill(status=502, body="<h1>Bad</h1>"))
        classify(page, TEXT)
        page.wait_for_selector("#error:has-text('status 502')")
        page.unroute("**/predict")
        assert server.stop() == 0
        classify(page, TEXT)
        page.wait_for_selector("#error:has-text('The server does not answer.')")
        assert page.get_by_label("Texts").input_value() == TEXT  # nothing typed is lost
