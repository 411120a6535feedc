"""A whole run: it learns, resumes where it was killed, and a weak teacher does no harm."""

from __future__ import annotations

import json
import pickle
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgkd import Config, Distiller, FakeTeacher, RunFolder
from pgkd.errors import ConfigError, ExportError
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from pgkd.tasks.slots.task import Slots
from pgkd.teachers.base import Reply, Request
from tests.conftest import TOPICS

NAMES = sorted(TOPICS)
FILLERS = ["case", "and", "then", "on", "day"]
STUDENT = ("student.json", "head.safetensors")


def make_text(labels: list[str], rng: random.Random) -> tuple[str, list[dict[str, Any]]]:
    """A text with a value of one or two words for each label."""
    text, entities = f"case {rng.randrange(1000)}:", []
    for label in labels:
        value = " ".join(rng.sample(TOPICS[label].split(), rng.choice((1, 2))))
        text += f" {' '.join(rng.sample(FILLERS, 2))} "
        entities.append({"start": len(text), "end": len(text) + len(value), "label": label})
        text += value
    return f"{text} then on day {rng.randrange(1000)}", entities


def make_rows(n: int, seed: int = 0) -> tuple[list[str], list[Any]]:
    rng = random.Random(seed)
    texts = [make_text(rng.sample(NAMES, rng.choice((0, 1, 1, 2))), rng) for _ in range(n)]
    return [text for text, _ in texts], [entities for _, entities in texts]


TEXTS, ENTITIES = make_rows(30)


def samples(request: Request, *, right: bool) -> str:
    """What a teacher answers; one that is not right takes any words for the values."""
    user = request.messages[1].content
    rng = random.Random(user)
    count = request.schema["properties"]["samples"]["maxItems"]  # type: ignore[index]
    sets = re.findall(r"^\d+\. (\[.*\])$", user.split("have these labels:")[1], re.M)
    made = []
    for labels in sets[:count]:
        text, entities = make_text(json.loads(labels), rng)
        values = [text[e["start"] : e["end"]] for e in entities]
        if not right:
            values = rng.sample([w for w in text.split() if text.count(w) == 1], len(entities))
        pairs = zip(entities, values, strict=True)
        found = [{"label": entity["label"], "value": value} for entity, value in pairs]
        made.append({"text": text, "entities": found})
    return json.dumps({"samples": made})


def answer(request: Request) -> str:
    return samples(request, right=True)


def weak(request: Request) -> str:
    return samples(request, right=False)


def make_settings(encoder: Path, out: Path) -> dict[str, Any]:
    return {
        "task": "slots", "rounds": 2, "patience": 9, "texts": 32, "out": str(out),
        "student": {"encoder": str(encoder), "recipe": "frozen"},
        "guidance": {"folds": 2, "texts_per_request": 3},
    }  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> dict[str, Any]:
    return make_settings(tiny_encoder, tmp_path / "run")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> RunFolder:
    return distil(make_settings(tiny_encoder, tmp_path_factory.mktemp("whole") / "run"))


def distil(
    settings: dict[str, Any], reply: Callable[[Request], str | Reply] = answer, **more: Any
) -> RunFolder:
    config = Config.parse({**settings, **more})
    return Distiller(config, teacher=FakeTeacher(reply)).fit(TEXTS, ENTITIES).run_


def files(run: RunFolder) -> dict[str, bytes]:
    names = ["examples.jsonl", "result.json"]
    names += [f"students/{w}/{f}" for w in ("best", "last") for f in STUDENT]
    return {name: (run.path / name).read_bytes() for name in names}


def micro_f1(run: RunFolder, which: str = "best") -> float:
    task, (texts, entities) = Slots(), make_rows(150, seed=9)
    rows = task.from_arrays(task.config(), texts, entities).train
    answers = run.student(which).answers([row.text for row in rows])
    return task.figures(answers, rows)["micro_f1"]


def test_it_runs_and_its_texts_teach(settings: dict[str, Any]) -> None:
    alone = distil(settings, rounds=0, out=settings["out"] + "0")
    run = distil(settings, texts=60)
    result = run.read_json("result.json")
    assert [line["asked"] for line in result["rounds"]] == [0, 30, 30]
    assert run.synthetic()[0].origin.round == 1
    assert micro_f1(run, "last") > micro_f1(alone) + 0.02


