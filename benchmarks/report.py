"""How large is a report, and how soon is it there in a browser?

Writes the report of a run and opens it in a headless Chromium, each time in a fresh profile. The
time is the browser's own: from the start of the navigation to the end of the load event. A second
time, to the first picture, stands beside it.

    python -m benchmarks.report RUN
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tests.browser import launched

from pgkd.distill import RunFolder
from pgkd.evaluation.timing import machine
from pgkd.report import write_report

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_TIMES = """() => {
  const navigation = performance.getEntriesByType("navigation")[0];
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  document.body.getBoundingClientRect();
  return { loaded: navigation.loadEventEnd, painted: paint ? paint.startTime : null };
}"""


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    with TemporaryDirectory() as folder, launched() as browser:
        start = time.perf_counter()
        path = write_report(RunFolder.open(given.run), Path(folder) / "report.html")
        seconds = time.perf_counter() - start
        opened = [_open(browser, path) for _ in range(given.repeats)]
        found = {
            "bytes": path.stat().st_size,
            "seconds_to_write": round(seconds, 1),
            "milliseconds_to_load": _summary([each["loaded"] for each in opened]),
            "milliseconds_to_paint": _summary([each["painted"] for each in opened]),
            "browser": browser.version,
            "machine": machine(),
            "load": [round(each, 1) for each in os.getloadavg()],
        }
    print(json.dumps(found, indent=2))


def _open(browser: Browser, path: Path) -> dict[str, Any]:
    context = browser.new_context()
    page = context.new_page()
    page.goto(path.resolve().as_uri())
    while not page.evaluate("performance.getEntriesByName('first-contentful-paint').length"):
        page.wait_for_timeout(20)  # milliseconds
    times: dict[str, Any] = page.evaluate(_TIMES)
    context.close()
    return times


def _summary(values: list[float]) -> dict[str, int]:
    return {
        "median": round(statistics.median(values)),
        "least": round(min(values)),
        "most": round(max(values)),
    }


if __name__ == "__main__":
    main()
