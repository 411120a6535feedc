"""The teacher as a classifier: its answer, or none, and never another in its place."""

from __future__ import annotations

import json

import pytest

from pgkd.task import Example, LabelClass, Taxonomy
from pgkd.teacher import FakeTeacher, Labelled, label_texts
from pgkd.teacher.labelling import label_request

TAXONOMY = Taxonomy((LabelClass("card", "about cards"), LabelClass("refund")))


def test_every_text_gets_its_label() -> None:
    heard: list[str] = []
    teacher = FakeTeacher(
        lambda asked: json.dumps({"label": asked.messages[-1].content.split()[1]})
    )
    found = label_texts(
        teacher, ["card", "refund"], TAXONOMY, on_reply=lambda r: heard.append(r.text)
    )
    assert [answer.label for answer in found] == ["card", "refund"]
    assert [json.loads(text)["label"] for text in heard] == ["card", "refund"]


@pytest.mark.parametrize(
    "reply", ["", "card", "[]", '{"label": "Card"}', '{"label": ["card"]}', '{"label": null}', "9"]
)
def test_an_invalid_answer_is_none(reply: str) -> None:
    assert label_texts(FakeTeacher([reply]), ["text"], TAXONOMY) == [Labelled(None)]


def test_the_classes_are_an_enum_and_come_before_the_text() -> None:
    request = label_request("where is it", TAXONOMY)
    assert request.schema is not None
    assert request.schema["properties"]["label"]["enum"] == ["card", "refund"]
    assert "card: about cards" in request.messages[0].content
    assert "where is it" in request.messages[1].content
    assert request.sampling.temperature == 0


def test_examples_come_before_the_text_with_their_labels_as_they_are_spelt() -> None:
    taxonomy = Taxonomy((LabelClass("Home & Garden"), LabelClass("d'été")))
    rows = [Example("a <rake>", "Home & Garden", "t1"), Example("la plage", "d'été", "t2")]
    system = label_request("where is it", taxonomy, examples=rows).messages[0].content
    assert '- a <rake>\n  {"label": "Home & Garden"}\n- la plage\n  {"label": "d\'été"}' in system
    assert "is known" not in label_request("where is it", taxonomy).messages[0].content


def test_all_requests_share_their_beginning_and_carry_the_seed() -> None:
    teacher = FakeTeacher()
    rows = [Example("my card", "card", "t1")]
    label_texts(teacher, ["one", "two"], TAXONOMY, examples=rows, seed=7)
    first, second = teacher.requests
    assert first.messages[0] == second.messages[0]
    assert first.messages[1] != second.messages[1]
    assert (first.sampling.seed, first.purpose) == (7, "label")