def test_a_weak_teacher_does_no_harm(settings: dict[str, Any]) -> None:
    alone = distil(settings, rounds=0, out=settings["out"] + "0")
    run = distil(settings, weak, texts=60)
    assert run.read_json("result.json")["rounds"][-1]["synthetic_weight"] < 1
    assert micro_f1(run) > micro_f1(alone) - 0.03


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 5, 6, 8, 10, 11])
def test_killed_at_any_call_it_ends_as_if_it_had_not_been(
    settings: dict[str, Any], calls: int, whole: RunFolder
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

    assert files(distil(settings, asked)) == files(whole)
    assert not set(made) & set(again)  # nothing is paid twice


def test_people_correct_its_texts(settings: dict[str, Any]) -> None:
    run = distil(settings)
    first = run.synthetic()[0]
    Reviews(run.path).decide(
        first.id, "edit", "ann", text=first.text + " again", label=first.output
    )
    assert retrain(run).human_verified == 1
    assert run.has_student("reviewed")


def test_it_is_estimated(settings: dict[str, Any]) -> None:
    distiller = Distiller(Config.parse(settings), teacher=FakeTeacher(answer))
    rows = Slots().from_arrays(distiller.config, TEXTS, ENTITIES)
    assert distiller.estimate(rows).calls == 16


def test_the_whole_encoder_is_trained(settings: dict[str, Any]) -> None:
    student = {**settings["student"], "recipe": "finetune"}
    run = distil(settings, student=student, rounds=0)
    loaded = Slots().load_student(run.path / "students" / "best")
    assert loaded.recipe == "finetune"
    assert loaded.answers(TEXTS[:5]) == run.student("best").answers(TEXTS[:5])
    again = distil(settings, student=student, rounds=0, out=settings["out"] + "2")
    weights = "students/best/encoder/model.safetensors"
    assert (again.path / weights).read_bytes() == (run.path / weights).read_bytes()
    distil(settings, student={**student, "recipe": "auto"}, rounds=0, out=settings["out"] + "a")


@pytest.mark.parametrize("format", ["onnx", "onnx-int8", "plain"])
def test_an_export_answers_as_its_student(whole: RunFolder, tmp_path: Path, format: str) -> None:
    task, student, dataset = Slots(), whole.student("best"), whole.dataset()
    assert format in task.formats(student)
    folder = tmp_path / "export"
    folder.mkdir()
    details = task.export(student, dataset, format, folder)
    exported = task.load_export(folder, format, details, 1)
    texts = [*TEXTS, "👩\u200d🚀 refund e\u0301t\u00e9", "refund " * 90, "?"]
    found, wanted = exported.answers(texts), student.answers(texts)
    same = [a["entities"] == b["entities"] for a, b in zip(found, wanted, strict=True)]
    if format == "onnx-int8":
        assert sum(same) > 0.8 * len(texts)
    else:
        assert all(same)
        pairs = zip(found, wanted, strict=True)
        assert all(abs(a["probability"] - b["probability"]) < 1e-4 for a, b in pairs)
    alone = [exported.answers([text])[0] for text in texts]
    assert [a["entities"] for a in alone] == [a["entities"] for a in found]
    assert [a["probability"] for a in alone] == pytest.approx([a["probability"] for a in found])
    assert exported.answers([]) == []
    if format == "onnx":
        assert pickle.loads(pickle.dumps(exported)).answers(texts) == found
        (folder / "student.json").write_text("{}")
        with pytest.raises(ExportError, match="damaged"):
            task.load_export(folder, format, details, 1)


def test_a_round_says_what_is_wrong(whole: RunFolder) -> None:
    [*rounds] = whole.events("round ended")
    cells = rounds[-1]["validation"]["cells"]
    assert [cell["name"] for cell in cells] == NAMES
    assert {"n", "precision", "recall", "f1", "missed", "boundary", "wrong_label", "invented"} <= {
        *cells[0]
    }


@pytest.mark.parametrize(
    "settings_", [{"student": {"recipe": "crf"}}, {"data": {"entity_column": ""}}, {"labels": 3}]
)
def test_a_setting_that_does_not_exist_is_refused(settings_: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Config.parse({"task": "slots", **settings_})
