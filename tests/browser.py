"""A real browser for tests of pages, where the machine has one.

The fixtures end with their module: while playwright runs, its event loop is the thread's, and no
other test there could call `asyncio.run`.
"""

from __future__ import annotations

import shutil
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Dialog, Page

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = [  # it asks nobody on the network anything
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


def find_browser() -> str | None:
    """The path of a Chromium or Chrome; None where there is none."""
    return next((path for path in map(shutil.which, _NAMES) if path), None)


@contextmanager
def launched() -> Iterator[Browser]:
    """A Chromium without a window.

    Raises:
        FileNotFoundError: there is none on this machine.
    """
    from playwright.sync_api import sync_playwright

    path = find_browser()
    if path is None:
        raise FileNotFoundError(f"no browser is installed: none of {', '.join(_NAMES)} was found")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=path, args=_QUIET)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window; skips where there is none."""
    if find_browser() is None:
        pytest.skip(f"no browser is installed: none of {', '.join(_NAMES)} was found")
    pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a fresh profile. A script that fails in it, or a dialog, fails the test."""
    with closing(browser.new_context()) as context:
        page = context.new_page()
        faults: list[str] = []

        def dismiss(dialog: Dialog) -> None:
            faults.append(dialog.message)
            dialog.dismiss()

        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("dialog", dismiss)
        page.set_default_timeout(60_000)  # a busy machine is slow, and no fault
        yield page
        assert faults == []
