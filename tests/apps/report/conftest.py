"""Runs to report on: a plain one, and one full of texts that mean harm."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from pgkd import Distiller, FakeTeacher
from pgkd.apps.report import write_report
from pgkd.config import Config, merge
from pgkd.runs.folder import RunFolder
from tests.conftest import TOPICS, make_rows

if TYPE_CHECKING:
    from pathlib import Path

IMAGE = "<img src=x onerror=alert(1)>"
SCRIPT = "</script><script>alert(2)</script>"
FORMULA = "=cmd()"
TURNED = "left \u202eright\u202c \u2067אבג"
LONG = "long " * 4000
CONTROL = "bell \x07 null \x00 alone \ud800 end"
HOSTILE = (IMAGE, SCRIPT, FORMULA, TURNED, LONG, CONTROL)
HOSTILE_CLASSES = {
    "billing": IMAGE,
    "delivery": "$x_{1$ \u202eclass",
    "account": SCRIPT,
    "product": FORMULA,
}


def distilled(path: Path, **settings: Any) -> RunFolder:
    """A run of four classes, quick and without weights."""
    names = settings.pop("names", {})
    teacher = settings.pop("asked", FakeTeacher())
    texts, labels = make_rows(10)
    quick = {
        "student": {"kind": "linear"},
        "teacher": {"provider": "fake"},
        "data": {"validation_fraction": 0.2},
        "guidance": {"folds": 3},
        "exam": 0,
        "samples": 6,
        "rounds": 2,
        "out": path,
    }
    config = Config.parse(merge(quick, settings))
    distiller = Distiller(config, teacher=teacher)
    distiller.fit(texts, [names.get(label, label) for label in labels])
    return distiller.run_


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended. Not to be written to: see `run`."""
    return distilled(tmp_path_factory.mktemp("report") / "plain")


@pytest.fixture
def run(made: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of that run, to do with as a test likes."""
    shutil.copytree(made.path, tmp_path / "plain")
    return RunFolder.open(tmp_path / "plain")


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run with hostile class names, whose teacher and rows are hostile, too."""
    path = tmp_path_factory.mktemp("report") / "hostile"
    answer = json.dumps({"samples": [{"label": "x", "text": IMAGE}], "doubtful": []})
    asked = FakeTeacher([SCRIPT, answer])
    run = distilled(path, names=HOSTILE_CLASSES, asked=asked)
    names = list(HOSTILE_CLASSES.values())
    with (path / "examples.jsonl").open("a", encoding="utf-8") as file:
        for i, text in enumerate(HOSTILE):
            origin = {"round": 2, "request": "r2-0001", "parents": []}
            line = {"text": text, "label": names[i % 4], "id": f"r2-9-{i}", "origin": origin}
            file.write(json.dumps(line) + "\n")
    with (path / "rejected.jsonl").open("a", encoding="utf-8") as file:
        for text in HOSTILE:
            line = {"request": "r1-0001", "reason": "no JSON", "detail": text, "raw": text}
            file.write(json.dumps(line) + "\n")
    with (path / "label_issues.jsonl").open("a", encoding="utf-8") as file:
        for text in HOSTILE:
            doubt = {"id": IMAGE, "label": names[1], "by": SCRIPT, "text": text, "round": 1}
            file.write(json.dumps(doubt) + "\n")
    return run


@pytest.fixture(scope="session")
def page_path(hostile: RunFolder) -> Path:
    """The report of the hostile run."""
    return write_report(hostile)


def classes() -> list[str]:
    return list(TOPICS)
