"""Servers under trouble: too much, too slow, too many at once, told to stop, killed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import MagicMock

import pytest
import uvicorn
from uvicorn.server import ServerState

from pgkd.apps.server.app import make_app
from pgkd.apps.server.http import Connection
from pgkd.apps.server.process import Limits, bind, serve
from pgkd.errors import ConfigError, ExportError, MissingExtraError
from tests.apps.server.conftest import START, Server, serving
from tests.behaviour.test_light import python
from tests.conftest import make_rows, until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

TRAINERS = ("torch", "transformers", "sklearn", "scipy", "pandas")
LIMITED = """
import sys
from pathlib import Path
from pgkd.apps.server import Limits, serve
serve(Path(sys.argv[2]), port=0, workers=1, limits=Limits({}))
"""
GATED = """
import os, time
from pgkd.tasks.classification.exporting import Predictor
predict = Predictor.predict_proba
def gated(self, texts):
    while os.path.exists({!r}):
        time.sleep(0.005)
    return predict(self, texts)
Predictor.predict_proba = gated
"""


def limited(folder: Path, limits: str, before: str = "") -> Any:
    return serving(folder, code=before + LIMITED.format(limits))


def head(*lines: str, method: str = "POST", path: str = "/predict") -> bytes:
    first = (f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json")
    return "\r\n".join((*first, *lines, "", "")).encode()


def send(connection: socket.socket, parts: Iterable[bytes], pause: float = 0) -> None:
    for part in parts:
        connection.sendall(part)
        time.sleep(pause)


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def code_of(response: bytes) -> str:
    code: str = json.loads(response.partition(b"\r\n\r\n")[2])["error"]["code"]
    return code


# --- too much ---


def test_a_body_too_large_is_refused_though_the_client_still_sends(server: Server) -> None:
    body = b'{"text": "' + b"a" * 150_000 + b'"}'
    status, headers, answer = server.request("POST", "/predict", body)
    assert (status, json.loads(answer)["error"]["code"]) == (413, "body_too_large")
    assert headers["connection"] == "close"


def test_a_body_in_chunks_is_bounded_while_it_is_read(server: Server) -> None:
    """It says no length, and has no end."""
    with server.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked"))
        chunk = b"1000\r\n" + b"a" * 4096 + b"\r\n"
        with pytest.raises(OSError, match="reset|Broken pipe"):
            send(connection, (chunk for _ in range(100_000)))
    assert server.get("/health")[0] == 200


def test_a_body_in_chunks_within_the_limit_is_answered(server: Server) -> None:
    body = b'{"text": "invoice"}'
    with server.connect() as connection:
        connection.sendall(head("Transfer-Encoding: chunked", "Connection: close"))
        for byte in body:
            connection.sendall(b"1\r\n" + bytes([byte]) + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert status_of(everything(connection)) == 200


def test_who_asks_before_sending_too_much_is_told_no(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(head("Content-Length: 20001", "Expect: 100-continue"))
        response = everything(connection)
    assert (status_of(response), code_of(response)) == (413, "body_too_large")


def test_a_head_without_end_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\n")
        with pytest.raises(OSError, match="reset|Broken pipe"):
            send(connection, (b"X-%d: %b\r\n" % (i, b"a" * 1000) for i in range(100_000)))
    assert server.get("/health")[0] == 200


@pytest.mark.parametrize("lines", [1, 1000], ids=["one header", "many headers"])
def test_a_head_too_large_is_refused_though_it_comes_at_once(server: Server, lines: int) -> None:
    """The trap: a head of 120 kB that was whole before it was counted was answered."""
    body = b'{"text": "invoice"}'
    length = f"Content-Length: {len(body)}"
    with server.connect() as connection:
        large = (f"X-{i}: " + "a" * (120_000 // lines) for i in range(lines))
        connection.sendall(head(length, *large) + body)
        try:
            response = everything(connection)
        except ConnectionResetError:  # it was closed before all had been sent
            return
        assert status_of(response) == 400
        assert response.endswith(b"The head of the request is too large.")
    with server.connect() as connection:
        connection.sendall(head(length, "Connection: close", "X-Long: " + "a" * 60_000) + body)
        assert status_of(everything(connection)) == 200


def test_what_is_no_http_is_refused(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        assert status_of(everything(connection)) == 400


# --- too slow ---


@pytest.fixture(scope="module")
def hasty(export_folder: Path) -> Iterator[Server]:
    """A server that waits for half a second, and takes two requests at once."""
    with limited(export_folder, "head_seconds=.5, body_seconds=.5, requests=2") as server:
        yield server


@pytest.fixture(scope="module")
def calm(export_folder: Path) -> Iterator[Server]:
    """A server that waits for five seconds, and takes two requests at once."""
    with limited(export_folder, "head_seconds=5, body_seconds=5, requests=2") as server:
        yield server


@pytest.mark.parametrize("begun", [b"", b"POST /pred", head()[:-2], b"\r\n"])
def test_a_head_that_does_not_arrive_ends_the_connection(hasty: Server, begun: bytes) -> None:
    with hasty.connect() as connection:
        connection.sendall(begun)
        assert everything(connection) == b""


def test_a_head_that_drips_ends_the_connection(hasty: Server) -> None:
    with hasty.connect() as connection, pytest.raises(OSError, match="reset|Broken pipe"):
        send(connection, (bytes([byte]) for byte in head("X-Long: " + "a" * 100)), pause=0.05)


def test_a_second_head_is_waited_for_no_longer_than_the_first(hasty: Server) -> None:
    with hasty.connect() as connection, hasty.connect() as idle:
        for each in (idle, connection):
            each.sendall(head(method="GET", path="/health"))
            time.sleep(0.2)
            assert status_of(each.recv(65536)) == 200
        connection.sendall(b"GET /he")
        assert everything(connection) == b""
        idle.setblocking(False)
        with pytest.raises(BlockingIOError):  # it may wait for five seconds, and is still there
            idle.recv(1)


@pytest.mark.parametrize("kind", ["Content-Length: 50", "Transfer-Encoding: chunked"])
def test_a_body_that_drips_is_refused(hasty: Server, kind: str) -> None:
    with hasty.connect() as connection:
        connection.sendall(head(kind))
        for _ in range(5):
            connection.sendall(b"1\r\na\r\n" if "chunked" in kind else b"a")
            time.sleep(0.05)
        response = everything(connection)
    assert (status_of(response), code_of(response)) == (408, "too_slow")


@pytest.mark.slow  # the kernel takes tens of megabytes of answers before the server feels anything
def test_a_client_that_does_not_read_is_not_waited_for(hasty: Server) -> None:
    ask = head(method="GET", path="/openapi.json")
    with hasty.connect(60) as connection, pytest.raises(OSError, match="reset|Broken pipe"):
        send(connection, repeat(ask))  # until nothing more fits in between
    assert hasty.get("/health")[0] == 200


@pytest.mark.parametrize(("reads", "dropped"), [(False, 1), (True, 0)])
def test_answers_that_pile_up_unread_end_the_connection(reads: bool, dropped: int) -> None:
    async def main() -> None:
        config = uvicorn.Config(make_app, http=Connection)
        config.load()
        connection = Connection(config, ServerState(), {}, asyncio.get_running_loop())
        connection.head_seconds = 0.01
        connection.connection_made(transport)
        connection.pause_writing()
        if reads:
            connection.resume_writing()
        await asyncio.sleep(0.2)
        connection.connection_lost(None)

    transport = MagicMock(spec=asyncio.Transport)
    asyncio.run(main())
    assert transport.abort.call_count == dropped


def test_a_client_that_leaves_does_no_harm(calm: Server) -> None:
    for begun in (b"", b'{"text": '):
        with calm.connect() as connection:
            connection.sendall(head("Content-Length: 50") + begun)
    until(lambda: calm.predict({"text": "invoice"})[0] == 200, 4)  # sooner than by the limit
    assert "Traceback" not in "".join(calm.log)


def test_no_more_requests_are_in_hand_than_allowed(calm: Server) -> None:
    with calm.connect() as first, calm.connect() as second:
        for connection in (first, second):
            connection.sendall(head("Content-Length: 50"))
        until(lambda: calm.predict({"text": "invoice"})[0] == 503, 4)
        assert calm.get("/health")[0] == 200
        for connection in (first, second):
            assert status_of(everything(connection)) == 408
    assert calm.predict({"text": "invoice"})[0] == 200


# --- too many ---


def test_overload_is_told_at_once_and_passes(export_folder: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    before = GATED.format(str(gate))
    with limited(export_folder, "texts=4, waiting=4", before) as server, ThreadPoolExecutor() as do:
        gate.touch()
        accepted = do.submit(server.predict, {"texts": ["invoice"] * 3})
        until(lambda: b"pgkd_texts_waiting 3.0" in server.request("GET", "/metrics")[2])
        # The model stands still: what is answered now was not queued.
        status, headers, body = server.request("POST", "/predict", {"texts": ["parcel"] * 2})
        assert (status, json.loads(body)["error"]["code"]) == (503, "overloaded")
        assert int(headers["retry-after"]) >= 1
        assert server.get("/ready")[0] == 200
        last = do.submit(server.predict, {"text": "parcel"})
        until(lambda: server.get("/ready")[0] == 503)
        assert server.get("/health") == (200, {"status": "ok"})  # while the model predicts
        gate.unlink()
        assert accepted.result()[0] == last.result()[0] == 200
        assert server.predict({"texts": ["parcel"] * 4})[0] == 200
        assert server.get("/ready")[0] == 200


def test_a_failure_of_the_model_is_told_and_logged(export_folder: Path) -> None:
    before = """
