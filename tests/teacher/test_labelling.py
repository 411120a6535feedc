"""The teacher as a classifier: its answer, or none, and never another in its place."""

from __future__ import annotations

import json

import pytest

from pgkd.task import LabelClass, Taxonomy
from pgkd.teacher import FakeTeacher, label_texts
from pgkd.teacher.labelling import label_request

TAXONOMY = Taxonomy((LabelClass("card", "about cards"), LabelClass("refund")))


def test_every_text_gets_its_label() -> None:
    done: list[int] = []
    teacher = FakeTeacher(
        lambda asked: json.dumps({"label": asked.messages[-1].content.split()[1]})
    )
    found = label_texts(teacher, ["card", "refund"], TAXONOMY, progress=lambda: done.append(1))
    assert found == ["card", "refund"]
    assert len(done) == 2


@pytest.mark.parametrize(
    "reply", ["", "card", "[]", '{"label": "Card"}', '{"label": ["card"]}', '{"label": null}', "9"]
)
def test_an_invalid_answer_is_none(reply: str) -> None:
    assert label_texts(FakeTeacher([reply]), ["text"], TAXONOMY) == [None]


def test_the_classes_are_an_enum_and_come_before_the_text() -> None:
    request = label_request("where is it", TAXONOMY)
    assert request.schema is not None
    assert request.schema["properties"]["label"]["enum"] == ["card", "refund"]
    assert "card: about cards" in request.messages[0].content
    assert "where is it" in request.messages[1].content
    assert request.sampling.temperature == 0
