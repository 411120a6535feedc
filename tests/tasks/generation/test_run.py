"""Runs with a language model of two layers: learnt, killed, resumed, reviewed, estimated, shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgkd import Distiller, FakeTeacher, RunFolder
from pgkd.apps.cli.show import show
from pgkd.apps.report import write_report
from pgkd.encoders import language_model
from pgkd.encoders.language_model import LanguageModel, train_language_model
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Reviews
from pgkd.tasks.generation.config import GenerationConfig
from pgkd.tasks.generation.task import Generation
from pgkd.teachers.base import Request
from tests.tasks.generation.conftest import DEVICES, pairs, reply


def distil(
    config: GenerationConfig, answer: Callable[[Request], str] = reply, n: int = 24
) -> RunFolder:
    return Distiller(config, teacher=FakeTeacher(answer)).fit(*pairs(n)).run_


def replace_out(config: GenerationConfig, folder: Path) -> GenerationConfig:
    return config.model_copy(update={"out": folder})


def files(run: RunFolder) -> dict[str, bytes]:
    names = ["examples.jsonl", "result.json"]
    names += [f"students/{which}/model.safetensors" for which in ("best", "last")]
    return {name: (run.path / name).read_bytes() for name in names}


def long(settings: dict[str, Any], **more: Any) -> GenerationConfig:
    """Enough steps for the rows to be learnt."""
    student = {**settings["student"], "epochs": 16}
    return GenerationConfig.parse({**settings, "student": student, **more})


def test_it_learns(settings: dict[str, Any]) -> None:
    config = long(settings)
    run = distil(config, n=48)
    lines = [line for line in run.read_lines("journal.jsonl") if line["event"] == "round ended"]
    assert lines[-1]["validation"]["exact_match"] > 0.8
    assert lines[-1]["validation"]["log_loss"] < lines[0]["validation"]["log_loss"]
    assert {cell["name"] for cell in lines[-1]["validation"]["cells"]} == {"device", "state"}
    assert run.read_json("result.json")["rejected"]["invalid output"] > 0
    dataset = Generation().from_arrays(config, *pairs(40, seed=1))
    rows = [*dataset.train, *dataset.validation]
    figures = Generation().figures(run.student("best").answers([r.text for r in rows]), rows)
    assert figures["field_f1"] >= figures["exact_match"] > 0.8


@pytest.fixture(scope="module")
def whole() -> dict[str, bytes]:
    """The files of a run that nothing stopped, once it has been made."""
    return {}


@pytest.mark.parametrize(
    ("part", "number"), [*(("training", i) for i in range(6)), *(("call", i) for i in range(4))]
)
def test_killed_at_any_moment_it_resumes_to_the_same_student(
    config: GenerationConfig, whole: dict[str, bytes], part: str, number: int, tmp_path: Path
) -> None:
    if not whole:
        whole.update(files(distil(replace_out(config, tmp_path / "whole"))))
    count: Counter[str] = Counter()
    asked: list[str] = []

    def step(name: str) -> None:
        if (name, count[name]) == (part, number):
            raise SystemExit
        count[name] += 1

    def answer(request: Request) -> str:
        step("call")
        asked.append(request.id)
        return reply(request)

    def train(*args: Any, **kwargs: Any) -> LanguageModel:
        step("training")
        return train_language_model(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(language_model, "train_language_model", train)
        with pytest.raises(SystemExit):
            distil(config, answer)
    again: list[str] = []
    run = distil(config, lambda request: again.append(request.id) or reply(request))  # type: ignore[func-returns-value]
    assert files(run) == whole
    assert not set(asked) & set(again)  # nothing is paid twice


def test_a_weak_teacher_does_no_harm(settings: dict[str, Any]) -> None:
    def wrong(request: Request) -> str:
        data = json.loads(reply(request))
        for item in data["samples"]:
            for name, other in zip(DEVICES, (*DEVICES[1:], DEVICES[0]), strict=True):
                if name in item["output"]:
                    item["output"] = item["output"].replace(name, other)
                    break
        return json.dumps(data)

    exact = {"kind": "exact"}  # no checker sees through it
    result = distil(long(settings, texts=96, metric=exact), wrong, n=48).read_json("result.json")
    assert result["rounds"][1]["accepted"] > 20
    assert result["best"] == 0


def test_people_correct_its_rows(config: GenerationConfig) -> None:
    run = distil(config)
    first = run.synthetic()[0]
    Reviews(run.path).decide(first.id, "edit", "ann", text=first.text + " again")
    assert retrain(run).human_verified == 1
    assert run.has_student("reviewed")


def test_it_is_estimated_without_a_model(settings: dict[str, Any]) -> None:
    settings["student"]["model"] = "/no/such/folder"
    config = GenerationConfig.parse(settings)
    task = Generation()
    requests = list(task.estimate(config, task.from_arrays(config, *pairs(24)), FakeTeacher()))
    assert sum(count for _, count in requests) == 12


def test_it_is_shown_and_reported(
    config: GenerationConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    run = distil(config)
    show(run.path, None, None, 5, False, False)
    assert "exact match" in capsys.readouterr().out
    assert "Exact match" in write_report(run).read_text(encoding="utf-8")


def test_answers_depend_on_no_other_input(config: GenerationConfig) -> None:
    student = distil(config.model_copy(update={"rounds": 0})).student("best")
    assert isinstance(student, LanguageModel)
    texts = [*pairs(20, seed=3)[0], "", "on", "a much longer request " * 9]
    together = student.answers(texts)
    assert together == [student.answers([text])[0] for text in texts]
    assert all(0 <= answer["probability"] <= 1 for answer in together)


def test_exports_answer_as_the_student(config: GenerationConfig, tmp_path: Path) -> None:
    task, texts = Generation(), pairs(10, seed=4)[0]
    run = distil(config.model_copy(update={"rounds": 0}))
    student = run.student("best")
    for format_ in task.formats(student):
        folder = tmp_path / format_
        details = task.export(student, None, format_, folder)
        loaded = task.load_export(folder, format_, details, None)
        assert loaded.answers(texts) == student.answers(texts)
