"""A run that is cut off goes on, pays nothing twice, and ends as if nothing had happened."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.errors import RunError, TeacherUnavailableError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.teachers.base import Message, Reply, Request, Sampling, Teacher
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.config import Config
    from pgkd.runs.resume import Resumed

ROWS = make_rows(10)


class Heard(Hooks):
    resumed: Resumed | None = None

    def on_resumed(self, resumed: Resumed) -> None:
        self.resumed = resumed


class CutOff(Teacher):
    """Gives up after so many replies."""

    def __init__(self, after: int) -> None:
        self.fake = FakeTeacher()
        self.after = after

    def complete(self, request: Request) -> Reply:
        if len(self.fake.requests) == self.after:
            raise SystemExit("cut off")
        return self.fake.complete(request)


def students(run: Path) -> dict[str, str]:
    """Digests of the weights of every student of a run."""
    return {
        str(path.relative_to(run)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((run / "students").rglob("*.safetensors"))
    }


@pytest.mark.parametrize("after", [0, 1, 2, 4])
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    config: Config, tmp_path: Path, after: int
) -> None:
    whole = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "whole").fit(*ROWS).run_
    cut, heard, fake = CutOff(after), Heard(), FakeTeacher()
    with pytest.raises(SystemExit):
        Distiller(config, teacher=cut).fit(*ROWS)
    run = Distiller(config, teacher=fake, hooks=[heard]).fit(*ROWS).run_
    assert heard.resumed is not None
    assert heard.resumed.replies == after
    assert [call.id for call in heard.resumed.lost] == [calls_of(whole)[after].id]
    assert len(fake.requests) == len(calls_of(whole)) - after
    assert students(run.path) == students(whole.path)
    for name in ("examples.jsonl", "rejected.jsonl", "result.json"):
        assert (run.path / name).read_text() == (whole.path / name).read_text()


def test_a_teacher_that_was_down_is_asked_again(config: Config, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"samples": 20, "rounds": 1}
    teacher, out = FakeTeacher(), tmp_path / "whole"
    whole = Distiller(config, teacher=teacher, out=out, **asked).fit(*ROWS).run_
    fake = FakeTeacher()

    def answer(request: Request) -> Reply | Exception:
        return fake.complete(request) if len(fake.requests) < 2 else TeacherUnavailableError("down")

    failed = Distiller(config, teacher=FakeTeacher(answer), **asked).fit(*ROWS)
    assert failed.outcome_.stopped_by == "teacher failed"
    assert "3 requests in a row have failed" in failed.outcome_.detail
    assert "run the same command again" in failed.outcome_.detail
    run = Distiller(config, teacher=fake, **asked).fit(*ROWS).run_
    assert len(fake.requests) == len(teacher.requests)
    assert students(run.path) == students(whole.path)


def test_other_settings_or_rows_are_refused_with_the_difference(config: Config) -> None:
    Distiller(config, teacher=FakeTeacher()).fit(*ROWS)
    with pytest.raises(RunError, match=r"curation.repairs: 1 then, 0 now"):
        Distiller(config, teacher=FakeTeacher(), curation={"repairs": 0}).fit(*ROWS)
    with pytest.raises(RunError, match=r"train: 32 then, 35 now, and not the same"):
        Distiller(config, teacher=FakeTeacher()).fit(*make_rows(11))
    kept = RunFolder.open(Path(str(config.out)))
    assert kept.read_json("result.json")["rounds"]  # a refusal changes nothing


def test_a_run_of_another_device_is_refused(config: Config) -> None:
    """`auto` finds a GPU on one machine and none on the next, and students that round otherwise."""
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    environment = run.read_json("environment.json")
    assert "device" not in environment  # a linear student has no choice of one
    run.write_json("environment.json", {**environment, "device": "cuda:0", "precision": "bf16"})
    with pytest.raises(RunError, match=r"(?s)device: 'cuda' then, 'cpu' now.*precision: 'bf16'"):
        Distiller(config, teacher=FakeTeacher()).fit(*ROWS)


def test_a_run_is_resumed_that_knew_fewer_settings(config: Config) -> None:
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    before = students(run.path)
    path = run.path / "config.yaml"
    settings = path.read_text(encoding="utf-8")
    for line in ("  device: auto\n", "  precision: auto\n"):
        assert line in settings
        settings = settings.replace(line, "")
    path.write_text(settings, encoding="utf-8")
    fake = FakeTeacher()
    Distiller(config, teacher=fake).fit(*ROWS)
    assert not fake.requests
    assert students(run.path) == before
    with pytest.raises(RunError, match=r"student.precision: 'auto' then, 'fp32' now"):
        Distiller(config, teacher=fake, student={"kind": "linear", "precision": "fp32"}).fit(*ROWS)


def test_a_budget_ends_the_run_with_what_it_bought(config: Config, tmp_path: Path) -> None:
    whole = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "whole").fit(*ROWS).run_
    n = len(calls_of(whole))
    fake = FakeTeacher()
    spent = Distiller(config, teacher=fake, budget={"calls": n - 1}).fit(*ROWS)
    assert spent.outcome_.stopped_by == "budget"
    assert f"the budget of {n - 1} calls is used up" in spent.outcome_.detail
    assert len(fake.requests) == n - 1
    assert spent.outcome_.rounds[-1].number == 2  # the round that it broke trained all the same
    assert 0 < spent.outcome_.rounds[-1].accepted < 6
    run = Distiller(config, teacher=fake, budget={"calls": n}).fit(*ROWS).run_
    assert len(fake.requests) == n
    assert students(run.path) == students(whole.path)


def test_a_run_that_another_process_runs_is_refused(config: Config) -> None:
    run = RunFolder.create(Path(str(config.out)))
    with run.locked(), pytest.raises(RunError, match="Another process is running"):
        Distiller(config, teacher=FakeTeacher()).fit(*ROWS)


class CountingServer:
    """Speaks OpenAI's wire format, takes its time, and counts what it has answered."""

    def __init__(self, delay: float) -> None:
        self.asked: list[str] = []  # in the order received
        self.answered: Counter[str] = Counter()  # sent whole: the client may have it
        self._delay = delay

    @contextmanager
    def running(self) -> Iterator[str]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["content-length"]))
                asked = hashlib.sha256(raw).hexdigest()
                outer.asked.append(asked)
                time.sleep(outer._delay)
                data = json.dumps(outer.completion(json.loads(raw))).encode()
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                try:
                    self.wfile.write(data)
                    self.wfile.flush()
                except OSError:  # the client is dead
                    return
                outer.answered[asked] += 1

            def log_message(self, format: str, *args: Any) -> None:
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=httpd.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        finally:
            httpd.shutdown()
            httpd.server_close()

    def completion(self, body: dict[str, Any]) -> dict[str, Any]:
        messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
        schema = body["response_format"]["json_schema"]["schema"]
        text = FakeTeacher().complete(Request(messages, schema, Sampling(seed=body["seed"]))).text
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        return {
            "id": "c", "object": "chat.completion", "created": 1, "model": "served",
            "choices": [choice],
            "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
        }  # fmt: skip


