"""Students of a run trained again: the same with its seed, another one with another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from typer.testing import CliRunner

from pgkd.apps.cli import app
from pgkd.distiller import Distiller
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.assembly import repeated
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

TEXTS, LABELS = make_rows(3, start=50)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> dict[str, RunFolder]:
    made = {}
    for recipe in ("finetune", "frozen"):
        out = tmp_path_factory.mktemp("again") / recipe
        student = {"kind": "encoder", "encoder": str(tiny_encoder), "recipe": recipe}
        settings: dict[str, Any] = {"rounds": 1, "samples": 12, "exam": 0, "seed": 3}
        Distiller(teacher="fake", student=student, out=str(out), **settings).fit(*make_rows(8))
        made[recipe] = RunFolder.open(out)
    return made


@pytest.mark.parametrize("which", ["first", "best"])
def test_another_seed_gives_another_student_of_the_same_texts(
    runs: dict[str, RunFolder], which: str
) -> None:
    own = runs["finetune"].student(which).predict_proba(TEXTS)
    one, two = [s.predict_proba(TEXTS) for s in repeated(runs["finetune"], which, 2)]
    assert not np.allclose(own, one)
    assert not np.allclose(one, two)
    assert np.abs(own - one).mean() < 0.3


def test_its_own_seed_gives_the_same_student(
    runs: dict[str, RunFolder], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = runs["finetune"]
    earlier = run.config().model_copy(update={"seed": 2})  # the first repeat has the next seed: 3
    monkeypatch.setattr(RunFolder, "config", lambda self: earlier)
    [again] = repeated(run, "first", 1)
    own = run.student("first")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), own.predict_proba(TEXTS))


def test_a_head_on_frozen_features_is_not_trained_again(runs: dict[str, RunFolder]) -> None:
    assert list(repeated(runs["frozen"], "best", 2)) == []


@pytest.mark.parametrize(("recipe", "times"), [("finetune", 1), ("frozen", 0)])
def test_evaluate_says_how_often_students_were_trained(
    runs: dict[str, RunFolder], tmp_path: Path, recipe: str, times: int
) -> None:
    data = tmp_path / "test.csv"
    lines = (f'"{text}",{label}' for text, label in zip(TEXTS, LABELS, strict=True))
    data.write_text("\n".join(["text,label", *lines]))
    command = ["evaluate", str(runs[recipe].path), "--data", str(data), "--repeats", "1"]
    told = CliRunner().invoke(app, [*command, "--json"])
    assert told.exit_code == 0, told.output
    assert json.loads(told.stdout)["repeats"] == times
    printed = CliRunner().invoke(app, command).stdout
    assert ("over the rows and 2 trainings" in " ".join(printed.split())) == bool(times)
