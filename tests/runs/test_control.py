"""A run pauses, goes on and stops when the file in its folder says so."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.events import Hooks
from pgkd.runs.control import Control, clear_signal, read_signal, send_signal
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from tests.behaviour.test_resume import students
from tests.conftest import make_rows, until

if TYPE_CHECKING:
    from pgkd.config import Config

ROWS = make_rows(10)


class Wishing(Teacher):
    """Sends a signal before its n-th answer."""

    def __init__(self, run: Path, wanted: Any, before: int, *, concurrency: int = 1) -> None:
        self.fake, self.run, self.wanted, self.before = FakeTeacher(), run, wanted, before
        self.concurrency = concurrency

    def complete(self, request: Request) -> Reply:
        if len(self.fake.requests) == self.before:
            send_signal(RunFolder(self.run), self.wanted, "ann")
        return self.fake.complete(request)


class Training(Hooks):
    """Sends a signal when the training of a round begins."""

    def __init__(self, run: Path, wanted: Any, number: int) -> None:
        self.run, self.wanted, self.number = run, wanted, number

    def on_training(self, number: int) -> None:
        if number == self.number:
            send_signal(RunFolder(self.run), self.wanted, "ann")


def out_of(config: Config) -> Path:
    return Path(str(config.out))


def events(run: Path) -> list[str]:
    return [line["event"] for line in RunFolder(run).read_lines("journal.jsonl")]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_stop_keeps_the_best_student_and_the_run_can_be_resumed(
    config: Config, tmp_path: Path, concurrency: int
) -> None:
    asked: dict[str, Any] = {"rounds": 3, "samples": 12}
    whole = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "whole", **asked).fit(*ROWS)
    teacher = Wishing(out_of(config), "stop", before=5, concurrency=concurrency)
    stopped = Distiller(config, teacher=teacher, **asked).fit(*ROWS)
    assert stopped.outcome_.stopped_by == "interrupted"
    assert stopped.outcome_.detail == "ann stopped it"
    assert len(teacher.fake.requests) <= 5 + concurrency
    assert stopped.run_.has_student("best")
    again = Distiller(config, teacher=FakeTeacher(), **asked).fit(*ROWS)  # a start wants it to go
    assert again.outcome_.stopped_by == "rounds"
    assert students(again.run_.path) == students(whole.run_.path)


def test_a_stop_before_the_first_student_waits_for_it(config: Config) -> None:
    run = Distiller(
        config, teacher=FakeTeacher(), hooks=[Training(out_of(config), "stop", 0)]
    ).fit(*ROWS)  # fmt: skip
    assert [finished.number for finished in run.outcome_.rounds] == [0]
    assert run.outcome_.stopped_by == "interrupted"


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_pause_waits_and_goes_on(config: Config, tmp_path: Path, concurrency: int) -> None:
    out = out_of(config)
    teacher = Wishing(out, "pause", before=2, concurrency=concurrency)
    distiller = Distiller(config, teacher=teacher, samples=16)
    thread = threading.Thread(target=lambda: distiller.fit(*ROWS))
    thread.start()
    until(lambda: "run paused" in (events(out) if out.exists() else []))
    asked = len(teacher.fake.requests)
    time.sleep(0.8)
    assert len(teacher.fake.requests) <= asked + concurrency  # those that were in flight
    assert RunFolder(out).is_running()
    waiting = len(teacher.fake.requests)
    time.sleep(0.5)
    assert len(teacher.fake.requests) == waiting
    send_signal(RunFolder(out), "go", "bob")
    thread.join(60)
    assert not thread.is_alive()
    assert distiller.outcome_.stopped_by == "rounds"
    assert events(out).count("run paused") == events(out).count("run continued") == 1
    assert not RunFolder(out).is_running()


def test_threads_that_wait_are_let_go_when_the_round_is_left(tmp_path: Path) -> None:
    """Else Ctrl-C in a paused run would wait for ever."""
    run = RunFolder.create(tmp_path / "run")
    send_signal(run, "pause", "ann")
    control, ended = Control(run), []

    def call() -> None:
        with pytest.raises(KeyboardInterrupt):
            control.on_call("r1-0001")
        ended.append(True)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: "run paused" in events(run.path))
    control.on_calls_end()
    thread.join(10)
    assert ended == [True]


@pytest.mark.parametrize(
    "content", ["", "[]", '{"signal": "explode", "by": "x"}', '{"signal": "stop"}']
)
def test_what_is_no_signal_changes_nothing(tmp_path: Path, content: str) -> None:
    run = RunFolder.create(tmp_path / "run")
    (run.path / "control.json").write_text(content)
    assert read_signal(run) == ("go", "")
    clear_signal(run)
    assert not (run.path / "control.json").exists()


def test_to_look_at_the_lock_does_not_refuse_who_starts(tmp_path: Path) -> None:
    run, stop = RunFolder.create(tmp_path / "run"), threading.Event()
    with run.locked():
        pass

    def look() -> None:
        while not stop.is_set():
            RunFolder(run.path).is_running()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(30):
            with run.locked():
                pass
    finally:
        stop.set()
        thread.join()
