"""Does `pgkd serve` bear twice what it can do, for minutes?

What it can do is measured first, in a closed loop. Then twice as many requests a second leave
whether it keeps up or not, of one and of 16 texts (`load.py`, an open loop that follows what the
machine, which others use too, lets the server do). Expected is: no answer but 200 and 503 with
Retry-After, every answer the one of the predictor, none missing, every process there from the
start to the end, and memory that does not grow after two minutes.

    python benchmarks/soak.py --minutes 10
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pgkd
from pgkd.distill.provenance import environment
from server import HERE, Served, free_port, load, made_export, questions_of, wait_for
from serving import machine

_SAMPLE_SECONDS = 5.0
_SETTLED = 120.0  # seconds after which memory is expected to stay as it is
_GROWTH = 1.05  # times the memory of then, at most
_CLIENTS = 400  # connections: more than the server takes texts of
_START = "from pgkd.cli import main; main()"


def main() -> None:
    """Load the server, print and store what came of it; the exit status tells whether it held."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--minutes", type=float, default=10.0)
    add("--export", type=Path, help="an export to serve; default: one of the helpdesk rows")
    add("--out", type=Path, default=HERE / "results" / "server.json", help="JSON to add it to")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.export or made_export(Path(stack.enter_context(TemporaryDirectory())))
        report = soak(folder, args.minutes * 60)
    stored = json.loads(args.out.read_text(encoding="utf-8")) if args.out.exists() else {}
    args.out.write_text(json.dumps({**stored, "soak": report}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({k: v for k, v in report.items() if k != "memory_mb"}, indent=2))
    sys.exit(0 if report["held"] else 1)


def soak(folder: Path, seconds: float) -> dict[str, Any]:
    """What happened in so many seconds at twice what the server can do."""
    questions = [q for pair in zip(questions_of(1), questions_of(16), strict=True) for q in pair]
    predictor = pgkd.load(folder)
    expected = [predictor.predict(texts) for texts in questions]
    port = free_port()
    command = [sys.executable, "-c", _START, "serve", str(folder), "--port", str(port)]
    process = subprocess.Popen(command)
    server = Served("pgkd serve", port, process)
    try:
        wait_for(port, process)
        load(port, 16, 2.0, questions=questions)  # warm
        plain = load(port, 16, 10.0, questions=questions, expected=expected)
        capacity = sum(plain["statuses"].values()) / plain["wall_s"]
        with Memory(server) as memory:
            seen = load(
                port, _CLIENTS, seconds, questions=questions, expected=expected, rate=2 * capacity
            )
        process.terminate()
        ended = process.wait(60)
    finally:
        process.kill()
    growth = memory.growth()
    return {
        "machine": machine(),
        "environment": environment(),
        "minutes": seconds / 60,
        "capacity_requests_per_s": round(capacity, 2),
        **seen,
        "asked_over_answered": round(sum(seen["statuses"].values()) / seen["statuses"]["200"], 3),
        "exit_status": ended,
        "memory_growth": growth,
        "memory_mb": memory.samples,
        "processes_constant": memory.constant(),
        "held": held(seen, growth, ended) and memory.constant(),
    }


def held(seen: dict[str, Any], growth: dict[str, float], ended: int) -> bool:
    """Whether all of it is as expected."""
    faults = {name: n for name, n in seen["faults"].items() if not name.startswith("not sent")}
    return (
        not faults
        and set(seen["statuses"]) == {"200", "503"}
        and max(growth.values()) <= _GROWTH
        and ended == 0
    )


class Memory:
    """Samples the resident memory of every process of a server, in a thread."""

    def __init__(self, server: Served) -> None:
        self._server = server
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.samples: dict[str, list[tuple[float, float]]] = {}

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._end.set()
        self._thread.join()

    def growth(self) -> dict[str, float]:
        """Of each process: the most memory of the last fifth over the most until it settled."""
        found = {}
        for name, samples in self.samples.items():
            whole = samples[-1][0]
            settled = min(_SETTLED, whole / 2)
            first = max((mb for at, mb in samples if at <= settled), default=0.01)
            last = max(mb for at, mb in samples if at >= whole * 0.8)
            found[name] = round(last / first, 4)
        return found

    def constant(self) -> bool:
        """Whether no process ended, and none began."""
        return len({len(samples) for samples in self.samples.values()}) == 1

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._end.is_set():
            at = round(time.monotonic() - began, 1)
            for pid in self._server.processes():
                name = f"{'parent' if pid == self._server.process.pid else 'child'} {pid}"
                self.samples.setdefault(name, []).append((at, _resident(pid)))
            self._end.wait(_SAMPLE_SECONDS)


def _resident(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    [line] = [line for line in status.splitlines() if line.startswith("VmRSS")]
    return round(int(line.split()[1]) / 1024, 1)


if __name__ == "__main__":
    main()
