"""Exports answer as the student does, without torch; damaged ones are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd.errors import ExportError, StudentError
from pgkd.tasks.pairs.task import Pairs
from tests.tasks.pairs.conftest import distil, make_labelled, make_scored


@pytest.mark.parametrize("recipe", ["frozen", "finetune"])
@pytest.mark.parametrize("make", [make_labelled, make_scored])
def test_an_export_answers_as_its_student(
    settings: dict[str, Any], tmp_path: Path, recipe: str, make: Any
) -> None:
    settings["student"]["recipe"] = recipe
    run, task, pairs = distil(settings, data=make(40), rounds=0), Pairs(), make(60, seed=4)[0]
    student = run.student("best")
    key = "probability" if make is make_labelled else "score"
    expected = np.array([answer[key] for answer in student.answers(pairs)])
    for name, bound in (("onnx", 1e-4), ("onnx-int8", 0.05), ("plain", 0.0)):
        folder = tmp_path / name
        folder.mkdir()
        details = task.export(student, run.dataset(), name, folder)
        loaded = task.load_export(folder, name, details, threads=1)
        found = np.array([answer[key] for answer in loaded.answers(pairs)])
        assert found == pytest.approx(expected, abs=bound)
        alone = [loaded.answers([pair])[0][key] for pair in pairs[:9]]
        assert found[:9] == pytest.approx(alone, abs=5e-6)
        with pytest.raises(StudentError, match="no pair"):
            loaded.answers(["one text"])
    path = tmp_path / "onnx" / "student.json"
    description = json.loads(path.read_text())
    other = {"frozen": "finetune", "finetune": "frozen"}[recipe]
    for damage in ({}, {**description, "recipe": other}, {**description, "calibration": None}):
        path.write_text(json.dumps(damage))
        with pytest.raises(ExportError, match="is damaged"):
            task.load_export(tmp_path / "onnx", "onnx", details, threads=1)
