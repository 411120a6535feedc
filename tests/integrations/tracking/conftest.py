"""Runs to be tracked, and what no tracker may ever see of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.tasks.classification.students.linear import LinearStudent
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

KEY = "sk-very-secret-0123456789"
INSTRUCTIONS = "Customers of Acme write about Project Nightjar."
ROWS = make_rows(10)
SENTENCE = "zebras carry the invoice refund quietly"
"""Begins every text that the teacher writes."""


class Writing(FakeTeacher):
    """Writes texts that can be logged from all others; gives up after so many replies."""

    model = "fake"

    def __init__(self, after: int | None = None) -> None:
        super().__init__()
        self.after = after

    def complete(self, request: Request) -> Reply:
        if self.after is not None and len(self.requests) == self.after:
            raise SystemExit("cut off")
        reply = super().complete(request)
        marked = reply.text.replace('"text": "', f'"text": "{SENTENCE} {len(self.requests)} ')
        return Reply(marked, reply.model, reply.input_tokens, reply.output_tokens)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A key as users have it, and no variable of a tool from outside."""
    import os

    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "WANDB_", "OTEL_")):
            monkeypatch.delenv(name)
    for name in ("OPENAI_API_KEY", "WANDB_API_KEY"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("PGKD_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    # How good the student is does not matter here, and tuning takes half of the time of a run.
    monkeypatch.setattr(LinearStudent, "tune", lambda self, *args, **more: self)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """The quickest run of two rounds."""
    return Config.parse(
        {
            "student": {"kind": "linear"},
            "teacher": {"provider": "fake"},
            "guidance": {"folds": 2, "texts_per_request": 2},
            "label_names": False,
            "synthetic_weight": 0.3,
            "exam": 0,
            "patience": 5,
            "rounds": 2,
            "samples": 6,
            "out": tmp_path / "run",
        }
    )


@pytest.fixture
def private(config: Config) -> Config:
    """Settings with something in them that concerns nobody else."""
    instructed = config.guidance.model_copy(update={"instructions": INSTRUCTIONS})
    asked = config.teacher.model_copy(
        update={"base_url": f"https://ann:{KEY}@proxy.example/v1", "api_key_env": KEY}
    )
    return config.model_copy(update={"guidance": instructed, "teacher": asked})


def distil(config: Config, teacher: Teacher | None = None, **more: Any) -> Distiller:
    return Distiller(config, teacher=teacher or Writing(), **more).fit(*ROWS)


def secrets(run: RunFolder) -> list[str]:
    """What must not leave: keys, rows, what was asked and what was answered, line by line."""
    calls = calls_of(run)
    asked = [message["content"] for call in calls for message in call.request["messages"]]
    answered = [call.reply.text for call in calls if call.reply]
    lines = [line.strip() for text in (*asked, *answered) for line in text.splitlines()]
    assert len(lines) > 20
    return [KEY, "Nightjar", SENTENCE, *ROWS[0], *(line for line in lines if len(line) > 25)]


def assert_keeps_secrets(logged: bytes, run: RunFolder) -> None:
    for secret in secrets(run):
        assert secret.encode() not in logged, secret


def files_below(*folders: Path) -> bytes:
    """All that stands in the files of folders, and their names."""
    found: Iterable[Path] = (path for f in folders for path in sorted(f.rglob("*")))
    return b"\n".join(
        str(path).encode() + b"\n" + path.read_bytes() for path in found if path.is_file()
    )
