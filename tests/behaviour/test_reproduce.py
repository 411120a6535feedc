"""The same config, seed and replies give the same student, to the byte."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.runs.folder import RunFolder, without_times
from pgkd.teachers.fake import FakeTeacher, RecordedTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.config import Config
    from pgkd.teachers.base import Reply, Request, Teacher
    from pgkd.usage.ledger import Call

JOURNALS = ("journal.jsonl", "examples.jsonl", "rejected.jsonl", "label_issues.jsonl")


def distil(config: Config, out: Path, teacher: Teacher, **settings: Any) -> RunFolder:
    return Distiller(config, teacher=teacher, out=out, **settings).fit(*make_rows(10)).run_


def settled(call: Call) -> Any:
    """What a call was and how it ended, without its times and who answered it."""
    reply = without_times(call.reply.to_json()) if call.reply else None
    return call.id, call.key, call.state, reply, call.error


def assert_same(one: RunFolder, two: RunFolder) -> None:
    weights = sorted(p.relative_to(one.path) for p in (one.path / "students").rglob("*.*"))
    assert weights
    for path in weights:
        assert (one.path / path).read_bytes() == (two.path / path).read_bytes()
    for name in JOURNALS:
        left, right = (list(map(without_times, run.read_lines(name))) for run in (one, two))
        assert left == right
    assert [settled(call) for call in calls_of(one)] == [settled(call) for call in calls_of(two)]
    assert one.read_json("result.json") == two.read_json("result.json")


@pytest.mark.parametrize("mode", ["targeted", "paper"])
def test_the_fake_teacher_twice(config: Config, tmp_path: Path, mode: str) -> None:
    runs = [
        distil(config, tmp_path / name, FakeTeacher(), guidance={"mode": mode})
        for name in ("one", "two")
    ]
    assert_same(*runs)


def test_a_recording_repeats_its_run(config: Config, tmp_path: Path) -> None:
    first = distil(config, tmp_path / "first", FakeTeacher(seed=4))
    second = distil(config, tmp_path / "second", RecordedTeacher.from_run(first.path))
    assert_same(first, second)


def test_many_calls_at_once_give_the_run_of_one_at_a_time(config: Config, tmp_path: Path) -> None:
    class Hasty(FakeTeacher):
        """Answers in any order."""

        concurrency = 8

        def complete(self, request: Request) -> Reply:
            time.sleep(int(request.key[:2], 16) / 10_000)
            return super().complete(request)

    one = distil(config, tmp_path / "one", FakeTeacher(), samples=40)
    two = distil(config, tmp_path / "two", Hasty(), samples=40)
    for name in ("examples.jsonl", "rejected.jsonl", "result.json"):
        assert (one.path / name).read_text() == (two.path / name).read_text()
    weights = [(run.path / "students/last/head.safetensors").read_bytes() for run in (one, two)]
    assert weights[0] == weights[1]


def test_an_encoder_student_twice(config: Config, tmp_path: Path, tiny_encoder: Path) -> None:
    student = {"kind": "encoder", "encoder": str(tiny_encoder), "max_length": 32}
    runs = [
        distil(config, tmp_path / name, FakeTeacher(), student=student) for name in ("one", "two")
    ]
    assert_same(*runs)


def test_another_seed_is_another_run(config: Config, tmp_path: Path) -> None:
    runs = [distil(config, tmp_path / str(seed), FakeTeacher(), seed=seed) for seed in (0, 1)]
    students = [(run.path / "students/last/head.safetensors").read_bytes() for run in runs]
    assert students[0] != students[1]


def test_a_key_in_the_environment_is_synthetic_nowhere(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-in-the-environment")
    run = distil(config, tmp_path / "run", FakeTeacher())
    for path in run.path.rglob("*.json*"):
        assert "sk-secret" not in path.read_text(encoding="utf-8")
    assert json.loads((run.path / "environment.json").read_text())["python"]
