"""How near to the ideal are many calls at once, and what do the books cost?

A loopback server in a process of its own answers every request after 50 ms, and again after 500 ms,
which is nearer to what a model takes. 1,000 requests go out, 64 at a time, layer upon layer in one
run:

- sockets: the same bytes without any library; what the server and the threads take
- httpx: one client of the HTTP library beneath the SDK
- sdk: the openai SDK alone, as its manual says
- teacher: pgkd's openai teacher with retries and the circuit breaker, without a ledger
- all: the same through the ledger and the budget
- idle and books: a teacher that only sleeps, without and with them; so the journal is seen where
  the processor is not what is short

Ideal is requests x latency / concurrency. The ledger is timed by itself, too: a call is two
commits, the second of them synced to the disk; so a plain `fsync` stands beside it.

    python benchmarks/calls.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import socket
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgkd.distill.provenance import environment
from pgkd.teacher import Message, OpenAITeacher, PatientTeacher, Reply, Request, Teacher
from pgkd.teacher.account import AccountedTeacher, Ledger
from pgkd.teacher.chat import payload_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

HERE = Path(__file__).parent
ANSWER = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "text " * 50}}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560},
    }
).encode()  # fmt: skip
RESPONSE = (
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(ANSWER)
    + ANSWER
)


def main() -> None:
    """Measure; print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--requests", type=int, default=1000)
    add("--concurrency", type=int, default=64)
    add("--latency", type=float, nargs="+", default=[0.05, 0.5], help="seconds")
    add("--repeats", type=int, default=3)
    add("--out", type=Path, default=HERE / "results" / "calls.json", help="JSON to write")
    args = parser.parse_args()
    parts = [
        part(latency, args.requests, args.concurrency, args.repeats) for latency in args.latency
    ]
    report = {
        "requests": args.requests,
        "concurrency": args.concurrency,
        "cores": os.cpu_count(),
        "environment": environment(),
        "parts": parts,
    }
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def part(latency: float, requests: int, concurrency: int, repeats: int) -> dict[str, Any]:
    """All layers before a server that takes so many seconds."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, latency), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    ideal = requests * latency / concurrency
    runs = []
    for _ in range(repeats):
        runs.append(measure(url, requests, concurrency, latency))
        print(latency, json.dumps(runs[-1]), flush=True)
    server.terminate()
    median = {name: round(statistics.median(run[name] for run in runs), 3) for name in runs[0]}
    print(latency, "median", json.dumps(median), flush=True)
    return {"latency_s": latency, "ideal_s": ideal, "median": median, "runs": runs}


def measure(url: str, n: int, concurrency: int, latency: float) -> dict[str, float]:
    """Seconds of all requests and milliseconds of processor time a call, layer by layer."""
    found: dict[str, float] = {}
    ideal = n * latency / concurrency

    def layer(name: str, call: Callable[[Request], object]) -> None:
        seconds, cpu = send(call, n, concurrency)
        found[f"{name}_s"] = round(seconds, 3)
        found[f"{name}_cpu_ms_per_call"] = round(1000 * cpu / n, 3)
        found[f"{name}_to_ideal"] = round(seconds / ideal, 2)

    layer("sockets", sockets(url))
    with TemporaryDirectory() as folder, OpenAITeacher("m", base_url=url) as teacher:
        sdk = teacher._sdk.OpenAI(base_url=url, api_key="none", max_retries=0)
        with teacher._sdk.DefaultHttpxClient(timeout=120) as http:
            layer("httpx", partial(through_httpx, http, f"{url}/chat/completions"))
        with sdk:
            layer("sdk", lambda asked: sdk.chat.completions.create(**payload_of(asked, "m")))
        layer("teacher", PatientTeacher(teacher, concurrency=concurrency).complete)
        with Ledger(Path(folder) / "all.sqlite") as ledger:
            books = AccountedTeacher(teacher, ledger)
            layer("all", PatientTeacher(books, concurrency=concurrency).complete)
        idle = Idle(latency, concurrency)
        layer("idle", PatientTeacher(idle).complete)
        with Ledger(Path(folder) / "idle.sqlite") as ledger:
            layer("books", PatientTeacher(AccountedTeacher(idle, ledger)).complete)
        for threads in (1, concurrency):
            with Ledger(Path(folder) / f"{threads}.sqlite") as ledger:
                seconds, _ = send(partial(book, ledger), n, threads)
            found[f"ledger_ms_per_call_{threads}_at_once"] = round(1000 * seconds / n, 3)
        found["fsync_ms"] = round(1000 * fsync(Path(folder) / "file"), 3)
    for name, without, booked in (("sdk", "teacher", "all"), ("idle", "idle", "books")):
        added = found[f"{booked}_s"] - found[f"{without}_s"]
        found[f"journal_ms_per_call_{name}"] = round(1000 * added / n, 3)
    found["all_to_sdk"] = round(found["all_s"] / found["sdk_s"], 2)
    found["all_to_httpx"] = round(found["all_s"] / found["httpx_s"], 2)
    return found


class Idle(Teacher):
    """Answers after so many seconds, and takes no processor."""

    def __init__(self, latency: float, concurrency: int) -> None:
        self.concurrency = concurrency
        self._latency = latency

    def complete(self, request: Request) -> Reply:
        """The same answer to all."""
        time.sleep(self._latency)
        return Reply("text " * 50, "m", 500, 60)


def send(call: Callable[[Request], object], n: int, concurrency: int) -> tuple[float, float]:
    """Seconds until n requests are answered, and processor seconds of this process."""
    with ThreadPoolExecutor(concurrency) as pool:
        list(pool.map(call, map(request, range(n, n + concurrency))))  # opens the connections
        start, used = time.perf_counter(), time.process_time()
        list(pool.map(call, map(request, range(n))))
        return time.perf_counter() - start, time.process_time() - used


def request(i: int) -> Request:
    """A request of a usual size."""
    asked = Request((Message("system", "word " * 300), Message("user", f"text {i} " * 50)))
    return replace(asked, id=f"r1-{i:04d}")


def body(asked: Request) -> bytes:
    """What goes out for a request."""
    return json.dumps(payload_of(asked, "m")).encode()


def through_httpx(http: Any, url: str, asked: Request) -> Any:
    """A call of the HTTP library alone."""
    return http.post(url, content=body(asked)).json()


def sockets(url: str) -> Callable[[Request], object]:
    """A call without any library, over a connection of its thread."""
    own, parts = threading.local(), urlsplit(url)

    def call(asked: Request) -> Any:
        if not hasattr(own, "socket"):
            own.socket = socket.create_connection((parts.hostname, parts.port))
        sent = body(asked)
        head = (
            f"POST {parts.path} HTTP/1.1\r\nhost: loopback\r\ncontent-length: {len(sent)}\r\n\r\n"
        )
        own.socket.sendall(head.encode() + sent)
        return json.loads(own.socket.recv(len(RESPONSE), socket.MSG_WAITALL)[-len(ANSWER) :])

    return call


def book(ledger: Ledger, asked: Request) -> None:
    """What the ledger does for a call."""
    ledger.finish(ledger.begin(asked, "m"), Reply("text " * 50, "m", 500, 60))


def fsync(path: Path, times: int = 50) -> float:
    """Seconds that the disk takes to keep a page."""
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            start = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - start)
    return statistics.median(took)


class Answering(asyncio.Protocol):
    """Answers each request of a connection after so many seconds."""

    def __init__(self, latency: float) -> None:
        self._latency = latency
        self._got = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where the answers go."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer later, when a request is whole."""
        self._got += data
        head, end, rest = self._got.partition(b"\r\n\r\n")
        if end and len(rest) >= length_of(head):
            self._got.clear()
            asyncio.get_running_loop().call_later(self._latency, self._answer)

    def _answer(self) -> None:
        if isinstance(self._transport, asyncio.WriteTransport):
            self._transport.write(RESPONSE)


def length_of(head: bytes | bytearray) -> int:
    """The length of a request's body."""
    return int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])


def serve(port: Connection, latency: float) -> None:
    """Answer whatever comes, on a port that is told."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Answering(latency), "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


if __name__ == "__main__":
    main()
