"""A guide whose written texts are what people have left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.runs.review.applying import applied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.runs.review.journal import Decision, Reviews
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.task import Assessment, Guide
    from pgkd.tasks.classification.students.base import Student
    from pgkd.tasks.classification.data.example import Example


class ReviewedGuide:
    """Brings decisions into the rounds of a run, by way of another guide.

    Each round is trained, judged and asked for with the decisions that were there when its training
    began. Those are pinned: a run that is resumed takes the same ones, so it ends as one that was
    never cut off. The user's own rows stay as they are while a run goes on, for rounds are compared
    row by row; `retrain` takes decisions on them, too.

    Args:
        guide: trains, judges and asks.
        reviews: the decisions.
    """

    def __init__(self, guide: Guide, reviews: Reviews) -> None:
        self._guide = guide
        self._reviews = reviews
        self._next = 0  # the round that is trained next
        self._decisions: dict[str, Decision] = {}

    def train(self, written: Sequence[Example]) -> Student:
        """A student of the next round."""
        self._decisions = self._reviews.pin(self._next)
        self._next += 1
        return self._guide.train(applied(written, self._decisions))

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """See `Guide.assess`."""
        return self._guide.assess(student, applied(written, self._decisions))

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """See `Guide.ask`: of a rejected text's class, more are asked for."""
        return self._guide.ask(number, assessment, applied(written, self._decisions))
