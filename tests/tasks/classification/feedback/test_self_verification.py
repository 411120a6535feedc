"""Self-verification: what the teacher is shown, and what it confirms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from pgkd.errors import BudgetExhaustedError
from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.feedback.cross_validation import row_weights
from pgkd.tasks.classification.feedback.examination import SelfVerification, Verified
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.fake import FakeTeacher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = ("card", "refund", "top up", "limit", "fee", "pin")
TAXONOMY = Taxonomy.from_names(NAMES)
REAL = [
    LabelledText(f"a real text on {name}", name, f"train:{i}") for i, name in enumerate(NAMES[:4])
]


class Student:
    """Finds classes likely in the order of a list, whatever the text is."""

    classes = NAMES

    def __init__(self, *likeliest: str) -> None:
        rest = [name for name in NAMES if name not in likeliest]
        order = [*likeliest, *rest]
        self._row = np.array([1 / (1 + order.index(name)) for name in NAMES])

    def predict_proba(self, texts: Sequence[str]) -> Any:
        return np.tile(self._row / self._row.sum(), (len(texts), 1))


def texts_of(*labels: str) -> list[LabelledText]:
    return [
        LabelledText(f"text {i} about {label}", label, f"r1-0001-{i}", Origin(1, "r1-0001"))
        for i, label in enumerate(labels)
    ]


def saying(answer: Callable[[Request], str]) -> FakeTeacher:
    return FakeTeacher(lambda request: json.dumps({"label": answer(request)}))


def verified(
    teacher: FakeTeacher, texts: Sequence[LabelledText], *likeliest: str
) -> list[Verified]:
    student = cast("Any", Student(*likeliest))
    return list(SelfVerification(teacher, TAXONOMY, REAL, seed=0).verify(texts, student))


def test_the_teacher_chooses_among_the_class_and_the_students_likeliest() -> None:
    teacher = saying(lambda request: "card")
    [found] = verified(teacher, texts_of("card"), "pin", "fee", "refund", "limit", "card")
    offered = teacher.requests[0].schema["properties"]["label"]["enum"]  # type: ignore[index]
    assert sorted(offered) == ["card", "fee", "limit", "pin", "refund"]
    assert (found.said, found.confirmed) == ("card", 1.0)


def test_it_is_shown_a_row_of_each_class_that_has_one_and_not_the_label() -> None:
    teacher = saying(lambda request: "fee")
    verified(teacher, texts_of("card"), "fee", "refund")
    system, user = (message.content for message in teacher.requests[0].messages)
    assert "a real text on card" in system
    assert "a real text on refund" in system
    assert user.startswith("Text: text 0 about card")
    assert "card" not in user.replace("text 0 about card", "")


def test_the_place_of_the_class_does_not_tell_which_it_is() -> None:
    places = set()
    for name in NAMES:
        teacher = saying(lambda request: "card")
        verified(teacher, texts_of(name))
        offered = teacher.requests[0].schema["properties"]["label"]["enum"]  # type: ignore[index]
        places.add(offered.index(name))
    assert len(places) > 2


def test_prompts_about_one_class_begin_alike() -> None:
    teacher = saying(lambda request: "card")
    verified(teacher, texts_of("card", "fee", "card"))
    systems = [request.messages[0] for request in teacher.requests]
    assert systems[0] == systems[1] != systems[2]


def test_probabilities_are_those_of_the_classes_offered() -> None:
    class Scoring(FakeTeacher):
        scores_choices = True

        def complete(self, request: Request) -> Reply:
            self.requests.append(request)
            scores = [np.log(0.6 if name == "card" else 0.1) for name in request.choices]
            return Reply("", "fake", 1, 1, scores=tuple(scores))

    found = verified(Scoring(), texts_of("card", "refund"), "card", "refund", "fee")
    assert [each.said for each in found] == ["card", "card"]
    assert [each.confirmed for each in found] == pytest.approx([0.6, 0.1])


def test_a_text_weighs_by_its_confirmation_from_then_on() -> None:
    [text] = texts_of("card")
    confirmed = Verified(text, "card", 0.75).weighed
    read = LabelledText.from_json(json.loads(json.dumps(confirmed.to_json())))
    assert read == confirmed
    assert row_weights([*REAL[:1], text, read], 0.3, 1.0).tolist() == [1.0, 0.3, 0.3 * 0.75]


def test_what_was_said_before_the_budget_ended_stands() -> None:
    answers: list[Any] = ['{"label": "card"}', BudgetExhaustedError("no money left")]
    found = SelfVerification(FakeTeacher(answers), TAXONOMY, REAL, seed=0).verify(
        texts_of("card", "fee"), cast("Any", Student("refund"))
    )
    assert next(found).said == "card"
    with pytest.raises(BudgetExhaustedError):
        next(found)