from pgkd.tasks.classification.exporting import Predictor
predict = Predictor.predict_proba
def failing(self, texts):
    if "secret" in texts:
        raise RuntimeError("the model broke")
    return predict(self, texts)
Predictor.predict_proba = failing
"""
    with limited(export_folder, "", before) as server:
        status, code, message = server.refused({"text": "secret"})
        assert (status, code) == (500, "failed")
        assert "broke" not in message
        assert server.predict({"text": "invoice"})[0] == 200
        until(lambda: "the model broke" in "".join(server.log))
        assert b'status="500"' in server.request("GET", "/metrics")[2]


def test_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    """The trap: without TCP_NODELAY all but the first answers of a connection take 40 ms more."""
    seen = []

    class Accepted(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted = transport.get_extra_info("socket")
            seen.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    async def one_connection() -> None:
        listener = bind("127.0.0.1", 0)
        async with await asyncio.get_running_loop().create_server(Accepted, sock=listener):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            assert await reader.read() == b""
            writer.close()

    asyncio.run(one_connection())
    assert seen == [1]


# --- told to stop ---


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_in_flight_is_answered_before_the_end(export_folder: Path, workers: str) -> None:
    body = b'{"text": "invoice"}'
    with serving(export_folder, "--workers", workers) as server:
        with server.connect() as connection, server.connect() as idle:
            connection.sendall(head(f"Content-Length: {len(body)}") + body[:5])
            time.sleep(0.3)
            server.process.send_signal(signal.SIGTERM)
            until(lambda: refuses(server))
            connection.sendall(body[5:])
            response = everything(connection)
            assert status_of(response) == 200
            assert b"predictions" in response
            assert everything(idle) == b""
        assert server.process.wait(20) == 0


def refuses(server: Server) -> bool:
    try:
        server.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_text_that_is_being_predicted_is_answered_before_the_end(
    export_folder: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    with limited(export_folder, "", GATED.format(str(gate))) as server, ThreadPoolExecutor() as do:
        gate.touch()
        accepted = [do.submit(server.predict, {"texts": ["invoice"] * 3}) for _ in range(4)]
        until(lambda: b"pgkd_texts_waiting 12.0" in server.request("GET", "/metrics")[2])
        server.process.send_signal(signal.SIGTERM)
        until(lambda: refuses(server))
        gate.unlink()
        assert [one.result()[0] for one in accepted] == [200] * 4
        assert server.process.wait(20) == 0


def test_control_c_ends_it_without_a_traceback(export_folder: Path) -> None:
    with serving(export_folder, "--workers", "1") as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(20) == 0
    assert "Traceback" not in "".join(server.log)


# --- several workers ---


def children(pid: int) -> list[int]:
    """The workers of a server."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split():
        with contextlib.suppress(FileNotFoundError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(int(child))
    return found


def counted(server: Server) -> int:
    text = server.request("GET", "/metrics")[2].decode()
    found = re.search(r'^pgkd_requests_total\{path="/predict",status="200"\} (\d+)', text, re.M)
    return int(found[1]) if found else 0


def test_workers_add_up_their_numbers_and_are_replaced(export_folder: Path) -> None:
    with serving(export_folder, "--workers", "2") as server:
        until(lambda: len(children(server.process.pid)) == 2)
        before = children(server.process.pid)
        with ThreadPoolExecutor(8) as do:
            bodies = [{"text": text} for text in make_rows(10)[0]]
            assert {status for status, _ in do.map(server.predict, bodies)} == {200}
        # Whichever of the two is asked knows of all; the last request may still be counted.
        until(lambda: counted(server) == 40)
        assert [counted(server) for _ in range(6)] == [40] * 6
        os.kill(before[0], signal.SIGKILL)
        until(lambda: len(set(children(server.process.pid)) - {before[0]}) == 2)
        assert server.predict({"text": "invoice"})[0] == 200
        until(lambda: counted(server) == 41)  # what the dead one counted is not forgotten
        assert server.stop() == 0


def test_workers_do_not_outlive_their_parent(export_folder: Path) -> None:
    with serving(export_folder, "--workers", "2") as server:
        until(lambda: len(children(server.process.pid)) == 2)
        server.process.kill()
        until(lambda: refuses(server))


def test_a_worker_that_cannot_start_ends_the_server(export_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(export_folder, folder)
    (folder / "model.onnx").write_bytes(b"no graph")
    for workers in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", START, "serve", str(folder), "--port", "0",
             "--workers", workers],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "model.onnx cannot be loaded" in done.stderr
        assert "Traceback" not in done.stderr


# --- what it stands on ---


def test_nothing_that_trains_is_imported(export_folder: Path) -> None:
    """Less than 150 MB before a model is there, and nothing of the workshop after it neither."""
    found = python(
        "import sys\n"
        "import pgkd.apps.cli, pgkd.apps.server.app, pgkd.apps.server.http\n"
        "from pgkd.apps.server import Limits, process\n"
        "from uvicorn.supervisors import Multiprocess\n"
        "import onnxruntime, tokenizers\n"
        "from pathlib import Path\n"
        "[line] = [x for x in open('/proc/self/status').readlines() if x.startswith('VmRSS')]\n"
        "megabytes = int(line.split()[1]) / 1024\n"
        f"process.make_worker_app(process.Job(Path({str(export_folder)!r}), Limits()))\n"
        f"print(megabytes, [name for name in {TRAINERS} if name in sys.modules])"
    )
    megabytes, modules = found.split(" ", 1)
    assert modules == "[]"
    assert float(megabytes) < 150


def test_a_running_server_holds_no_torch(server: Server) -> None:
    with open(f"/proc/{server.process.pid}/maps", encoding="utf-8") as file:  # noqa: PTH123
        libraries = file.read()
    assert "onnxruntime" in libraries
    for name in TRAINERS:
        assert f"/{name}/" not in libraries


def test_a_run_folder_is_served_by_its_export(run_folder: Path) -> None:
    with serving(run_folder, "--workers", "1") as server:
        assert server.get("/model")[1]["format"] == "onnx-int8"
        assert server.predict({"text": "an invoice and a charge"})[0] == 200


def test_a_run_without_an_export_says_how_to_make_one(run_folder: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ExportError, match=f"Make one: pgkd export {folder}"):
            serve(folder)
    (tmp_path / "export" / "huggingface").mkdir(parents=True)
    shutil.copy(run_folder / "export" / "onnx-int8" / "export.json", tmp_path)
    text = (tmp_path / "export.json").read_text(encoding="utf-8")
    (tmp_path / "export.json").write_text(text.replace('"onnx-int8"', '"huggingface"'))
    with pytest.raises(ExportError, match="is for transformers"):
        serve(tmp_path, port=0, workers=1)


def test_an_address_that_is_taken_is_told(server: Server, export_folder: Path) -> None:
    with pytest.raises(ConfigError, match="Choose --host or --port"):
        serve(export_folder, port=server.port)
    with pytest.raises(ConfigError, match="Cannot listen on 203.0.113.1"):
        serve(export_folder, host="203.0.113.1", port=0)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_address_that_is_taken_meanwhile_is_told(export_folder: Path, workers: str) -> None:
    """Until a server listens, another can bind its address: no worker is started for ever then."""
    code = """
import socket, sys
from pathlib import Path
from pgkd.apps.server import process, serve
from pgkd.export.predictor import load
bind = process.bind
def bind_twice(host, port):
    listener = bind(host, port)
    other = bind(host, listener.getsockname()[1])
    other.listen()
    globals()["other"] = other
    return listener
process.bind = bind_twice
if __name__ == "__main__":
    serve(Path(sys.argv[1]), port=0, workers=int(sys.argv[2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(export_folder), workers],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Another server has taken this address meanwhile" in done.stderr


def test_a_missing_extra_is_named(export_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'pgkd\[server\]'"):
        serve(export_folder)


def test_limits_that_cannot_be_kept_are_refused() -> None:
    with pytest.raises(ConfigError, match="raise the second or lower the first"):
        Limits(texts=10, waiting=9)
    with pytest.raises(ConfigError, match="'body_seconds' must be above 0"):
        Limits(body_seconds=0)


def test_it_listens_on_loopback_unless_told() -> None:
    import inspect

    assert inspect.signature(serve).parameters["host"].default == "127.0.0.1"
    assert threading.active_count() < 50  # no test left its threads behind
