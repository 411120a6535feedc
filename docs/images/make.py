"""Make the pictures of the docs from a run, such as that of `make demo`.

python -m docs.images.make runs/helpdesk
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.browser import launched
from tests.ui.conftest import opened

from pgkd.apps.report import write_report
from pgkd.runs.folder import RunFolder

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_HERE = Path(__file__).parent
_LARGEST = 300_000  # bytes of a picture
_PICTURES = {
    # name: (colour scheme, where the picture begins, height)
    "report.png": ("light", "header", 1330),
    "report-dark.png": ("dark", "#per-class", 1000),
}


def main() -> None:
    """Take the pictures, and see that they are small."""
    parser = argparse.ArgumentParser(description="Make the pictures of the docs.")
    parser.add_argument("run", type=Path)
    run = RunFolder.open(parser.parse_args().run)
    with TemporaryDirectory() as folder, launched() as browser:
        report = write_report(run, Path(folder) / "report.html")
        for name, (scheme, begin, height) in _PICTURES.items():
            page = browser.new_page(
                viewport={"width": 1120, "height": height},
                color_scheme=scheme,  # type: ignore[arg-type]
            )
            page.goto(report.as_uri())
            page.locator(begin).evaluate("e => window.scrollTo(0, e.offsetTop)")
            page.screenshot(path=_HERE / name)
            page.close()
            _check(name)
        _take_ui(browser, run, Path(folder))


def _take_ui(browser: Browser, run: RunFolder, folder: Path) -> None:
    """The review of the run in the ui, some of its texts decided on; the run stays as it is."""
    shutil.copytree(run.path, folder / "runs" / run.path.name)
    with opened(folder / "runs") as ui:
        page = browser.new_page(viewport={"width": 1120, "height": 1000})
        page.set_default_timeout(180_000)  # on a busy machine, to load the student alone takes long
        ui.enter(page, f"/runs/{run.path.name}/review")
        page.locator(".card:focus").wait_for()
        page.locator("#changes:not(:has-text('reads the texts'))").wait_for(state="attached")
        page.goto(f"{ui.origin}/runs/{run.path.name}/review")
        page.locator(".card:focus").wait_for()
        page.keyboard.type("ar")
        page.locator(".card.accept").wait_for()
        page.locator(".card.reject").wait_for()
        page.evaluate("window.scrollTo(0, 0)")
        page.screenshot(path=_HERE / "web-ui.png")
        page.close()
    _check("web-ui.png")


def _check(name: str) -> None:
    """See that a picture is small."""
    size = (_HERE / name).stat().st_size
    if size > _LARGEST:
        raise SystemExit(f"{name} has {size:,} bytes, more than {_LARGEST:,}")
    print(f"{name}: {size:,} bytes")


if __name__ == "__main__":
    main()
