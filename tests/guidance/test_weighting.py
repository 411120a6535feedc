"""What written texts weigh: much where they teach, little where they mislead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.guidance import ClassificationGuide
from pgkd.guidance.weighting import WEIGHTS, lightest_weight, row_weights, safe_guess
from pgkd.student import make_student
from pgkd.task import Example, Origin, Task, Taxonomy, stratified_folds
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

NAMES = tuple(TOPICS)
TAXONOMY = Taxonomy.from_names(NAMES)


def rows_of(part: str, per_class: int, start: int) -> tuple[Example, ...]:
    pairs = zip(*make_rows(per_class, start=start), strict=True)
    return tuple(Example(t, name, f"{part}:{i}") for i, (t, name) in enumerate(pairs))


TASK = Task(TAXONOMY, rows_of("train", 2, 0), rows_of("validation", 13, 20))


def written(*, shift: int = 0) -> list[Example]:
    """Forty good texts, or the same ones under the label of another class."""
    return [
        Example(row.text, NAMES[(NAMES.index(row.label) + shift) % 4], row.id, Origin(1, "r1-0001"))
        for row in rows_of("written", 10, 60)
    ]


class NoAsking:
    def ask(self, number: int, assessment: Any, written: Sequence[Example]) -> tuple[()]:
        return ()


def weight_of(texts: list[Example], task: Task = TASK, **settings: Any) -> float | None:
    folds = stratified_folds([row.label for row in task.train], 2, 0)
    guide = ClassificationGuide(
        task, make_student("linear", NAMES), NoAsking(), folds=folds, **settings
    )
    return guide.assess(guide.train(texts), texts).written_weight


def test_texts_that_teach_weigh_much() -> None:
    assert weight_of(written()) == WEIGHTS[-1]


def test_texts_under_wrong_labels_weigh_the_least() -> None:
    assert weight_of(written(shift=1)) == WEIGHTS[0]


def test_a_weight_that_is_given_is_used() -> None:
    assert weight_of(written(), written_weight=0.7) == 0.7


@pytest.mark.parametrize(("rows", "weight"), [(49, 0.1), (50, 1.0)])
def test_few_rows_decide_nothing(rows: int, weight: float) -> None:
    assert lightest_weight(lambda given: np.full(rows, 2.0 - given), (0.1, 1.0)) == weight


def test_without_texts_there_is_no_weight() -> None:
    assert weight_of([]) is None


@pytest.mark.parametrize(
    ("gain", "weight"),
    [(0.001, 0.1), (0.5, 1.0)],  # within the noise of the rows; far beyond it
)
def test_a_larger_weight_has_to_gain_more_than_two_standard_errors(
    gain: float, weight: float
) -> None:
    noise = np.random.default_rng(0).normal(0, 0.3, 50)

    def losses_of(given: float) -> NDArray[np.float64]:
        return np.full(50, 2.0) + (noise - gain if given == 1.0 else 0.0)

    assert lightest_weight(losses_of, (0.1, 1.0)) == weight


def test_rows_texts_and_labels_weigh_by_where_they_come_from() -> None:
    origins = (
        None,
        Origin(1, "r1-0001"),
        Origin(1, "r1-0001", labelled=True),
        Origin(1, "r1-0001", labelled=True, confidence=0.5),
        Origin(1, "r1-0001", labelled=True, confidence=0.0),
    )
    rows = [Example("text", "billing", "id", origin) for origin in origins]
    weights = row_weights(rows, 0.05, 0.8)
    assert weights == pytest.approx([1.0, 0.05, 0.8, 0.4, 0.008])
    assert (weights > 0).all()  # a class of such labels alone is still one that has rows


def read_blind(texts: Sequence[Example], confidence: float) -> list[Example]:
    origins = [replace(text.origin, confidence=confidence) for text in texts if text.origin]
    return [replace(text, origin=origin) for text, origin in zip(texts, origins, strict=True)]


def test_texts_that_the_teacher_read_blind_may_count_where_no_row_can_judge() -> None:
    texts = written()
    assert safe_guess(texts) == WEIGHTS[0]
    assert safe_guess(read_blind(texts, 0.5)) == WEIGHTS[-1]
    assert safe_guess([*texts[:1], *read_blind(texts[1:], 0.5)]) == WEIGHTS[0]
    vouched = [replace(texts[0], vouched=True), *read_blind(texts[1:], 0.5)]
    assert safe_guess(vouched) == WEIGHTS[-1]


def test_a_guide_with_few_validation_rows_weighs_them_by_what_was_said() -> None:
    task = replace(TASK, validation=TASK.validation[:8])
    assert weight_of(written(), task) == WEIGHTS[0]
    assert weight_of(read_blind(written(), 0.9), task) == WEIGHTS[-1]
