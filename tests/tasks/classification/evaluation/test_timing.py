"""How long a student takes for a text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from pgkd.tasks.classification.evaluation.timing import time_student
from pgkd.tasks.classification.students.linear import LinearStudent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Slow(LinearStudent):
    """Takes two milliseconds a text, and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("a", "b"))
        self.asked: list[list[str]] = []

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        self.asked.append(list(texts))
        time.sleep(0.002)
        return np.full((len(texts), 2), 0.5)


def test_new_texts_are_timed_one_by_one_after_a_first_that_does_not_count() -> None:
    student = Slow()
    timing = time_student(student, ["x", "y", "x", *map(str, range(100))])
    assert timing.n == 50
    assert len(student.asked) == 51
    timed = [text for (text,) in student.asked[1:]]
    assert len(set(timed)) == 50
    assert 0.002 <= timing.median <= timing.p95
    assert "cores" in timing.to_json()["machine"]


def test_fewer_texts_are_enough() -> None:
    assert time_student(Slow(), ["one"]).n == 1


def test_no_text_was_seen_before_it_is_timed() -> None:
    student = Slow()
    time_student(student, ["one", "two"])
    asked = [text for texts in student.asked for text in texts]
    assert len(asked) == len(set(asked)) == 3
