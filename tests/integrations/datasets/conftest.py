"""A run whose data is written for others."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.runs.folder import RunFolder
from pgkd.runs.review import Reviews
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended. Not to be written to: see `run`."""
    config = Config.parse(
        {
            "student": {"kind": "linear"},
            "teacher": {"provider": "fake"},
            "guidance": {"folds": 3},
            "data": {"validation_fraction": 0.2},
            "exam": 0,
            "rounds": 2,
            "samples": 8,
            "out": tmp_path_factory.mktemp("data") / "run",
        }
    )
    return Distiller(config, teacher=FakeTeacher()).fit(*make_rows(10)).run_


@pytest.fixture
def run(made: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it, whose last round was the best."""
    copy = RunFolder(tmp_path / "a run")
    shutil.copytree(made.path, copy.path)
    result = copy.read_json("result.json")
    result["best"] = result["rounds"][-1]["round"]
    copy.write_json("result.json", result)
    return copy


@pytest.fixture
def reviewed(run: RunFolder) -> RunFolder:
    """The same, where somebody has rejected a text, relabelled one and edited one."""
    reviews = Reviews(run.path, tuple(TOPICS))
    first, second, third, *_ = run.synthetic()
    reviews.decide(first.id, "reject", "ann")
    other = next(name for name in TOPICS if name != second.label)
    reviews.decide(second.id, "relabel", "ann", label=other)
    reviews.decide(third.id, "edit", "ann", text='=HYPERLINK("http://x") is what they wrote')
    return run
