"""Rooms that are open: the real command, in a process of its own, over runs of the fake teacher."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest

from pgkd.runs.folder import RunFolder
from tests.apps.report.conftest import HOSTILE, distilled
from tests.apps.report.conftest import hostile as hostile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from playwright.sync_api import Page

START = "from pgkd.apps.cli import main; main()"


class WebUI:
    """A `pgkd ui` that is open, and a client of it."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str, path: Path) -> None:
        self.process = process
        self.port = port
        self.token = token
        self.path = path
        self.log: list[str] = []

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cookie(self) -> str:
        return f"pgkd-ui-{self.port}={self.token}"

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: str | bytes | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in small letters and body; only the headers that are given are sent."""
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            client.request(method, path, body, dict(headers or {}))
            response = client.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return response.status, found, response.read()
        finally:
            client.close()

    def get(self, path: str) -> tuple[int, str]:
        status, _, body = self.request("GET", path, headers={"Cookie": self.cookie})
        return status, body.decode()

    def post(self, path: str, **form: str) -> tuple[int, str]:
        headers = {
            "Cookie": self.cookie, "Origin": self.origin,
            "Content-Type": "application/x-www-form-urlencoded",
        }  # fmt: skip
        status, _, body = self.request("POST", path, headers=headers, body=urlencode(form))
        return status, body.decode()

    def enter(self, page: Page, path: str = "/") -> None:
        """Open a page of the web UI as a person does: by the address with the token."""
        page.goto(f"{self.origin}{path}{'&' if '?' in path else '?'}token={self.token}")

    def close(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextmanager
def opened(path: Path, *options: str) -> Iterator[WebUI]:
    """A ui over a folder, closed by force where the test did not close it."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "ui", str(path), "--who", "ann", *options],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert process.stderr is not None
    log: list[str] = []
    try:
        for line in process.stderr:
            log.append(line)
            found = re.search(r"http://127\.0\.0\.1:(\d+)/\?token=(\S+)", line)
            if found:
                break
        else:
            pytest.fail(f"the web UI did not open: {''.join(log)}")
        ui = WebUI(process, int(found[1]), found[2], path)
        ui.log = log
        reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
        reader.start()
        yield ui
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        reader.join(10)
        process.stderr.close()


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that has ended. Not to be written to."""
    return distilled(tmp_path_factory.mktemp("ui") / "plain", samples=12)


@pytest.fixture
def folder(made: RunFolder, tmp_path: Path) -> Path:
    """A folder of one run, to do with as a test likes."""
    shutil.copytree(made.path, tmp_path / "runs" / "plain")
    return tmp_path / "runs"


@pytest.fixture
def ui(folder: Path) -> Iterator[WebUI]:
    """A ui over that folder."""
    with opened(folder) as ui:
        yield ui


def run_of(ui: WebUI, name: str = "plain") -> RunFolder:
    return RunFolder.open(ui.path / name)


def add_texts(run: RunFolder, texts: list[tuple[str, str]], number: int = 1) -> None:
    """Let a run have more kept texts: text and label of each."""
    with (run.path / "examples.jsonl").open("a", encoding="utf-8") as file:
        for i, (text, label) in enumerate(texts):
            origin = {"round": number, "request": f"r{number}-9000", "parents": []}
            line = {"text": text, "label": label, "id": f"r{number}-9000-{i}", "origin": origin}
            file.write(json.dumps(line) + "\n")


__all__ = ["HOSTILE", "WebUI", "add_texts", "hostile", "opened", "run_of"]
