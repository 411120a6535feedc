"""What trackers get of a run, and that none of them can end it."""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.errors import ConfigError, MissingExtraError
from pgkd.events import Hooks
from pgkd.integrations.tracking import (
    Ending,
    TrackedRun,
    Tracker,
    make_tracker,
    redact,
    trackers,
)
from pgkd.integrations.tracking.hook import Tracking, Worker
from pgkd.runs.folder import RunFolder
from tests.conftest import calls_of
from tests.integrations.tracking.conftest import KEY, ROWS, Writing, assert_keeps_secrets, distil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pgkd.config import Config
    from pgkd.teachers.base import Teacher


class RecordingTracker(Tracker):
    """Records its calls; fails in one of them if wanted."""

    name = "notes"

    def __init__(self, fails_in: str = "", error: BaseException | None = None) -> None:
        self.fails_in = fails_in
        self.error = error or OSError(f"no route to https://ann:{KEY}@notes.example, key {KEY}")
        self.steps: list[tuple[Any, ...]] = []
        self.ids = iter(["first", "second"])

    def note(self, what: str, *details: Any) -> None:
        self.steps.append((what, *details))
        if what == self.fails_in:
            raise self.error

    def begin(self, run: TrackedRun) -> str:
        self.note("begin", run)
        return run.id or next(self.ids)

    def begin_round(self, number: int) -> None:
        self.note("begin_round", number)

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        self.note("log", number, dict(figures))

    def end(self, ending: Ending) -> None:
        self.note("end", ending)

    def close(self, *, failed: bool) -> None:
        self.note("close", failed)

    def rounds(self) -> list[int]:
        return [step[1] for step in self.steps if step[0] == "log"]


class FailureHook(Hooks):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def on_untracked(self, tracker: str, why: str) -> None:
        self.seen.append((tracker, why))


def test_a_tracker_gets_what_the_run_folder_contains(private: Config) -> None:
    notes = RecordingTracker()
    run = distil(private, track=[notes]).run_
    steps = [step[0] for step in notes.steps]
    a_round = ["begin_round", "log"]
    assert steps == ["begin", *a_round, *a_round, *a_round, "end", "close"]
    result, calls = run.read_json("result.json"), calls_of(run)
    logged = [step[2] for step in notes.steps if step[0] == "log"]
    for figures, record in zip(logged, result["rounds"], strict=True):
        for name in ("accuracy", "macro_f1", "log_loss"):
            there = figures[f"validation/{name}"]
            assert there == pytest.approx(record["validation"][name], abs=1e-6)
        for name in ("asked", "accepted", "synthetic"):
            assert figures[f"texts/{name}"] == record[name]
    assert logged[-1]["teacher/calls"] == len(calls)
    tokens = sum(call.reply.input_tokens or 0 for call in calls if call.reply)
    assert logged[0]["teacher/input_tokens"] < logged[-1]["teacher/input_tokens"] == tokens
    assert logged[-1]["teacher/usd"] == 0
    ending: Ending = notes.steps[-2][1]
    assert (ending.best, ending.stopped_by) == (result["best"], "rounds")
    assert ending.figures == logged[result["best"]]
    assert list(ending.rounds) == result["rounds"]
    assert notes.steps[-1] == ("close", False)


def test_no_tracker_gets_a_text_or_a_key(private: Config) -> None:
    notes = RecordingTracker()
    run = distil(private, track=[notes]).run_
    assert KEY in (run.path / "config.yaml").read_text()  # so there is something to tell
    settings = notes.steps[0][1].settings
    assert settings["teacher.base_url"] == "proxy.example"
    assert settings["guidance.instructions"].endswith("characters")
    assert (settings["rounds"], settings["student.kind"]) == (2, "linear")
    assert_keeps_secrets(repr(notes.steps).encode(), run)


@pytest.mark.parametrize("after", [0, 3])
def test_a_resumed_run_tells_what_is_new(private: Config, after: int) -> None:
    first, second = RecordingTracker(), RecordingTracker()
    with pytest.raises(SystemExit):
        distil(private, Writing(after), track=[first])
    assert first.steps[-1] == ("close", True)
    distil(private, track=[second])
    assert second.steps[0][1].id == "first"
    assert first.rounds() + second.rounds() == [0, 1, 2]
    assert second.steps[-2][0] == "end"


def test_a_tool_that_lost_the_run_gets_all_rounds_again(private: Config) -> None:
    class Forgetful(RecordingTracker):
        def begin(self, run: TrackedRun) -> str:
            super().begin(run)
            return "another"

    distil(private, track=[RecordingTracker()])
    again = Forgetful()
    run = distil(private, track=[again]).run_
    assert again.rounds() == [0, 1, 2]
    assert run.read_json("tracking.json") == {"notes": {"id": "another", "rounds": 3}}


