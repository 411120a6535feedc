"""Teachers without a model: for tests, and for repeating a run at no cost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import RunError, TeacherRequestError, TeacherUnavailableError
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.prompts.parsing import parse_samples
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.base import Message, Reply, Request, Sampling
from pgkd.teachers.fake import FakeTeacher, RecordedTeacher

if TYPE_CHECKING:
    from pathlib import Path


def request(text: str = "Write about cards", seed: int = 1) -> Request:
    schema = samples_schema(["card", "refund"], 3)
    return Request((Message("user", text),), schema, Sampling(seed=seed))


def test_the_fake_teacher_fills_the_schema() -> None:
    parsed = parse_samples(FakeTeacher().complete(request()).text, ["card", "refund"])
    assert len(parsed.samples) == 3
    assert parsed.faults == ()


def test_it_answers_a_request_always_the_same_and_another_one_otherwise() -> None:
    first, again = FakeTeacher().complete(request()), FakeTeacher().complete(request())
    assert first == again
    assert FakeTeacher().complete(request(seed=2)).text != first.text
    assert FakeTeacher(seed=1).complete(request()).text != first.text


def test_its_texts_name_their_label_so_that_a_student_can_learn_from_them() -> None:
    samples = json.loads(FakeTeacher().complete(request()).text)["samples"]
    assert all(sample["label"] in sample["text"].split() for sample in samples)


def test_it_fills_schemas_of_other_kinds() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "label": {"type": "string", "enum": ["card"]},
            "sure": {"type": "boolean"},
            "score": {"type": "number"},
            "rows": {"type": "array", "items": {"type": "integer"}, "minItems": 2},
            "free": {"type": "object"},
        },
    }
    found = json.loads(FakeTeacher().complete(Request((), schema)).text)
    assert (found["label"], found["free"]) == ("card", {})
    assert isinstance(found["sure"], bool)
    assert isinstance(found["score"], float)
    assert [type(row) for row in found["rows"]] == [int, int]


def test_it_answers_as_it_is_told_and_remembers_what_it_was_asked() -> None:
    teacher = FakeTeacher(["first", Reply("second", "m"), TeacherUnavailableError("down")])
    assert teacher.complete(request()).text == "first"
    assert teacher.complete(request()).model == "m"
    with pytest.raises(TeacherUnavailableError):
        teacher.complete(request("third"))
    assert json.loads(teacher.complete(request()).text)["samples"]
    assert teacher.requests[2].messages[0].content == "third"
    echo = FakeTeacher(lambda asked: asked.messages[-1].content)
    assert echo.complete(request("hello")).text == "hello"


def test_a_key_covers_all_that_shapes_the_reply_and_not_the_purpose() -> None:
    one = request()
    assert one.key == request().key
    assert one.key != request("other").key
    assert one.key != request(seed=9).key
    assert one.key == Request(one.messages, one.schema, one.sampling, "repair").key


def test_a_recording_repeats_replies_in_their_order(tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    replies = [Reply("one", "m", 3, 4, 0.5, "length"), Reply("two", "m")]
    down = TeacherUnavailableError("down")
    with run.ledger() as ledger:
        ledger.finish(ledger.begin(request(), "fake"), replies[0])
        ledger.fail(ledger.begin(request("failed"), "fake"), down)
        ledger.finish(ledger.begin(request(), "fake"), replies[1])
    teacher = RecordedTeacher.from_run(run.path)
    assert [teacher.complete(request()) for _ in replies] == replies
    with pytest.raises(TeacherRequestError, match="No recorded reply is left"):
        teacher.complete(request())


def test_a_missing_or_damaged_recording_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no calls were recorded"):
        RecordedTeacher.from_run(tmp_path)
    (tmp_path / "ledger.sqlite").write_text("no database " * 100, encoding="utf-8")
    with pytest.raises(RunError, match="cannot be opened"):
        RecordedTeacher.from_run(tmp_path)
