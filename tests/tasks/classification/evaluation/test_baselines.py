"""The teacher alone as a classifier: what it is asked, and how its answers count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import TeacherUnavailableError
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.evaluation.baselines import draw_rows, score_teacher
from pgkd.teachers.fake import FakeTeacher

if TYPE_CHECKING:
    from pgkd.teachers.base import Reply

TAXONOMY = Taxonomy.from_names(["card", "refund"])
TEXTS = ["where is it", "my money", "lost", "again"]
LABELS = ["card", "refund", "card", "card"]


def answers(*labels: str) -> FakeTeacher:
    return FakeTeacher([json.dumps({"label": label}) for label in labels])


def test_right_wrong_and_invalid_answers() -> None:
    score = score_teacher(answers("card", "card", "card", "plastic"), TEXTS, LABELS, TAXONOMY)
    assert (score.n, score.accuracy, score.invalid) == (4, 0.5, 1)
    assert score.macro_f1 == pytest.approx((2 * 2 / (3 + 3) + 0) / 2)  # of card and of refund
    low, high = score.accuracy_interval
    assert 0 <= low < 0.5 < high <= 1


def test_every_reply_is_handed_over_before_the_next_call() -> None:
    """The trap: paid replies that are gone when a later call fails."""
    kept: list[str] = []

    def keep(reply: Reply) -> None:
        kept.append(reply.text)

    teacher = answers("card", "refund")
    down = FakeTeacher(
        lambda request: teacher.complete(request) if len(kept) < 2 else TeacherUnavailableError("x")
    )
    with pytest.raises(TeacherUnavailableError):
        score_teacher(down, TEXTS, LABELS, TAXONOMY, on_reply=keep)
    assert len(kept) == 2


def test_rows_are_drawn_by_the_seed_and_none_twice() -> None:
    drawn = draw_rows(50, 20, 1)
    assert drawn.tolist() == draw_rows(50, 20, 1).tolist() != draw_rows(50, 20, 2).tolist()
    assert len(set(drawn.tolist())) == 20
    assert draw_rows(3, 20, 0).tolist() == [0, 1, 2]
