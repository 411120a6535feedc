"""The cascade: the teacher answers what the student is unsure of, and is not waited for in vain."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import pgkd
from pgkd.apps.server.cascade import (
    Cascade,
    ProxyClient,
    TeacherAnswer,
    TeacherProxy,
    make_cascade,
    metered,
)
from pgkd.apps.server.process import serve
from pgkd.config import Config
from pgkd.errors import ConfigError, TeacherUnavailableError
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage import metered_teacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.retry import Breaker
from tests.apps.server.conftest import serving
from tests.apps.server.test_batching import run
from tests.apps.server.test_process import children
from tests.conftest import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAMES = ("billing", "delivery", "account", "product")
TEXTS = [f"text number {i}" for i in range(40)]


class Oracle(FakeTeacher):
    """Answers "billing", from several threads, each call behind a gate."""

    concurrency = 4

    def __init__(self, label: str | None = "billing") -> None:
        super().__init__(self._billing)
        self.gate = threading.Event()
        self.gate.set()
        self.label = label
        self.down = False

    def _billing(self, request: Request) -> Reply:
        assert self.gate.wait(10)
        if self.down:
            raise TeacherUnavailableError("the line is cut")
        return Reply(json.dumps({"label": self.label}), "fake", 10, 5)


def cascade(tmp_path: Path, **how: Any) -> Cascade:
    budget = how.pop("budget", {})
    config = Config.parse({"teacher": {"provider": "fake", "retries": 0}, "budget": budget})
    taxonomy = Taxonomy.from_names(NAMES)
    return Cascade(0.9, config, tmp_path / "calls.sqlite", taxonomy, **how)


@contextmanager
def proxy_of(
    made: Cascade, teacher: FakeTeacher, breaker: Breaker | None = None
) -> Iterator[tuple[TeacherProxy, Path]]:
    """A proxy of a metered teacher, and the place of its socket."""
    with Ledger(made.ledger) as ledger:
        yield (
            TeacherProxy(metered_teacher(made.config, teacher, ledger, breaker=breaker), made),
            made.ledger.with_name("socket"),
        )


def with_proxy(
    made: Cascade,
    teacher: FakeTeacher,
    main: Callable[[list[ProxyClient]], Any],
    breaker: Breaker | None = None,
) -> None:
    """Run a coroutine with the clients of two workers, while a proxy serves them."""
    with proxy_of(made, teacher, breaker) as (proxy, socket):
        socket.unlink(missing_ok=True)  # of an earlier proxy

        async def whole() -> None:
            serving = asyncio.create_task(proxy.serve(socket))
            while not socket.exists():
                await asyncio.sleep(0.001)
            await main([ProxyClient(socket, made), ProxyClient(socket, made)])
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

        run(whole)


def calls_in(made: Cascade) -> list[str]:
    with Ledger(made.ledger) as ledger:
        return [call.state for call in ledger.calls()]


def test_the_teacher_answers_and_the_call_is_in_the_ledger(tmp_path: Path) -> None:
    made = cascade(tmp_path)

    async def main(workers: list[ProxyClient]) -> None:
        first, second = workers
        assert await first.ask("an invoice\nof two lines ☃") == (
            "answered", TeacherAnswer("billing", None),
        )  # fmt: skip
        assert (await second.ask("an invoice\nof two lines ☃"))[0] == "answered"  # not paid again

    with_proxy(made, Oracle(), main)
    assert calls_in(made) == ["replied"]


def test_one_budget_holds_over_all_workers(tmp_path: Path) -> None:
    made = cascade(tmp_path, budget={"calls": 5}, at_once=40)

    async def main(workers: list[ProxyClient]) -> None:
        asked = [workers[i % 2].ask(text) for i, text in enumerate(TEXTS)]
        outcomes = [outcome for outcome, _ in await asyncio.gather(*asked)]
        assert sorted(outcomes) == ["answered"] * 5 + ["refused"] * 35

    with_proxy(made, Oracle(), main)
    assert calls_in(made) == ["replied"] * 5

    async def later(workers: list[ProxyClient]) -> None:
        assert await workers[0].ask("another text") == ("refused", None)

    with_proxy(made, Oracle(), later)  # a server that starts again has the same budget
    assert len(calls_in(made)) == 5


def test_a_slow_teacher_is_not_waited_for(tmp_path: Path) -> None:
    made = cascade(tmp_path, seconds=3, at_once=2)
    teacher = Oracle()
    teacher.gate.clear()

    async def main(workers: list[ProxyClient]) -> None:
        waiting = [asyncio.create_task(workers[0].ask(text)) for text in TEXTS[:2]]
        await asyncio.sleep(0)
        assert await workers[0].ask("a third") == ("busy", None)  # at once
        assert not any(one.done() for one in waiting)
        assert [await one for one in waiting] == [("slow", None)] * 2
        teacher.gate.set()
        assert (await workers[0].ask("a third"))[0] == "answered"

    with_proxy(made, teacher, main)


def test_what_nobody_waits_for_any_more_is_not_asked(tmp_path: Path) -> None:
    made = cascade(tmp_path, seconds=3, at_once=40)
    teacher = Oracle()
    teacher.gate.clear()

    async def main(workers: list[ProxyClient]) -> None:
        asked = [workers[0].ask(text) for text in TEXTS]
        assert {outcome for outcome, _ in await asyncio.gather(*asked)} == {"slow"}
        teacher.gate.set()
        assert (await workers[0].ask("a later text"))[0] == "answered"

    with_proxy(made, teacher, main)
    assert len(calls_in(made)) == Oracle.concurrency + 1  # those in flight, and the later one


@pytest.mark.parametrize("label", ["no such class", None])
def test_an_answer_off_the_list_is_none(tmp_path: Path, label: str | None) -> None:
    async def main(workers: list[ProxyClient]) -> None:
        assert await workers[0].ask("a text") == ("refused", None)

    with_proxy(cascade(tmp_path), Oracle(label), main)


def test_a_teacher_that_was_down_is_tried_again(tmp_path: Path) -> None:
    now = [0.0]
    teacher = Oracle()
    teacher.down = True

    async def main(workers: list[ProxyClient]) -> None:
        for text in TEXTS[:6]:
            assert await workers[0].ask(text) == ("refused", None)
        assert len(teacher.requests) == 3  # the breaker is open
        teacher.down = False
        now[0] = 31.0
        assert (await workers[0].ask("later"))[0] == "answered"
        assert (await workers[0].ask("and later"))[0] == "answered"

    breaker = Breaker(cooldown=30, clock=lambda: now[0])
    with_proxy(cascade(tmp_path), teacher, main, breaker)


def test_without_a_proxy_the_student_answers_alone(tmp_path: Path) -> None:
    async def main() -> None:
        client = ProxyClient(tmp_path / "nowhere", cascade(tmp_path))
        assert await client.ask("a text") == ("unreachable", None)

        async def hang_up(reader: Any, writer: asyncio.StreamWriter) -> None:
            writer.close()

        server = await asyncio.start_unix_server(hang_up, tmp_path / "nowhere")
        assert await client.ask("a text") == ("unreachable", None)
        server.close()

    run(main)


def test_calls_that_are_billed_need_a_budget(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeTeacher, "biller", "openai")
    with pytest.raises(ConfigError, match="give --budget-usd"), metered(cascade(tmp_path)):
        pass
    with metered(cascade(tmp_path, budget={"calls": 1})):
        pass


def test_two_servers_do_not_share_a_ledger(tmp_path: Path) -> None:
    made = cascade(tmp_path)
    with (
        metered(made),
        pytest.raises(ConfigError, match="Another server uses the ledger"),
        metered(made),
    ):
        pass
    with metered(made):  # when the first has ended
        pass


def test_a_cascade_knows_its_place_and_its_classes(run_folder: Path, export_folder: Path) -> None:
    config = Config.parse({"teacher": {"provider": "fake"}})
    made = make_cascade(run_folder, 0.5, config)
    assert made.ledger == run_folder / "cascade.sqlite"
    made.check_classes(NAMES)
    with pytest.raises(ConfigError, match="only one of them has 'more'"):
        made.check_classes((*NAMES, "more"))
    with pytest.raises(ConfigError, match="--ledger"):
        make_cascade(export_folder, 0.5, config)
    own = make_cascade(export_folder, 0.5, config, ledger=export_folder.parent / "own.sqlite")
    own.check_classes(NAMES)
    for below in (0.0, 1.5):
        with pytest.raises(ConfigError, match="threshold"):
            make_cascade(run_folder, below, config)


def test_no_text_waits_longer_than_a_server_that_is_stopped(run_folder: Path) -> None:
    made = make_cascade(run_folder, 0.5, Config.parse({}), seconds=30.0)
    with pytest.raises(ConfigError, match="less time than the server takes to stop"):
        serve(run_folder, port=0, cascade=made)


def test_workers_of_a_server_share_the_budget_of_its_cascade(
    run_folder: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "calls.sqlite"
    options = ("--workers", "2", "--cascade-below", "1", "--abstain-below", "1",
               "--budget-calls", "6", "--ledger", str(ledger))  # fmt: skip
    with serving(run_folder, *options) as server:
        assert server.get("/model")[1]["cascade_below"] == 1
        until(lambda: by_teacher(server.predict({"text": "the first"})[1]) == 1)
        answers = [server.predict({"texts": [text, f"{text}, again"]}) for text in TEXTS[:10]]
        assert {status for status, _ in answers} == {200}
        assert sum(by_teacher(answer) for _, answer in answers) == 5
        for _, answer in answers:
            for one in answer["predictions"]:
                student = one["by"] == "student"
                assert one["abstain"] == (student and one["probability"] < 1)
                assert one["label"] in NAMES
                assert (one["probability"] is None) != student
                assert not student or one["label"] == one["top"][0]["label"]
        metrics = server.request("GET", "/metrics")[2].decode()
        assert 'pgkd_cascade_total{outcome="answered"} 6.0' in metrics
        asked = [one for _, answer in answers for one in answer["predictions"]
                 if one["top"][0]["probability"] < 1]  # fmt: skip
        assert len(asked) > 5
        assert f'pgkd_cascade_total{{outcome="refused"}} {len(asked) - 5}.0' in metrics
        assert len(children(server.process.pid)) == 3
        assert server.stop() == 0
        assert "the budget of 6 calls is used up" in "".join(server.log)
    with Ledger(ledger) as usage:
        assert [call.state for call in usage.calls()] == ["replied"] * 6


def by_teacher(answer: Any) -> int:
    return sum(one["by"] == "teacher" for one in answer["predictions"])


def test_a_proxy_that_cannot_start_ends_the_server(run_folder: Path, tmp_path: Path) -> None:
    import subprocess
    import sys

    from tests.apps.server.conftest import START

    ledger = tmp_path / "calls.sqlite"
    ledger.write_bytes(b"no ledger" * 100)
    done = subprocess.run(
        [sys.executable, "-c", START, "serve", str(run_folder), "--port", "0", "--workers", "1",
         "--cascade-below", ".5", "--ledger", str(ledger)],
        capture_output=True, text=True, check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cannot be opened as a record of calls" in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_that_are_unsure_are_flagged(run_folder: Path) -> None:
    texts = ["an invoice and a charge", "zzz qqq", "a login and a parcel, or a battery"]
    sure = sorted(pgkd.load(run_folder / "export" / "onnx-int8").predict_proba(texts).max(axis=1))
    middle = float(sure[0] + sure[-1]) / 2
    with serving(run_folder, "--workers", "1", "--abstain-below", f"{middle}") as server:
        assert server.get("/model")[1]["abstain_below"] == middle
        found = server.predict({"texts": texts})[1]["predictions"]
        assert [one["abstain"] for one in found] == [one["probability"] < middle for one in found]
        assert {one["abstain"] for one in found} == {True, False}
        assert {one["by"] for one in found} == {"student"}
