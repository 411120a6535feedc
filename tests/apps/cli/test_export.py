"""`pgkd export`, and `pgkd predict` on what it made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.distiller import Distiller
from pgkd.errors import RunError
from tests.apps.cli.test_commands import run as command
from tests.conftest import make_rows
from tests.export.conftest import spoil_int8

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    folder = tmp_path_factory.mktemp("export") / "run"
    student = {"kind": "encoder", "encoder": str(tiny_encoder)}
    Distiller(teacher="fake", student=student, rounds=0, out=str(folder)).fit(*make_rows(20))
    return folder


def test_the_smallest_format_is_made_and_predicts(run: Path) -> None:
    printed = command("export", run)
    assert f"MB in {run / 'export/onnx-int8'};" in printed
    answers = [
        json.loads(command("predict", path, "an invoice and a charge", "--json"))
        for path in (run, run / "export/onnx-int8")
    ]
    assert answers[0][0]["label"] == answers[1][0]["label"]


def test_an_export_classifies_a_file(run: Path, tmp_path: Path) -> None:
    command("export", run, "--format", "onnx", "--out", tmp_path)
    (tmp_path / "texts.txt").write_text("invoice\nparcel\n")
    found = []
    for path in (run, tmp_path / "onnx"):
        command("predict", path, "--data", tmp_path / "texts.txt", "--out", tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text().splitlines()
        found.append([json.loads(line)["label"] for line in lines])
    assert found[0] == found[1]


def test_a_refusal_is_said_aloud_and_in_the_exit_code(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_int8(monkeypatch)
    for choice, code in (("onnx-int8", 1), ("auto", 0)):
        arguments = ["export", str(run), "--format", choice, "--out", str(tmp_path / choice)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        assert "onnx-int8 refused: " in result.stderr
        assert "have the same answer, needed are 99%" in result.stderr
        assert result.stdout.startswith("onnx: ")
        assert (tmp_path / choice / "onnx/model.onnx").is_file()
        assert not (tmp_path / choice / "onnx-int8").exists()


def test_it_tells_a_program_in_json(run: Path, tmp_path: Path) -> None:
    told = json.loads(command("export", run, "--format", "onnx", "--out", tmp_path, "--json"))
    [found] = told["exports"]
    assert (found["format"], found["path"]) == ("onnx", str(tmp_path / "onnx"))
    assert found["refused"] == []
    assert found["difference"] < 1e-4
    assert found["bytes"] > 10_000


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="not a run folder"):
        command("export", tmp_path)
