"""A whole run: it learns, resumes where it was killed, and a weak teacher does no harm."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd import Config, Distiller, FakeTeacher, RunFolder
from pgkd.errors import ExportError
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from pgkd.tasks.multilabel.task import MultiLabel
from pgkd.teachers.base import Reply, Request
from tests.conftest import TOPICS

NAMES = sorted(TOPICS)
FILLERS = ["day", "case", "parcel", "red", "blue", "nine", "seven", "again", "then", "now"]


def make_text(labels: list[str], rng: random.Random) -> str:
    words = [w for label in labels for w in rng.sample(TOPICS[label].split(), 3)]
    filler = rng.sample(FILLERS, 4)
    return " ".join(rng.sample([*words, *filler], len(words) + 4)) + f" {rng.randrange(1000)}"


def make_rows(n: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    rng = random.Random(seed)
    labels = [sorted(rng.sample(NAMES, rng.choice((0, 1, 1, 2)))) for _ in range(n)]
    return [make_text(each, rng) for each in labels], labels


TEXTS, LABELS = make_rows(40)


def wanted(request: Request) -> list[list[str]]:
    asked = request.messages[1].content.split("with these labels:")[1]
    return [json.loads(found) for found in re.findall(r"^\d+\. (\[.*\])$", asked, re.M)]


def answer(request: Request) -> str:
    rng = random.Random(request.messages[1].content)
    count = request.schema["properties"]["samples"]["maxItems"]  # type: ignore[index]
    sets = wanted(request)[:count]
    samples = [{"labels": each, "text": make_text(each, rng)} for each in sets]
    return json.dumps({"samples": samples})


def weak(request: Request) -> str:
    """A teacher whose texts have other labels than it says."""
    rng = random.Random(request.messages[1].content)
    samples = [
        {"labels": each, "text": make_text([rng.choice(NAMES)], rng)} for each in wanted(request)
    ]
    return json.dumps({"samples": samples})


def make_settings(encoder: Path, out: Path) -> dict[str, Any]:
    return {
        "task": "multilabel", "rounds": 2, "patience": 9, "texts": 24, "out": str(out),
        "student": {"encoder": str(encoder), "recipe": "frozen"},
        "guidance": {"folds": 2, "texts_per_request": 4},
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> dict[str, Any]:
    return make_settings(tiny_encoder, tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "run"
    return files(distil(make_settings(tiny_encoder, out)))


def distil(
    settings: dict[str, Any], reply: Callable[[Request], str | Reply] = answer, **more: Any
) -> RunFolder:
    config = Config.parse({**settings, **more})
    return Distiller(config, teacher=FakeTeacher(reply)).fit(TEXTS, LABELS).run_


def files(run: RunFolder) -> dict[str, bytes]:
    names = ["examples.jsonl", "result.json"]
    names += [f"students/{w}/{f}" for w in ("best", "last") for f in STUDENT]
    return {name: (run.path / name).read_bytes() for name in names}


STUDENT = ("student.json", "head.safetensors")


def macro_f1(run: RunFolder, which: str = "best") -> float:
    task, (texts, labels) = MultiLabel(), make_rows(150, seed=9)
    rows = task.from_arrays(task.config(), texts, labels).train
    answers = run.student(which).answers([row.text for row in rows])
    return task.figures(answers, rows)["macro_f1"]


def test_it_runs_and_its_texts_teach(settings: dict[str, Any]) -> None:
    alone = distil(settings, rounds=0, out=settings["out"] + "0")
    run = distil(settings, texts=60)
    result = run.read_json("result.json")
    assert [line["asked"] for line in result["rounds"]] == [0, 30, 30]
    assert run.synthetic()[0].origin.round == 1
    assert {len(text.labels) for text in run.synthetic()} == {0, 1, 2}
    assert macro_f1(run, "last") > macro_f1(alone) + 0.02


def test_a_weak_teacher_does_no_harm(settings: dict[str, Any]) -> None:
    alone = distil(settings, rounds=0, out=settings["out"] + "0")
    run = distil(settings, weak, texts=60)
    assert run.read_json("result.json")["rounds"][-1]["synthetic_weight"] < 1
    assert macro_f1(run) > macro_f1(alone) - 0.03


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
def test_killed_at_any_call_it_ends_as_if_it_had_not_been(
    settings: dict[str, Any], calls: int, whole: dict[str, bytes]
) -> None:
    made: list[str] = []

    def cut(request: Request) -> str:
        if len(made) == calls:
            raise SystemExit
        made.append(request.id)
        return answer(request)

    with pytest.raises(SystemExit):
        distil(settings, cut)
    again: list[str] = []

    def asked(request: Request) -> str:
        again.append(request.id)
        return answer(request)

    assert files(distil(settings, asked)) == whole
    assert not set(made) & set(again)  # nothing is paid twice


def test_people_correct_its_texts(settings: dict[str, Any]) -> None:
    run = distil(settings)
    first = run.synthetic()[0]
    Reviews(run.path).decide(first.id, "edit", "ann", text=first.text + " again")
    assert retrain(run).human_verified == 1
    assert run.has_student("reviewed")


def test_it_is_estimated(settings: dict[str, Any]) -> None:
    distiller = Distiller(Config.parse(settings), teacher=FakeTeacher(answer))
    rows = MultiLabel().from_arrays(distiller.config, TEXTS, LABELS)
    assert distiller.estimate(rows).calls == 10


def test_fine_tuning_is_tried_and_the_student_loads_again(settings: dict[str, Any]) -> None:
    student = {**settings["student"], "recipe": "finetune"}
    run = distil(settings, student=student, rounds=0)
    loaded = MultiLabel().load_student(run.path / "students" / "best")
    assert loaded.recipe == "finetune"
    assert loaded.answers(TEXTS[:5]) == run.student("best").answers(TEXTS[:5])
    distil(settings, student={**student, "recipe": "auto"}, rounds=0, out=settings["out"] + "a")


@pytest.mark.parametrize("format", ["onnx", "onnx-int8", "plain"])
def test_an_export_answers_as_its_student(
    settings: dict[str, Any], tmp_path: Path, format: str
) -> None:
    run, task = distil(settings, rounds=0), MultiLabel()
    student, dataset = run.student("best"), run.dataset()
    assert format in task.formats(student)
    folder = tmp_path / "export"
    folder.mkdir()
    details = task.export(student, dataset, format, folder)
    assert json.loads(json.dumps(details)) == details
    exported = task.load_export(folder, format, details, 1)
    p, q = (
        np.array([list(a["probabilities"].values()) for a in model.answers(TEXTS)])
        for model in (student, exported)
    )
    assert np.abs(p - q).max() < (0.1 if format == "onnx-int8" else 1e-4)
    assert exported.answers([]) == []
    if format == "onnx":
        assert pickle.loads(pickle.dumps(exported)).answers(TEXTS[:3]) == exported.answers(
            TEXTS[:3]
        )
        (folder / "student.json").write_text("{}")
        with pytest.raises(ExportError, match="damaged"):
            task.load_export(folder, format, details, 1)
