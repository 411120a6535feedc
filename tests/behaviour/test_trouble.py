"""Trouble on the way: Ctrl-C, a failing teacher, hostile replies. No work is lost."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.errors import DataError, TeacherAuthError, TeacherError, TeacherUnavailableError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from pgkd.config import Config

ROWS = make_rows(10)


def distil(config: Config, teacher: Teacher, **settings: Any) -> Distiller:
    return Distiller(config, teacher=teacher, **settings).fit(*ROWS)


def test_ctrl_c_keeps_the_best_student_and_all_replies(config: Config) -> None:
    fake = FakeTeacher()

    class Interrupted(Teacher):
        def complete(self, request: Request) -> Reply:
            if len(fake.requests) == 4:
                raise KeyboardInterrupt
            return fake.complete(request)

    done = distil(config, Interrupted(), rounds=3)
    assert done.outcome_.stopped_by == "interrupted"
    assert done.run_.student("best").predict(["invoice payment"])
    states = [call.state for call in calls_of(done.run_)]
    assert states == ["replied"] * 4 + ["in flight"]
    assert done.run_.read_json("result.json")["stopped_by"] == "interrupted"


def test_a_reply_is_on_disk_before_it_is_read(config: Config) -> None:
    seen: list[str] = []
    run = RunFolder(Path(str(config.out)))

    class Watch(Hooks):
        def on_reply(self, ask: Any, reply: Reply) -> None:
            on_disk = calls_of(run)[-1].reply
            assert on_disk == reply
            seen.append(reply.text)

    distil(config, FakeTeacher(), hooks=[Watch()])
    assert len(seen) >= 2


def test_a_teacher_that_is_down_ends_the_run_with_what_it_has(config: Config) -> None:
    fake = FakeTeacher()

    def answer(request: Request) -> Reply | Exception:
        return fake.complete(request) if len(fake.requests) < 1 else TeacherUnavailableError("down")

    done = distil(config, FakeTeacher(answer), samples=20)
    assert done.outcome_.stopped_by == "teacher failed"
    assert done.outcome_.detail.startswith("3 requests in a row have failed")
    assert "the last error: down" in done.outcome_.detail
    failed = [call for call in calls_of(done.run_) if call.state == "failed"]
    assert [call.error_kind for call in failed] == ["TeacherUnavailableError"] * 3


def test_one_failed_call_is_passed_over(config: Config) -> None:
    done = distil(config, FakeTeacher([TeacherUnavailableError("hiccup")]))
    assert done.outcome_.stopped_by == "rounds"
    assert done.outcome_.rounds[-1].synthetic > 0


def test_a_refused_key_ends_the_run_at_the_first_call(config: Config) -> None:
    teacher = FakeTeacher(lambda _: TeacherAuthError("refused"))
    assert distil(config, teacher).outcome_.detail == "refused"
    assert len(teacher.requests) == 1


def test_bad_rows_are_refused_before_any_call(config: Config) -> None:
    teacher = FakeTeacher()
    with pytest.raises(DataError):
        Distiller(config, teacher=teacher).fit(["", "x"], ["a", "b"])
    assert teacher.requests == []


HOSTILE = (
    "",
    "I cannot help with that.",
    "{" * 5000,
    json.dumps({"samples": "none"}),
    json.dumps({"samples": [{"label": "no such class", "text": "hello there"}]}),
    json.dumps({"samples": [{"label": "billing", "text": 5}], "doubtful": ["x", -1, 10**9]}),
    json.dumps({"samples": [{"label": "billing", "text": "\ud800 \x00 \x1b[2J"}]}),
    "x" * 3_000_000,
)


@pytest.mark.parametrize("mode", ["targeted", "paper"])
def test_hostile_replies_end_the_run_cleanly_and_are_kept_for_reading(
    config: Config, mode: str
) -> None:
    turn = iter(HOSTILE * 100)
    teacher = FakeTeacher(lambda _: next(turn))
    done = distil(config, teacher, guidance={"mode": mode})
    assert done.outcome_.stopped_by == "nothing usable"
    assert ": '" in done.outcome_.detail  # one example of what it wrote
    assert len(done.outcome_.detail) < 400
    assert done.outcome_.best == 0
    assert list(done.run_.synthetic()) == []
    calls = calls_of(done.run_)
    assert len(calls) == len(teacher.requests)
    dropped = list(done.run_.read_lines("rejected.jsonl"))
    assert dropped
    assert all(line["reason"] and len(line.get("raw", "")) <= 500 for line in dropped)


def test_an_invalid_item_is_asked_for_again_and_then_dropped(config: Config) -> None:
    bad = json.dumps({"samples": [{"label": "nonsense", "text": "hello"}], "doubtful": []})
    teacher = FakeTeacher([bad, bad])
    done = distil(config, teacher, rounds=1, guidance={"glossary": "off"})
    repairs = [request for request in teacher.requests if request.purpose == "repair"]
    assert len(repairs) == 1
    assert "nonsense" in repairs[0].messages[-1].content
    reasons = [line["reason"] for line in done.run_.read_lines("rejected.jsonl")]
    assert reasons.count("label not asked for") == 2


@pytest.mark.parametrize("masked", [True, False])
def test_texts_may_hold_the_masks_that_the_rows_hold(config: Config, masked: bool) -> None:
    def answer(request: Request) -> Reply:
        reply = FakeTeacher().complete(request)
        answer = json.loads(reply.text)
        for part in answer.values():
            if isinstance(part, dict) and "texts" in part:
                part["texts"] = [f"[NAME] {text}" for text in part["texts"]]
        return replace(reply, text=json.dumps(answer))

    texts, labels = ROWS
    texts = [f"{text} for [NAME]" for text in texts] if masked else texts
    teacher = FakeTeacher(answer)
    done = Distiller(config, teacher=teacher, rounds=1).fit(texts, labels)
    kept = [text.text for text in done.run_.synthetic()]
    assert all(text.startswith("[NAME] ") for text in kept)
    assert bool(kept) is masked
    assert any(request.purpose == "repair" for request in teacher.requests) is not masked


def test_the_rows_that_the_teacher_doubts_are_listed(config: Config) -> None:
    def answer(request: Request) -> str:
        filled = json.loads(FakeTeacher().complete(request).text)
        return json.dumps({**filled, "doubtful": [1, 99]})

    done = distil(config, FakeTeacher(answer), rounds=1)
    doubts = [s for s in done.run_.read_lines("label_issues.jsonl") if s["by"] == "teacher"]
    texts, labels = ROWS
    assert doubts
    for doubt in doubts:
        assert labels[texts.index(doubt["text"])] == doubt["label"]


@pytest.mark.parametrize("mode", ["targeted", "paper"])
def test_validation_rows_are_never_shown_to_the_teacher(config: Config, mode: str) -> None:
    teacher = FakeTeacher()
    done = distil(config, teacher, guidance={"mode": mode})
    held = [row["text"] for row in done.run_.read_json("task.json")["validation"]]
    assert held
    for request in teacher.requests:
        prompt = " ".join(message.content for message in request.messages)
        assert not [text for text in held if text in prompt]


def test_no_teacher_is_asked_where_no_rounds_are_wanted(config: Config) -> None:
    teacher = FakeTeacher()
    done = distil(config, teacher, rounds=0)
    assert teacher.requests == []
    assert done.student_.predict(["parcel courier"])


def test_an_error_of_a_teacher_is_one_of_ours() -> None:
    assert issubclass(TeacherUnavailableError, TeacherError)


def test_the_teacher_describes_the_task_once_and_every_prompt_says_so(config: Config) -> None:
    def answer(request: Request) -> str | Reply:
        if request.purpose == "glossary":
            return json.dumps({"about": "Letters\nto a shop.\x07" + "x" * 9_000, "classes": {}})
        return FakeTeacher().complete(request)

    teacher = FakeTeacher(answer)
    done = distil(config, teacher, guidance={"glossary": "auto"})
    purposes = [request.purpose for request in teacher.requests]
    assert purposes.count("glossary") == 1
    assert purposes[0] == "glossary"
    systems = [request.messages[0].content for request in teacher.requests[1:]]
    assert all("About the texts: Letters to a shop. xxx" in system for system in systems)
    assert max(map(len, systems)) < 2_000  # an endless description is cut
    [noted] = [line for line in done.run_.read_lines("journal.jsonl")
               if line["event"] == "glossary written"]  # fmt: skip
    assert noted["about"] in systems[0]
    assert calls_of(done.run_)[0].id == "glossary-0001"


@pytest.mark.parametrize("reply", ["no", "{", '{"about": 7}', "[1]", "{" * 100_000])
def test_a_useless_description_is_done_without(config: Config, reply: str) -> None:
    def answer(request: Request) -> str | Reply:
        return reply if request.purpose == "glossary" else FakeTeacher().complete(request)

    teacher = FakeTeacher(answer)
    run = distil(config, teacher, guidance={"glossary": "auto"})
    assert run.outcome_.stopped_by == "rounds"
    assert "About the texts" not in teacher.requests[-1].messages[0].content


def test_users_words_replace_the_description(config: Config) -> None:
    teacher = FakeTeacher()
    distil(config, teacher, guidance={"instructions": "Mails to a landlord."})
    assert "About the texts: Mails to a landlord." in teacher.requests[-1].messages[0].content