def command(rows: Path, out: Path, url: str) -> list[str]:
    program = [sys.executable, "-c", "from pgkd.apps.cli import main; main()", "distill"]
    options = ["--teacher", "openai", "--student", "linear", "--rounds", "3", "--samples", "8"]
    options += [
        "--exam",
        "0",
        "--patience",
        "5",
        "--cache",
        "off",
    ]  # the server counts what a run asks
    return [
        *program,
        *options,
        "--train",
        str(rows),
        "--base-url",
        url,
        "--out",
        str(out),
        "--json",
    ]


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    lines = [f'"{text}",{label}' for text, label in zip(*ROWS, strict=True)]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("kills", [1, pytest.param(30, marks=pytest.mark.slow)])
def test_kill_minus_nine_at_any_moment(tmp_path: Path, rows_file: Path, kills: int) -> None:
    """No reply that had arrived is asked for again, none is lost, and the student is the same."""
    rng = random.Random(kills)
    server = CountingServer(delay=0.1)
    with server.running() as url:
        subprocess.run(command(rows_file, tmp_path / "whole", url), check=True, capture_output=True)
        whole, calls = students(tmp_path / "whole"), len(server.asked)
        for kill in range(kills):
            server.asked.clear()
            server.answered.clear()
            out = tmp_path / f"run{kill}"
            process = subprocess.Popen(
                command(rows_file, out, url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            _await_calls(server, rng.randint(1, calls), process)
            time.sleep(rng.uniform(0, 0.12))  # before, while or after the answer is on its way
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            arrived = {c.id for c in calls_of(RunFolder(out)) if c.state == "replied"}
            open_calls = {c.id for c in calls_of(RunFolder(out)) if c.state == "in flight"}
            done = subprocess.run(command(rows_file, out, url), check=True, capture_output=True)
            assert json.loads(done.stdout)["stopped_by"] == "rounds"
            assert students(out) == whole
            final = calls_of(RunFolder(out))
            assert {c.id for c in final if c.state == "lost"} == open_calls
            replied = Counter(c.id for c in final if c.state == "replied")
            assert set(replied.values()) == {1}  # none twice
            assert arrived <= replied.keys()  # none lost
            assert calls <= len(server.asked) <= calls + len(open_calls)  # what was in flight


def _await_calls(server: CountingServer, n: int, process: subprocess.Popen[bytes]) -> None:
    while len(server.asked) < n and process.poll() is None:
        time.sleep(0.005)