@pytest.mark.parametrize(
    ("fails_in", "error"),
    [
        ("begin", None),
        ("begin_round", None),
        ("log", SystemExit(3)),
        ("end", None),
        ("close", None),
    ],
)
def test_a_tracker_that_fails_ends_nothing(
    private: Config, fails_in: str, error: BaseException | None
) -> None:
    other, broken, failures = RecordingTracker(), RecordingTracker(fails_in, error), FailureHook()
    other.name = "other"
    done = distil(private, track=[broken, other], hooks=[failures])
    assert done.outcome_.stopped_by == "rounds"
    assert done.student_.predict(["invoice payment"])
    assert [step[0] for step in other.steps][-2:] == ["end", "close"]
    assert [step[0] for step in broken.steps][-1] == fails_in  # and nothing after it
    assert [name for name, _ in failures.seen] == ["notes"]
    journal = list(done.run_.events("tracking failed"))
    assert [line["tracker"] for line in journal] == ["notes"]
    assert KEY not in (done.run_.path / "journal.jsonl").read_text()
    if fails_in in ("log", "end"):  # the same command tells what was missed
        later = RecordingTracker()
        distil(private, track=[later])
        assert later.rounds() == ([0, 1, 2] if fails_in == "log" else [])
        assert later.steps[-2][0] == "end"


def test_a_failure_is_logged_where_nobody_shows_it(
    private: Config, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "pgkd"):
        distil(private, track=[RecordingTracker("log")], hooks=[Hooks()])
    [record] = caplog.records
    assert "notes no longer tracks this run" in record.getMessage()
    assert KEY not in record.getMessage()


def test_a_tracker_that_does_not_answer_is_left(private: Config) -> None:
    stuck, failures = threading.Event(), FailureHook()

    class Stuck(RecordingTracker):
        def begin(self, run: TrackedRun) -> str:
            stuck.wait()
            return "late"

    run = distil(private).run_
    with Tracking([Stuck()], run, private, timeout=0.05).heard_by(failures, [failures]):
        pass
    stuck.set()
    [(name, why)] = failures.seen
    assert (name, why) == ("notes", "it could not begin (no answer within 0.05 seconds)")


def test_ctrl_c_is_logged_as_an_interruption(private: Config) -> None:
    class Interrupted(Writing):
        def complete(self, request: Any) -> Any:
            if len(self.requests) == 3:
                raise KeyboardInterrupt
            return super().complete(request)

    notes = RecordingTracker()
    distil(private, Interrupted(), track=[notes])
    assert notes.steps[-2][1].stopped_by == "interrupted"
    assert notes.steps[-1] == ("close", False)


def test_damage_to_what_trackers_know_costs_a_telling_and_no_run(private: Config) -> None:
    run = distil(private, track=[RecordingTracker()]).run_
    run.write_text("tracking.json", "{")
    again = RecordingTracker()
    distil(private, track=[again])
    assert again.steps[0][1].id is None
    assert again.rounds() == [0, 1, 2]


def test_whom_to_tell_is_no_part_of_what_a_run_is(private: Config) -> None:
    run = distil(private).run_
    before = (run.path / "result.json").read_text()
    again = Distiller(private.model_copy(update={"track": ("tensorboard",)}), teacher=Writing())
    pytest.importorskip("tensorboardX")
    assert again.fit(*ROWS).run_.read_json("tracking.json").keys() == {"tensorboard"}
    assert (run.path / "result.json").read_text() == before


def test_names_of_the_config_and_of_the_call_come_together(config: Config) -> None:
    tracked = config.model_copy(update={"track": ("mlflow",)})
    distiller = Distiller(tracked, track=["otel", "mlflow", RecordingTracker()])
    assert distiller.config.track == ("mlflow", "otel")


def test_an_unknown_tracker_is_refused_before_anything_is_there(config: Config) -> None:
    with pytest.raises(ConfigError, match="Unknown tracker .*mlflow, otel, tensorboard, wandb"):
        distil(config, track=["paper"])
    assert config.out is not None
    assert not config.out.exists()


@pytest.mark.parametrize("name", trackers())
def test_a_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(module: str) -> Any:
        raise ModuleNotFoundError(f"No module named '{module}'", name=module.partition(".")[0])

    monkeypatch.setattr("pgkd.extras.import_module", absent)
    with pytest.raises(MissingExtraError, match=rf"pip install 'pgkd\[{name}\]'"):
        make_tracker(name)


def test_no_tracker_wants_to_watch_the_teacher_unasked(config: Config) -> None:
    class Watch(RecordingTracker):
        def traced(self, teacher: Teacher) -> Teacher:
            self.note("traced", teacher.model)
            return super().traced(teacher)

    watch = Watch()
    teacher = Writing()
    run = distil(config, teacher, track=[watch]).run_
    assert [step[0] for step in watch.steps][:2] == ["begin", "traced"]
    assert len(teacher.requests) == len(calls_of(run))


def test_a_worker_hands_back_what_is_raised() -> None:
    worker = Worker(RecordingTracker(), timeout=5)
    assert worker.do(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        worker.do(lambda: 1 // 0)
    assert worker.do(lambda: threading.current_thread().name) == "pgkd-notes"
    worker.stop()


def test_messages_lose_what_is_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=abcdefgh")
    message = f"401 for http://ann:pw@host/x with {KEY} and authorization=abcdefgh"
    clean = redact(message)
    assert clean.startswith("401 for http://[user]@host/x with [")
    assert KEY not in clean
    assert "abcdefgh" not in clean


def test_the_state_of_trackers_is_readable(private: Config) -> None:
    run = distil(private, track=[RecordingTracker()]).run_
    assert json.loads((run.path / "tracking.json").read_text()) == {
        "notes": {"id": "first", "rounds": 3}
    }
    assert RunFolder.open(run.path).synthetic()
