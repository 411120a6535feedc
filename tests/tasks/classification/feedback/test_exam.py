"""The examination: what a teacher shows of itself decides what its texts are worth."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pgkd.distiller import Distiller
from pgkd.errors import TeacherAuthError
from pgkd.events import Event, Hooks
from pgkd.tasks.classification.events import TeacherExamined
from pgkd.tasks.classification.feedback.examination import Exam, Share
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pgkd.config import Config
    from pgkd.runs.folder import RunFolder
    from pgkd.teachers.base import Reply, Request

ROWS = make_rows(10)
NUMBERED = re.compile(r"^\d+\. (.*)$", re.MULTILINE)
EXAMINED = {"exam": 64}


def topic_of(text: str) -> str:
    """The class of a row of `make_rows`."""
    words = set(re.findall(r"[a-z]+", text))
    return max(TOPICS, key=lambda topic: len(words & set(TOPICS[topic].split())))


def another(text: str) -> str:
    """A class that a text does not have."""
    names = list(TOPICS)
    return names[(names.index(topic_of(text)) + 1) % len(names)]


def reads(packed: Callable[[str], str], single: Callable[[str], str]) -> FakeTeacher:
    """A teacher that writes new texts of each class, and labels in these two ways."""
    fresh, fake = count(start=20), FakeTeacher()

    def answer(request: Request) -> str | Reply:
        properties = (request.schema or {}).get("properties", {})
        last = request.messages[-1].content
        if "labels" in properties:
            return json.dumps({"labels": [packed(text) for text in NUMBERED.findall(last)]})
        if "label" in properties:
            return json.dumps({"label": single(last.partition("\n")[0])})
        if request.purpose != "write":
            return fake.complete(request)
        told: dict[str, Any] = {"doubtful": []}
        for number, part in properties.items():
            if number != "doubtful":
                (label,) = part["properties"]["label"]["enum"]
                n = part["properties"]["texts"]["minItems"]
                texts = [make_rows(1, start=next(fresh)) for _ in range(n)]
                told[number] = {
                    "label": label,
                    "texts": [t[labels.index(label)] for t, labels in texts],
                }
        return json.dumps(told)

    return FakeTeacher(answer)


def strong() -> FakeTeacher:
    return reads(topic_of, topic_of)


def asked_for(teacher: FakeTeacher, purpose: str) -> list[Request]:
    return [request for request in teacher.requests if request.purpose == purpose]


class Heard(Hooks):
    """The exams and the rounds, in the order heard."""

    def __init__(self) -> None:
        self.exams: list[Exam] = []
        self.order: list[str] = []

    def on_event(self, event: Event) -> None:
        if isinstance(event, TeacherExamined):
            self.exams.append(event.exam)
            self.order.append("exam")

    def on_training(self, number: int) -> None:
        self.order.append(f"training {number}")


def examined(config: Config, teacher: FakeTeacher, **settings: Any) -> tuple[RunFolder, Heard]:
    heard = Heard()
    given = {**EXAMINED, **settings}
    return Distiller(config, teacher=teacher, hooks=[heard], **given).fit(*ROWS).run_, heard


def test_a_strong_teacher_packs_and_its_texts_count(config: Config) -> None:
    teacher = strong()
    _, heard = examined(config, teacher)
    exam = heard.exams[-1]
    assert exam.rows == Share(32, 32)
    assert exam.own is not None
    assert exam.own.right == exam.own.asked > 0
    assert exam.packs
    assert exam.worth > 0.4
    assert exam.weights == (0.3, 1.0, 0.1)
    assert exam.margin == 1
    assert "its texts count" in exam.verdict
    assert asked_for(teacher, "glossary")


def test_a_teacher_that_reads_only_single_texts_is_not_asked_for_many(config: Config) -> None:
    teacher = reads(another, topic_of)
    _, heard = examined(config, teacher)
    exam = heard.exams[-1]
    assert not exam.packs
    assert exam.rows == Share(24, 24)
    assert exam.worth > 0.4
    written = [request.schema for request in asked_for(teacher, "write")]
    assert {len((schema or {})["properties"]) for schema in written} == {2}  # a class, and doubts
    assert not asked_for(teacher, "glossary")


def test_a_teacher_that_is_wrong_hardly_knows_the_classes(config: Config) -> None:
    _, heard = examined(config, reads(another, another))
    exam = heard.exams[-1]
    assert exam.rows.right == 0
    assert not exam.packs
    assert exam.worth == 0
    assert exam.margin == 0
    assert exam.weights == (0.1, 0.3)
    assert "hardly knows" in exam.verdict


def test_own_texts_are_read_once_after_the_first_round(config: Config) -> None:
    teacher = strong()
    run, heard = examined(config, teacher)
    assert heard.order[:4] == ["exam", "training 0", "exam", "training 1"]
    assert [exam.own is None for exam in heard.exams] == [True, False]
    own = [request for request in teacher.requests if (request.id or "").startswith("r1-exam")]
    first = [text for text in run.synthetic() if text.origin and text.origin.round == 1]
    assert [NUMBERED.findall(r.messages[-1].content) for r in own] == [[t.text for t in first]]


def test_a_glossary_describes_the_classes_where_texts_are_read(
    config: Config, tmp_path: Path
) -> None:
    teacher = strong()
    run, _ = examined(config, teacher)
    lines = yaml.safe_load((run.path / "glossary.yaml").read_text())["classes"]
    assert set(lines) == set(TOPICS)
    first, *_, last = [r.messages[0].content for r in asked_for(teacher, "exam")]
    for line in lines.values():
        assert line not in first  # it was written after the labels were examined
        assert line in last
    given = tmp_path / "mine.yaml"
    given.write_text(yaml.safe_dump({"classes": {"billing": "Money that is owed."}}))
    teacher = strong()
    examined(config, teacher, guidance={"glossary": given}, out=tmp_path / "second")
    assert all("Money that is owed." in r.messages[0].content for r in asked_for(teacher, "exam"))


def test_a_wrong_key_shows_before_a_student_is_trained(config: Config, tmp_path: Path) -> None:
    with pytest.raises(TeacherAuthError):
        examined(config, FakeTeacher(lambda request: TeacherAuthError("wrong key")))
    assert not (tmp_path / "run" / "students").exists()


@pytest.mark.parametrize("settings", [{"exam": 0}, {"rounds": 0}])
def test_who_is_not_examined_is_asked_nothing(config: Config, settings: dict[str, int]) -> None:
    teacher = strong()
    run, heard = examined(config, teacher, **settings)
    assert not asked_for(teacher, "exam")
    assert heard.exams == []
    assert run.read_json("result.json")["teacher"] is None


def test_a_resumed_run_asks_nothing_again_and_finds_the_same(config: Config) -> None:
    run, _ = examined(config, strong())
    before = (run.path / "result.json").read_text(encoding="utf-8")
    again = strong()
    run, heard = examined(config, again)
    assert again.requests == []
    assert len(heard.exams) == 2
    assert (run.path / "result.json").read_text(encoding="utf-8") == before


def test_the_result_says_what_the_teacher_has_shown(config: Config) -> None:
    run, heard = examined(config, strong())
    told = run.read_json("result.json")["teacher"]
    assert told == heard.exams[-1].to_json()
    assert told["rows"]["right"] == told["rows"]["asked"] == 32
    low, high = told["rows"]["interval"]
    assert 0.8 < low < high <= 1
    lines = list(run.events("teacher examined"))
    assert [line["own_texts"] is None for line in lines] == [True, False]
    assert lines[-1]["verdict"] == told["verdict"]


def test_the_worse_part_counts() -> None:
    exam = Exam(Share(60, 64), None, packs=True, n_classes=4)
    assert replace(exam, own=Share(48, 48)).worth == exam.worth
    assert replace(exam, own=Share(12, 48)).worth < 0.05
    assert replace(exam, own=Share(0, 0)).worth == exam.worth
    assert Exam(Share(0, 0), None, packs=True, n_classes=4).worth == 0
