"""A run whose rounds go out as batches: the same student for half the price, across any cut."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.config import Config, merge
from pgkd.distiller import Distiller
from pgkd.errors import ConfigError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Message, Request, Sampling
from pgkd.teachers.fake import FakeTeacher
from pgkd.teachers.openai import OpenAITeacher
from pgkd.usage import batch
from pgkd.usage.batch import BatchProgress
from tests.behaviour.test_resume import ROWS, command, students
from tests.behaviour.test_resume import rows_file as rows_file
from tests.conftest import calls_of
from tests.teachers.batch_services import OpenAIService

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def with_teacher(config: Config, **settings: Any) -> Config:
    """The run with prices, without replies of other runs, and with these settings."""
    prices = {"price_input": 1, "price_output": 2, "cache": "off"}
    return Config.parse(merge(config.model_dump(), {"teacher": {**prices, **settings}}))


def write(body: dict[str, Any]) -> str:
    """What a teacher writes: the same for the same request, however it came."""
    messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
    schema = body["response_format"]["json_schema"]["schema"]
    return FakeTeacher().complete(Request(messages, schema, Sampling(seed=body["seed"]))).text


@pytest.fixture
def service() -> OpenAIService:
    made = OpenAIService()
    made.answer = write
    return made


@pytest.fixture
def teacher(service: OpenAIService, monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAITeacher]:
    monkeypatch.setattr(batch, "_FIRST_POLL", 0.01)
    with service.running() as url, OpenAITeacher("m", base_url=url) as made:
        yield made


class Heard(Hooks):
    def __init__(self) -> None:
        self.progress: list[BatchProgress] = []

    def on_batch(self, progress: BatchProgress) -> None:
        self.progress.append(progress)


def test_the_student_is_that_of_a_run_without_batches_for_half_the_price(
    config: Config, tmp_path: Path, service: OpenAIService, teacher: OpenAITeacher
) -> None:
    one_by_one, batched = with_teacher(config), with_teacher(config, batch=True)
    whole = Distiller(one_by_one, teacher=teacher, out=tmp_path / "whole").fit(*ROWS).run_
    assert service.batches == {}
    asked, heard = len(service.asked), Heard()
    service.asked.clear()
    run = Distiller(batched, teacher=teacher, hooks=[heard]).fit(*ROWS).run_
    assert students(run.path) == students(whole.path)
    assert len(service.batches) == 2  # one a round
    assert len(service.asked) + len(service.submitted) == asked
    costs = {call.purpose: call.cost for call in calls_of(run)}
    assert costs["glossary"] == Decimal(12 + 2 * 3) / 1_000_000
    assert costs["write"] == costs["glossary"] / 2
    assert heard.progress[-1] == BatchProgress(0, 0)
    assert max(progress.requests for progress in heard.progress) >= 2


def test_a_teacher_without_batches_is_refused_before_anything_is_trained(config: Config) -> None:
    with pytest.raises(ConfigError, match="'fake' takes no batches"):
        Distiller(with_teacher(config, batch=True), teacher=FakeTeacher()).fit(*ROWS)


def test_ctrl_c_while_waiting_keeps_the_student_and_the_batch(
    config: Config, service: OpenAIService, teacher: OpenAITeacher
) -> None:
    batched = with_teacher(config, batch=True)

    class Impatient(Hooks):
        def on_batch(self, progress: BatchProgress) -> None:
            if progress.requests:
                raise KeyboardInterrupt

    cut = Distiller(batched, teacher=teacher, hooks=[Impatient()]).fit(*ROWS)
    assert cut.outcome_.stopped_by == "interrupted"
    assert cut.run_.student("best").predict(["invoice payment"])
    done = Distiller(batched, teacher=teacher).fit(*ROWS)
    assert done.outcome_.stopped_by == "rounds"
    assert set(Counter(service.submitted).values()) == {1}


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("POST /v1/files", marks=pytest.mark.slow),
        "POST /v1/batches",
        pytest.param("GET /v1/batches/", marks=pytest.mark.slow),
    ],
)
def test_kill_minus_nine_hands_nothing_in_twice(
    tmp_path: Path, rows_file: Path, service: OpenAIService, moment: str
) -> None:
    """Before a batch is there, before its id is heard, and while it is waited for."""
    out = tmp_path / "run"
    alive: list[subprocess.Popen[bytes]] = []
    killed = threading.Event()

    def kill(call: str) -> None:
        if call.startswith(moment) and not killed.is_set():
            os.kill(alive[0].pid, signal.SIGKILL)
            alive[0].wait()
            killed.set()

    service.heard, service.looks = kill, 0
    with service.running() as url:
        program = [*command(rows_file, out, url), "--batch", "--rounds", "1"]
        alive.append(
            subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )
        assert killed.wait(60)
        left = Counter(call.state for call in calls_of(RunFolder(out)))
        assert left == {"replied": 1, "in flight": left["in flight"]}  # the description
        done = subprocess.run(program, check=True, capture_output=True)
    assert json.loads(done.stdout)["stopped_by"] == "rounds"
    assert b"out in a batch" in done.stderr
    assert len(service.batches) == 1
    assert set(Counter(service.submitted).values()) == {1}
    assert len(service.asked) == 1
    assert {call.state for call in calls_of(RunFolder(out))} == {"replied"}
