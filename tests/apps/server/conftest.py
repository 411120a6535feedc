"""An export to serve, and servers: real processes on loopback."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.distiller import Distiller
from pgkd.export.export import export
from pgkd.runs.folder import RunFolder
from tests.conftest import make_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = "from pgkd.apps.cli import main; main()"


class Server:
    """A `pgkd serve` that runs, and a client of it."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: list[str]) -> None:
        self.process = process
        self.port = port
        self.log = log

    def connect(self, timeout: float = 30) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters, and the body; what is no bytes is sent as JSON."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        kind = {"Content-Type": "application/json"} if body is not None else {}
        try:
            client.request(method, path, body, {**kind, **(headers or {})})
            response = client.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            client.close()

    def get(self, path: str) -> tuple[int, Any]:
        status, _, body = self.request("GET", path)
        return status, json.loads(body)

    def predict(self, body: Any) -> tuple[int, Any]:
        status, _, answer = self.request("POST", "/predict", body)
        return status, json.loads(answer)

    def refused(self, body: Any) -> tuple[int, str, str]:
        """Status, code and message of a request that is not answered."""
        status, answer = self.predict(body)
        assert list(answer) == ["error"], answer
        return status, answer["error"]["code"], answer["error"]["message"]

    def stop(self) -> int:
        """Ask it to stop, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def serving(path: Path, *options: str, code: str = START) -> Iterator[Server]:
    """A server of an export, ended by force where the test did not end it.

    Args:
        path: to serve.
        options: of `pgkd serve`.
        code: Python that starts it, for servers with a model that a test holds in hand.
    """
    command = [sys.executable, "-c", code, "serve", str(path), "--port", "0", *options]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    log: list[str] = []
    assert process.stderr is not None
    try:
        for line in process.stderr:
            log.append(line)
            found = re.search(r"at http://127\.0\.0\.1:(\d+) with", line)
            if found:
                break
        else:
            pytest.fail(f"the server ended: {''.join(log)}")
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        server = Server(process, int(found[1]), log)
        _await_start(server)
        yield server
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # workers as well, should they outlive it
        process.wait()
        reader.join(10)
        process.stderr.close()


def _await_start(server: Server) -> None:
    for _ in range(600):
        try:
            assert server.get("/ready")[0] == 200
        except ConnectionRefusedError:
            assert server.process.poll() is None, "".join(server.log)
            threading.Event().wait(0.05)
        else:
            return
    pytest.fail(f"the server did not start: {''.join(server.log)}")


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A run of an encoder student that was exported."""
    folder = tmp_path_factory.mktemp("server") / "run"
    student = {"kind": "encoder", "encoder": str(tiny_encoder), "max_length": 24}
    Distiller(teacher="fake", student=student, rounds=0, out=str(folder)).fit(*make_rows(20))
    [done] = export(RunFolder.open(folder), "onnx-int8", folder / "export")
    assert done.folder is not None, done.faults
    return folder


@pytest.fixture(scope="session")
def export_folder(run_folder: Path) -> Path:
    """Its export."""
    return run_folder / "export" / "onnx-int8"


@pytest.fixture(scope="module")
def server(export_folder: Path) -> Iterator[Server]:
    """A server with one worker, its limits small."""
    options = ("--workers", "1", "--max-body", "20000", "--max-texts", "8")
    with serving(export_folder, *options, "--max-characters", "5000", "--max-waiting", "16") as s:
        yield s
