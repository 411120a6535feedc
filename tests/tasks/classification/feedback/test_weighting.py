"""What written texts weigh: much where they teach, little where they mislead."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.task import Origin
from pgkd.tasks.classification.data.dataset import TextDataset
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.feedback.cross_validation import label_agreement, row_weights
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.students import make_student
from pgkd.tasks.common.folds import stratified_folds
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from collections.abc import Sequence


NAMES = tuple(TOPICS)
TAXONOMY = Taxonomy.from_names(NAMES)


def rows_of(part: str, per_class: int, start: int) -> tuple[LabelledText, ...]:
    pairs = zip(*make_rows(per_class, start=start), strict=True)
    return tuple(LabelledText(t, name, f"{part}:{i}") for i, (t, name) in enumerate(pairs))


TASK = TextDataset(TAXONOMY, rows_of("train", 6, 0), rows_of("validation", 13, 20))


def written(*, shift: int = 0) -> list[LabelledText]:
    """Forty good texts, or the same ones under the label of another class."""
    return [
        LabelledText(
            row.text, NAMES[(NAMES.index(row.label) + shift) % 4], row.id, Origin(1, "r1-0001")
        )
        for row in rows_of("synthetic", 10, 60)
    ]


class NoPrompts:
    def prompts(self, number: int, assessment: Any, written: Sequence[LabelledText]) -> tuple[()]:
        return ()


def weight_of(texts: list[LabelledText], task: TextDataset = TASK, **settings: Any) -> float | None:
    folds = stratified_folds([row.label for row in task.train], 2, 0)
    guide = ClassificationLearner(
        task, make_student("linear", NAMES), NoPrompts(), folds=folds, **settings
    )
    return guide.evaluate(guide.train(texts), texts).synthetic_weight


def test_texts_that_teach_weigh_much() -> None:
    assert weight_of(written(), weights=lambda: (0.1, 1.0)) == 1.0


def test_texts_under_wrong_labels_weigh_the_least() -> None:
    assert weight_of(written(shift=1), weights=lambda: (1.0, 0.1)) == 0.1


def test_a_weight_that_is_given_is_used() -> None:
    assert weight_of(written(), weights=lambda: (0.7,)) == 0.7


def test_a_text_with_which_the_others_disagree_weighs_little() -> None:
    texts = written()
    wrong = replace(texts[0], label=NAMES[(NAMES.index(texts[0].label) + 1) % 4])
    student = make_student("linear", NAMES)
    found = label_agreement(student, TASK.train, [wrong, *texts[1:]], 0.3, seed=0)
    others = [found[text.id] for text in texts[1:]]
    assert found[wrong.id] < min(others)
    assert min(found.values()) >= 0.1
    assert max(found.values()) <= 1.0


def test_nothing_can_agree_with_the_only_text_of_a_class() -> None:
    texts = [text for text in written() if text.label != NAMES[0]][:12]
    alone = next(text for text in written() if text.label == NAMES[0])
    rows = [row for row in TASK.train if row.label != NAMES[0]]
    found = label_agreement(make_student("linear", NAMES), rows, [*texts, alone], 0.3, seed=0)
    assert found[alone.id] == 1.0


def test_agreement_is_a_factor_of_a_texts_weight() -> None:
    text = written()[0]
    assert row_weights([text], 0.3, agreement={text.id: 0.5}).tolist() == [0.15]


def test_without_texts_there_is_no_weight() -> None:
    assert weight_of([]) is None


def test_rows_texts_and_labels_weigh_by_where_they_come_from() -> None:
    origins = (
        None,
        Origin(1, "r1-0001"),
        Origin(1, "r1-0001", labelled=True),
        Origin(1, "r1-0001", labelled=True, confidence=0.5),
        Origin(1, "r1-0001", labelled=True, confidence=0.0),
    )
    rows = [LabelledText("text", "billing", "id", origin) for origin in origins]
    weights = row_weights(rows, 0.05, 0.8)
    assert weights == pytest.approx([1.0, 0.05, 0.8, 0.4, 0.008])
    assert (weights > 0).all()  # a class of such labels alone is still one that has rows
