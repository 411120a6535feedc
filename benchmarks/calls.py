"""What do the books cost, and how near to the ideal are many calls at once?

A loopback server of its own process answers every request after 50 ms. 1,000 requests go out, 64 at
a time: through the openai SDK alone, and through the ledger, budget and retries besides. Ideal is
requests × latency / concurrency. The ledger is timed by itself too: a call is two commits.

    python benchmarks/calls.py
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgkd.distill.provenance import environment
from pgkd.teacher import Message, OpenAITeacher, PatientTeacher, Reply, Request
from pgkd.teacher.account import AccountedTeacher, Ledger

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from pgkd.teacher import Teacher

HERE = Path(__file__).parent
ANSWER = json.dumps(
    {
        "id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": "text " * 50}}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 60, "total_tokens": 560},
    }
).encode()  # fmt: skip


def main() -> None:
    """Measure; print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--requests", type=int, default=1000)
    add("--concurrency", type=int, default=64)
    add("--latency", type=float, default=0.05, help="seconds")
    add("--repeats", type=int, default=3)
    add("--out", type=Path, default=HERE / "results" / "calls.json", help="JSON to write")
    args = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.Process(target=serve, args=(theirs, args.latency), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}/v1"
    ideal = args.requests * args.latency / args.concurrency
    runs = [measure(url, args.requests, args.concurrency) for _ in range(args.repeats)]
    server.terminate()
    for run in runs:
        run["sdk_to_ideal"] = round(run["sdk_s"] / ideal, 2)
        run["all_to_ideal"] = round(run["all_s"] / ideal, 2)
        run["all_to_sdk"] = round(run["all_s"] / run["sdk_s"], 2)
        print(json.dumps(run), flush=True)
    report = {
        "requests": args.requests,
        "concurrency": args.concurrency,
        "latency_s": args.latency,
        "ideal_s": ideal,
        "environment": environment(),
        "runs": runs,
    }
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measure(url: str, n: int, concurrency: int) -> dict[str, Any]:
    """Seconds of all requests, with the SDK alone and with all of pgkd; and of the ledger alone."""
    with TemporaryDirectory() as folder, OpenAITeacher("m", base_url=url) as sdk:
        send(sdk, concurrency, concurrency)  # connections are open from here on
        alone = send(sdk, n, concurrency)
        with Ledger(Path(folder) / "all.sqlite") as ledger:
            books = AccountedTeacher(sdk, ledger)
            everything = send(PatientTeacher(books, concurrency=concurrency), n, concurrency)
        with Ledger(Path(folder) / "ledger.sqlite") as ledger:
            start = time.perf_counter()
            for i in range(n):
                ledger.finish(ledger.begin(request(i), "m"), Reply("text " * 50, "m", 500, 60))
            booked = time.perf_counter() - start
    return {
        "sdk_s": round(alone, 3),
        "all_s": round(everything, 3),
        "ledger_ms_per_call": round(1000 * booked / n, 3),
    }


def send(teacher: Teacher, n: int, concurrency: int) -> float:
    """Seconds until n requests are answered."""
    with ThreadPoolExecutor(concurrency) as pool:
        start = time.perf_counter()
        list(pool.map(teacher.complete, map(request, range(n))))
        return time.perf_counter() - start


def request(i: int) -> Request:
    """A request of a usual size."""
    asked = Request((Message("system", "word " * 300), Message("user", f"text {i} " * 50)))
    return replace(asked, id=f"r1-{i:04d}")


def serve(port: Connection, latency: float) -> None:
    """Answer every request after so many seconds, on a port that is told."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        while header := await read_header(reader):
            await reader.readexactly(header)
            await asyncio.sleep(latency)
            writer.write(head % len(ANSWER) + ANSWER)
            await writer.drain()
        writer.close()

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0)
        port.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def read_header(reader: asyncio.StreamReader) -> int:
    """The length of the body that follows; 0 where the connection ends."""
    try:
        header = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return 0
    for line in header.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


if __name__ == "__main__":
    main()
