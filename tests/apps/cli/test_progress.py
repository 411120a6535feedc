"""What a run shows while it goes on, where there is no terminal: lines."""

from __future__ import annotations

from decimal import Decimal
from io import StringIO

import pytest
from rich.console import Console

from pgkd.apps.cli.progress import RunDisplay
from pgkd.tasks.classification.data.pool import Pool, PoolText
from pgkd.tasks.classification.events import PoolRead, TeacherExamined
from pgkd.tasks.classification.feedback.examination import Exam, Share
from pgkd.usage.batches import BatchProgress
from pgkd.usage.estimate import Estimate


@pytest.fixture
def shown() -> StringIO:
    return StringIO()


@pytest.fixture
def display(shown: StringIO) -> RunDisplay:
    return RunDisplay(Console(file=shown, width=1000))


@pytest.mark.parametrize(
    ("usd", "words"), [(Decimal("0.0123"), "for about $0.0123"), (None, "at an unknown price")]
)
def test_an_estimate_is_a_line(
    display: RunDisplay, shown: StringIO, usd: Decimal | None, words: str
) -> None:
    display.on_estimate(Estimate(12, 3400, 560, 7890, usd))
    [line] = shown.getvalue().splitlines()
    assert line.startswith("At most 12 calls")
    assert words in line


def test_a_batch_is_told_once_and_so_is_its_trouble(display: RunDisplay, shown: StringIO) -> None:
    display.on_batch(BatchProgress(0, 0))
    for finished in range(3):
        display.on_batch(BatchProgress(5, finished))
        display.on_batch(BatchProgress(5, finished, "the server [bold]fails"))
    display.on_batch(BatchProgress(0, 0))
    display.on_batch(BatchProgress(4, 0))
    first, trouble, second = shown.getvalue().splitlines()
    assert first.startswith("batch: 5 requests go out together, at half the price.")
    assert trouble == "batch: the server [bold]fails"
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
