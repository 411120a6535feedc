"""What a run and a file of rows show on the way: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from pgkd.apps.cli.progress import RowsProgress, RunDisplay
from pgkd.tasks.classification.data.pool import Pool, PoolText
from pgkd.tasks.classification.events import PoolRead, TeacherExamined
from pgkd.tasks.classification.feedback.examination import Exam, Share
from pgkd.usage.batch import BatchProgress
from pgkd.usage.estimate import Estimate


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


@pytest.fixture
def display(shown: StringIO) -> RunDisplay:
    return RunDisplay(Console(file=shown, width=1000))


@pytest.mark.parametrize(
    ("usd", "words"), [(Decimal("0.0123"), "about $0.0123"), (None, "price unknown")]
)
def test_an_estimate_is_a_line(
    display: RunDisplay, shown: StringIO, usd: Decimal | None, words: str
) -> None:
    display.on_estimate(Estimate(12, 3400, 560, 7890, usd))
    [line] = shown.getvalue().splitlines()
    assert line.startswith("Up to 12 calls")
    assert words in line


def test_a_batch_is_told_once_and_so_is_its_trouble(display: RunDisplay, shown: StringIO) -> None:
    display.on_batch(BatchProgress(0, 0))
    for finished in range(3):
        display.on_batch(BatchProgress(5, finished))
        display.on_batch(BatchProgress(5, finished, "the server [bold]fails"))
    display.on_batch(BatchProgress(0, 0))
    display.on_batch(BatchProgress(4, 0))
    first, error, second = shown.getvalue().splitlines()
    assert first.startswith("batch: 5 requests are sent together, at half the price.")
    assert error == "batch: the server [bold]fails"
    assert second.startswith("batch: 4 requests")


def test_a_pool_and_what_its_labels_are_worth_are_told(
    display: RunDisplay, shown: StringIO
) -> None:
    display.on_event(PoolRead(Pool((PoolText("one", "pool:1"),), {"near a training row": 3})))
    display.on_event(TeacherExamined(Exam(Share(24, 32), None, packs=True, n_classes=4)))
    pool, agreement = shown.getvalue().splitlines()
    assert pool == "pool of 1 unlabelled texts; left out: 3 near a training row"
    assert "right on 24 of 32 labelled rows (75%" in agreement
    assert agreement.endswith("its texts count.")


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def show_rows(*, terminal: bool, seconds: float) -> str:
    """What is shown of four chunks, each of which takes so many seconds."""
    out, clock = StringIO(), Clock()
    console = Console(file=out, force_terminal=terminal, width=120)
    with RowsProgress(console, clock) as progress:
        progress.on_start(1000, 5000)
        for done in (2000, 3000, 4000, 5000):
            clock.now += seconds
            progress.on_rows(done)
    return out.getvalue()


def test_what_is_quick_shows_nothing_but_that_it_goes_on() -> None:
    assert show_rows(terminal=False, seconds=0.4) == "resuming after 1,000 of 5,000 texts\n"


def test_lines_elsewhere_tell_rows_and_the_rate_of_this_process() -> None:
    lines = show_rows(terminal=False, seconds=20).splitlines()[1:]
    assert lines == [
        "classifying: 2,000 of 5,000 rows, 50 rows/s",
        "classifying: 4,000 of 5,000 rows, 50 rows/s",
    ]


def test_a_terminal_gets_a_bar() -> None:
    found = show_rows(terminal=True, seconds=20)
    assert "5,000 of 5,000 rows, 50 rows/s" in found
