"""The one reader of JSON replies: a draft in thinking is never read, talk is passed over."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgkd.curation import Reason
from pgkd.tasks.classification.data.examples import LabelClass, Taxonomy
from pgkd.tasks.classification.prompts.labelling import label_texts
from pgkd.tasks.classification.prompts.parsing import parse_samples, read_description
from pgkd.teachers.base import Reply
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.replies import json_values, objects, without_thinking

DRAFTS = ('{"label": "draft"}', '{"samples": [{"label": "draft", "text": "a draft"}]}', "[draft] {")
FRAMES = (
    "{}",
    "```json\n{}\n```",
    "```\n{}\n```",
    "Here is the JSON:\n\n{}",
    "{}\n\nI chose it because it [fits] best {truly}.",
    "Of [all] classes {these} are likely.\n{}",
    "<think>\nHm.\n</think>\n\n{}",
    "<think>{draft}</think>{}",
    "The user wants JSON: {draft}\n</think>\n\n{}",
    "<think>a <think> b </think> {draft} </think>{}",
    "<THINKING>{draft}</THINKING>\n```json\n{}\n```",
    "[THINK]{draft}[/THINK]{}",
    "<|channel|>analysis<|message|>{draft}<|end|><|start|>assistant<|channel|>final<|message|>{}",
    "{}<think>Or rather {draft}?</think>",
    "{}\n<think>Let me check: {draft}",
)
ANSWER = {"label": "card", "samples": [{"label": "card", "text": "my card"}], "description": "Mail"}


def framed(frame: str, draft: str, answer: Any) -> str:
    return frame.replace("{draft}", draft).replace("{}", json.dumps(answer))


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize("frame", FRAMES)
def test_the_answer_is_read_for_every_purpose_whatever_stands_around_it(
    frame: str, draft: str
) -> None:
    reply = framed(frame, draft, ANSWER)
    parsed = parse_samples(reply, ["card", "draft"])
    assert [(sample.label, sample.text) for sample in parsed.samples] == [("card", "my card")]
    assert parsed.faults == ()
    assert read_description(reply) == "Mail"
    taxonomy = Taxonomy((LabelClass("card"), LabelClass("draft")))
    assert label_texts(FakeTeacher([reply]), ["text"], taxonomy)[0].label == "card"


@pytest.mark.parametrize("draft", DRAFTS)
@pytest.mark.parametrize(
    "frame", ["<think>{draft}", "<think>{draft}</think>", "{draft}</think>", "{draft}</think>No."]
)
def test_a_draft_alone_is_no_answer(frame: str, draft: str) -> None:
    reply = frame.replace("{draft}", draft)
    assert json_values(reply) == []
    parsed = parse_samples(reply, ["draft"])
    assert parsed.samples == ()
    assert [fault.reason for fault in parsed.faults] == [Reason.NO_JSON]


def test_a_tag_within_a_text_is_a_part_of_it() -> None:
    answer = {"samples": [{"label": "card", "text": "the tag </think> shows up"}]}
    assert json_values(json.dumps(answer)) == [answer]


def test_of_two_answers_the_last_one_counts() -> None:
    reply = '{"label": "refund"}\nNo, wait:\n{"label": "card"} {"other": 1}'
    assert objects(reply, "label")[-1] == {"label": "card"}


@pytest.mark.parametrize("reply", ['[{"label": "card"}]', json.dumps('{"label": "card"}')])
def test_a_list_and_json_in_a_string_are_unpacked(reply: str) -> None:
    assert objects(reply, "label") == [{"label": "card"}]


def test_samples_one_below_the_other_are_read_too() -> None:
    reply = '{"label": "card", "text": "my card"}\n{"label": "card", "text": "a new card"}'
    assert len(parse_samples(reply, ["card"]).samples) == 2


@given(st.text(alphabet='{}[]":,<>/think01 \\\n') | st.text())
def test_nothing_in_a_reply_raises(reply: str) -> None:
    assert isinstance(without_thinking(reply), str)
    for value in json_values(reply):
        assert isinstance(value, dict | list)


@pytest.mark.parametrize("piece", ["[", "{", '{"a":', "<think>", "</think>", "[1,", "<think>{}"])
def test_a_hostile_reply_of_a_million_characters_is_read_to_its_end(piece: str) -> None:
    reply = piece * (1_000_000 // len(piece))
    assert len(json_values(reply)) <= len(reply)


@pytest.mark.parametrize("text", ['{"samples": [{"label": "card", "te', "", "<think>Let me"])
def test_a_reply_that_was_cut_off_names_the_bound(text: str) -> None:
    (fault,) = parse_samples(text, ["card"], cut_off=True).faults
    assert fault.reason is Reason.CUT_OFF
    assert "teacher.max_tokens" in fault.detail


def test_what_stands_beyond_the_number_asked_for_is_cut() -> None:
    samples = [{"label": "card", "text": f"text number {i}"} for i in range(60)]
    parsed = parse_samples(json.dumps({"samples": samples}), ["card"], count=2)
    assert [sample.text for sample in parsed.samples] == ["text number 0", "text number 1"]
    assert [fault.reason for fault in parsed.faults] == [Reason.TOO_MANY]


def test_a_reply_is_no_answer_where_it_only_begins_to_think() -> None:
    found = label_texts(
        FakeTeacher([Reply('<think>{"label": "card"}', "m", finish_reason="length")]),
        ["text"],
        Taxonomy((LabelClass("card"), LabelClass("loan"))),
    )
    assert found[0].label is None
