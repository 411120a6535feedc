"""The real thing: the embedded LLM teaches the encoder student on the helpdesk example."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.runs.folder import RunFolder
from pgkd.teachers.fake import RecordedTeacher
from pgkd.weights.fetch import cached
from pgkd.weights.pins import DEFAULT_STUDENT, DEFAULT_TEACHER
from tests.conftest import calls_of

if TYPE_CHECKING:
    from collections.abc import Sequence

HELPDESK = Path(__file__).parents[2] / "examples" / "helpdesk"
TEST_FILE = HELPDESK / "test.csv"


@pytest.fixture(scope="module", autouse=True)
def weights() -> None:
    pytest.importorskip("xllamacpp", reason="the extra 'local' is not installed")
    for name in (DEFAULT_TEACHER, DEFAULT_STUDENT):
        if cached(name) is None:
            pytest.skip(f"the weights {name} are not here: pgkd models pull")


def pgkd(*arguments: Any) -> str:
    result = CliRunner().invoke(
        app, [str(argument) for argument in arguments], catch_exceptions=False
    )
    assert result.exit_code == 0, result.output
    return result.stdout


def distil(out: Path, *, rounds: int, samples: int) -> RunFolder:
    config = HELPDESK / "pgkd.yaml"
    settings = ("--rounds", rounds, "--samples", samples, "--exam", 8)
    pgkd("distill", "--config", config, *settings, "--out", out)
    return RunFolder.open(out)


def evaluated(out: Path, *more: Any) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(pgkd("evaluate", out, "--data", TEST_FILE, "--json", *more))
    return report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two rounds of four texts."""
    return distil(tmp_path_factory.mktemp("helpdesk") / "run", rounds=2, samples=4)


def texts_of(rows: Sequence[dict[str, Any]]) -> set[str]:
    return {row["text"] for row in rows}


@pytest.mark.weights
def test_the_teacher_writes_new_texts_of_the_classes_asked_for(run: RunFolder) -> None:
    result, task = run.read_json("result.json"), run.read_json("task.json")
    kept, calls = list(run.read_lines("examples.jsonl")), calls_of(run)
    assert [done["round"] for done in result["rounds"]] == [0, 1, 2]
    assert len(kept) == result["rounds"][-1]["synthetic"] > 0
    assert {text["label"] for text in kept} <= {c["name"] for c in task["classes"]}
    assert texts_of(kept).isdisjoint(texts_of([*task["train"], *task["validation"]]))
    assert all(call.reply and call.reply.output_tokens for call in calls)


@pytest.mark.weights
def test_the_student_is_one_that_can_be_used(run: RunFolder) -> None:
    report = evaluated(run.path, "--teacher-rows", 2)
    assert report["students"]["before"]["accuracy"] > 0.7  # of 20 classes, from 318 rows
    assert report["students"]["after"]["accuracy"] > 0.7
    assert report["teacher"]["n"] == 2
    with TEST_FILE.open(encoding="utf-8", newline="") as file:
        classes = {row["label"] for row in csv.DictReader(file)}
    assert json.loads(pgkd("predict", run.path, "my vpn drops", "--json"))[0]["label"] in classes


@pytest.mark.weights
def test_its_replies_recorded_give_the_same_student(run: RunFolder, tmp_path: Path) -> None:
    teacher = RecordedTeacher.from_run(run.path)
    config = Config.from_yaml(run.path / "config.yaml")
    again = Distiller(config, teacher=teacher, out=tmp_path / "again").fit()
    for name in ("first", "best", "last"):
        [one, two] = [r.path / "students" / name / "head.safetensors" for r in (run, again.run_)]
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.slow
@pytest.mark.weights
def test_the_demo_gains(tmp_path: Path) -> None:
    distil(tmp_path / "run", rounds=3, samples=24)
    found = evaluated(tmp_path / "run")
    assert found["after_minus_before"]["macro_f1"]["difference"] > 0
