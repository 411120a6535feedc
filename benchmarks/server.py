"""How near does `pgkd serve` come to its own predictor, and how far is it from a handler by hand?

The same int8 export of a student of the helpdesk rows, one process a core each:

- bare: `pgkd.load(...).predict` in a loop, without HTTP, on as many texts at once as a request
  holds, and on as many as the server took together
- pgkd: `pgkd serve`
- apart: the same without micro-batching: every request is predicted by itself
- minimal: FastAPI and onnxruntime by hand, what somebody who knows these libraries writes in half
  an hour: the same graph on one thread a worker, the same tokenizer, texts padded to the longest of
  the request, a worker of uvicorn a core, a plain `def` endpoint, run in FastAPI's pool of threads

1, 8 and 64 clients ask one text or 16 at a time, and again as soon as they are answered
(`load.py`). The generator shares the cores with what it measures. Hence two figures of each: texts
a second of the wall clock, and CPU milliseconds of the server's processes a text, which do not
count the generator's nor what else runs. All take turns in short runs; ratios are taken within a
repetition, and their median with least and most is told.

    python benchmarks/server.py
    python benchmarks/server.py --budgets 384 768 3072    # tokens of a turn; 1536 is the default
    python benchmarks/server.py --soak 10

`--soak` asks `pgkd serve` for twice what it can do, for so many minutes. What it can do is measured
first, in a closed loop. Then requests of one and of 16 texts leave whether it keeps up or not
(`load.py`, an open loop that follows what the machine lets the server do). Expected is: no answer
but 200 and 503 with Retry-After, every answer the one of the predictor, none missing, every process
there from the start to the end, and memory that does not grow after two minutes. The exit status
tells.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
from serving import machine, sample_texts

import pgkd
from pgkd.export.export import export
from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import read_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

    from fastapi import FastAPI
    from numpy.typing import NDArray

HERE = Path(__file__).parent
HELPDESK = HERE.parent / "examples" / "helpdesk"
CORES = len(os.sched_getaffinity(0))
CLIENTS, SIZES = (1, 8, 64), (1, 16)
PGKD, APART, MINIMAL = "pgkd", "apart", "minimal"
BARE, BARE_TURNS = "bare", "bare, in the server's turns"
TARGETS = ((PGKD, BARE_TURNS, 0.85), (PGKD, MINIMAL, 1.3))
TARGET_CLIENTS = 64
RIVAL = "rival"  # first argument of a process that serves
_EXPORT = "BENCHMARK_EXPORT"
_ROOM = 4096  # texts that may wait: connections fall unevenly on workers, and none is to be refused
_SAMPLE_SECONDS = 5.0
_SETTLED = 120.0  # seconds after which memory is expected to stay as it is
_GROWTH = 1.05  # times the memory of then, at most
_CLIENTS = 400  # connections: more than the server takes texts of
_START = "from pgkd.apps.cli import main; main()"
_TICKS = os.sysconf("SC_CLK_TCK")
Figures = dict[str, float]


def main() -> None:
    """Make an export, measure, print Markdown and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--repeats", type=int, default=5)
    add("--seconds", type=float, default=2.0, help="of one run")
    add("--clients", type=int, nargs="*", default=CLIENTS, help="at once; the aims are for 64")
    add("--export", type=Path, help="an export to serve; default: one of the helpdesk rows")
    add("--budgets", type=int, nargs="*", default=[], help="other tokens of a turn to try")
    add("--soak", type=float, metavar="MINUTES", help="ask twice what it can do, and nothing else")
    add("--out", type=Path, default=HERE / "results" / "server.json", help="JSON to add to")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.export or made_export(Path(stack.enter_context(TemporaryDirectory())))
        if args.soak:
            found = soak(folder, args.soak * 60)
            store(args.out, {"soak": found})
            print(json.dumps({k: v for k, v in found.items() if k != "memory_mb"}, indent=2))
            sys.exit(0 if found["held"] else 1)
        budgets = [f"budget={tokens}" for tokens in args.budgets]
        servers = [
            stack.enter_context(started(name, folder)) for name in (PGKD, APART, MINIMAL, *budgets)
        ]
        bare = stack.enter_context(contextlib.closing(Bare(folder)))
        runs = measure(servers, bare, args.clients, args.repeats, args.seconds)
    report = {
        "machine": machine(),
        "environment": environment(),
        "note": "The generator shares the cores; the CPU figures do not count it. One run.",
        "repeats": args.repeats,
        "seconds": args.seconds,
        "generator": "benchmarks/load.py: raw sockets, one process",
        "cases": {name: summarised(found) for name, found in runs.items()},
        "targets": targets(runs),
    }
    store(args.out, report)
    print(markdown(report))


def store(path: Path, report: dict[str, Any]) -> None:
    """Put figures beside those that a file of results holds already."""
    stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**stored, **report}, indent=2) + "\n", encoding="utf-8")


# --- what is measured ---


def made_export(folder: Path) -> Path:
    """The int8 export of a student of the helpdesk rows, without a teacher."""
    texts, labels = read_rows(HELPDESK / "train.csv", "text", "label")
    run = folder / "run"
    student = {"kind": "encoder"}
    pgkd.Distiller(teacher="fake", student=student, rounds=0, out=str(run)).fit(texts, labels)
    export(pgkd.RunFolder.open(run), "onnx-int8", run / "export")
    return run / "export" / "onnx-int8"


class Served:
    """A server that runs, with all its processes."""

    def __init__(self, name: str, port: int, process: subprocess.Popen[bytes]) -> None:
        self.name = name
        self.port = port
        self.process = process

    def processes(self) -> list[int]:
        """Process numbers: the one that was started, and all below it."""
        return _family(self.process.pid)

    def cpu(self) -> float:
        """CPU seconds of all its processes so far."""
        return sum(_cpu(pid) for pid in self.processes())

    def turns(self) -> tuple[float, float]:
        """Turns so far, and texts in them; zeros where it tells none."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics") as answer:
                text = answer.read().decode()
        except urllib.error.HTTPError:
            return 0.0, 0.0
        found = dict(re.findall(r"^pgkd_turn_texts_(count|sum) (\S+)$", text, re.MULTILINE))
        return float(found.get("count", 0)), float(found.get("sum", 0))


@contextlib.contextmanager
def started(name: str, folder: Path) -> Iterator[Served]:
    """A server, once it answers; ended by its own means."""
    port = free_port()
    command = [sys.executable, str(HERE / "server.py"), RIVAL, name, str(folder), str(port)]
    process = subprocess.Popen(command)
    try:
        wait_for(port, process)
        yield Served(name, port, process)
    finally:
        process.terminate()
        process.wait(60)


def free_port() -> int:
    """A port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server accepts connections.

    Raises:
        SystemExit: it does not.
    """
    for _ in range(600):
        if process.poll() is not None:
            raise SystemExit("a server did not start; what it said stands above")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise SystemExit("a server did not start in a minute")


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()
    return [pid, *(other for child in children for other in _family(int(child)))]


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def load(port: int, clients: int, seconds: float, **plan: Any) -> dict[str, Any]:
    """What a load generator in a process of its own saw."""
    whole = json.dumps({"port": port, "clients": clients, "seconds": seconds, **plan})
    command = [sys.executable, str(HERE / "load.py")]
    done = subprocess.run(command, input=whole, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


class Bare:
    """The predictor by itself, in one process a core.

    Args:
        folder: the export.
    """

    def __init__(self, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipes = []
        for _ in range(CORES):
            ours, theirs = context.Pipe()
            context.Process(target=_predict_on_demand, args=(folder, theirs), daemon=True).start()
            self._pipes.append(ours)

    def run(self, size: int, seconds: float) -> Figures:
        """Predict so many texts at once, again and again, on every core."""
        for pipe in self._pipes:
            pipe.send((size, seconds))
        found = [pipe.recv() for pipe in self._pipes]
        texts = sum(texts for texts, _, _ in found)
        return {
            "texts_per_s": sum(texts / wall for texts, wall, _ in found),
            "cpu_ms_per_text": 1000 * sum(cpu for _, _, cpu in found) / texts,
            "size": size,
        }

    def close(self) -> None:
        """End the processes."""
        for pipe in self._pipes:
            pipe.close()


def _predict_on_demand(folder: Path, pipe: Connection) -> None:
    predictor = pgkd.load(folder, threads=1)
    texts, _ = sample_texts()
    texts = texts * 9
    with contextlib.suppress(EOFError):
        while True:
            size, seconds = pipe.recv()
            done, began, used = 0, time.perf_counter(), time.process_time()
            while time.perf_counter() - began < seconds:
                start = done % 64
                predictor.predict_proba(texts[start : start + size])
                done += size
            pipe.send((done, time.perf_counter() - began, time.process_time() - used))


# --- how ---


def measure(
    servers: Sequence[Served],
    bare: Bare,
    clients_at_once: Sequence[int],
    repeats: int,
    seconds: float,
) -> dict[str, dict[str, list[Figures]]]:
    """Figures of every repetition, by case and by who was measured."""
    runs: dict[str, dict[str, list[Figures]]] = {}
    for repeat in range(-1, repeats):  # the first one warms up, and is not counted
        for size in SIZES:
            for clients in clients_at_once:
                found = one_case(servers, bare, clients, size, seconds if repeat >= 0 else 0.5)
                case = runs.setdefault(f"{clients} clients, {size} texts", {})
                for name, figures in found.items():
                    if repeat >= 0:
                        case.setdefault(name, []).append(figures)
        print(time.strftime("%H:%M:%S"), "repetition", repeat, file=sys.stderr, flush=True)
        servers = [*servers[1:], servers[0]]  # nobody is always first
    return runs


def one_case(
    servers: Sequence[Served], bare: Bare, clients: int, size: int, seconds: float
) -> dict[str, Figures]:
    """Everybody once."""
    questions = questions_of(size)
    found = {BARE: bare.run(size, seconds)}
    for server in servers:
        if server.name.startswith("budget") and clients < TARGET_CLIENTS:
            continue
        (turns, texts), used = server.turns(), server.cpu()
        seen = load(server.port, clients, seconds, questions=questions)
        used = server.cpu() - used
        if seen["faults"] or set(seen["statuses"]) != {"200"}:
            raise SystemExit(f"{server.name} failed: {seen}")
        after, more = server.turns()
        found[server.name] = {
            "texts_per_s": seen["texts"] / seen["wall_s"],
            "cpu_ms_per_text": 1000 * used / seen["texts"],
            "generator_ms_per_text": 1000 * seen["generator_cpu_s"] / seen["texts"],
            "p50_ms": seen["p50_ms"],
            "p99_ms": seen["p99_ms"],
            "turn_texts": (more - texts) / (after - turns) if after > turns else float(size),
        }
        if server.name == PGKD:
            found[BARE_TURNS] = bare.run(round(found[PGKD]["turn_texts"]), seconds)
    return found


def questions_of(size: int) -> list[list[str]]:
    """Requests of so many short texts each."""
    texts, _ = sample_texts()
    return [[texts[(i + j) % len(texts)] for j in range(size)] for i in range(len(texts))]


# --- what comes of it ---


def summarised(found: dict[str, list[Figures]]) -> dict[str, Any]:
    """Median, least and most of every figure, and the ratios that matter."""
    figures = {
        name: {key: spread([run[key] for run in runs]) for key in runs[0]}
        for name, runs in found.items()
    }
    pairs = [(PGKD, other) for other in (BARE, BARE_TURNS, APART, MINIMAL)]
    pairs += [(name, PGKD) for name in found if name.startswith("budget")]
    ratios = {f"{one} / {other}": ratio(found[one], found[other]) for one, other in pairs}
    return {"figures": figures, "ratios": ratios}


def ratio(one: list[Figures], other: list[Figures]) -> dict[str, Any]:
    """How many times as many texts, by the wall clock and by CPU time, repetition by repetition."""
    pairs = list(zip(one, other, strict=True))
    return {
        "wall": spread([a["texts_per_s"] / b["texts_per_s"] for a, b in pairs]),
        "cpu": spread([b["cpu_ms_per_text"] / a["cpu_ms_per_text"] for a, b in pairs]),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    rounded = [round(value, 4) for value in values]
    median = round(statistics.median(values), 4)
    return {"median": median, "least": min(rounded), "most": max(rounded)}


def targets(runs: dict[str, dict[str, list[Figures]]]) -> list[dict[str, Any]]:
    """What was aimed at with 64 clients, and whether it was reached."""
    found = []
    for size in SIZES:
        case = runs.get(f"{TARGET_CLIENTS} clients, {size} texts")
        if case is None:
            continue
        for one, other, least in TARGETS:
            reached = ratio(case[one], case[other])
            found.append(
                {
                    "what": f"{one} / {other}, {size} texts a request",
                    "aim": least,
                    **{clock: reached[clock]["median"] for clock in ("wall", "cpu")},
                }
            )
    return found


def markdown(report: dict[str, Any]) -> str:
    """The tables."""
    lines = [
        f"{report['machine']['cpu']}, {CORES} cores, {report['repeats']} repetitions; median "
        "[least, most]. " + report["note"],
        "",
        "| case | who | texts/s | CPU ms a text | generator's | p50 ms | p99 ms | texts a turn |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    keys = ("texts_per_s", "cpu_ms_per_text", "generator_ms_per_text", "p50_ms", "p99_ms")
    for case, found in report["cases"].items():
        for name, figures in found["figures"].items():
            cells = [_cell(figures.get(key)) for key in (*keys, "turn_texts")]
            lines.append(f"| {case} | {name} | {' | '.join(cells)} |")
    lines += ["", "| case | ratio | wall | CPU |", "| --- | --- | --- | --- |"]
    for case, found in report["cases"].items():
        for name, clocks in found["ratios"].items():
            cells = [_cell(clocks[clock]) for clock in ("wall", "cpu")]
            lines.append(f"| {case} | {name} | {' | '.join(cells)} |")
    lines += ["", "| aim | least | wall | CPU |", "| --- | --- | --- | --- |"]
    for one in report["targets"]:
        lines.append(f"| {one['what']} | {one['aim']} | {one['wall']:.2f} | {one['cpu']:.2f} |")
    return "\n".join(lines)


def _cell(found: dict[str, float] | None) -> str:
    if found is None:
        return "–"
    return f"{found['median']:.4g} [{found['least']:.4g}, {found['most']:.4g}]"


# --- servers to compare with ---


class Question(pydantic.BaseModel):
    """What the minimal handler is asked."""

    text: str | None = None
    texts: list[str] | None = None


class Prediction(pydantic.BaseModel):
    """What it answers for a text."""

    label: str
    probability: float


class Answer(pydantic.BaseModel):
    """What it answers."""

    predictions: list[Prediction]


def minimal() -> FastAPI:
    """The minimal handler; uvicorn calls this in every worker."""
    import onnxruntime
    from fastapi import FastAPI
    from safetensors.numpy import load_file
    from tokenizers import Tokenizer

    from pgkd.export.predictor import Manifest

    folder = Path(os.environ[_EXPORT])
    manifest = Manifest.read(folder)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(manifest.details["max_length"])
    tokenizer.enable_padding()
    head = load_file(folder / "head.safetensors")
    app = FastAPI()

    @app.post("/predict")
    def predict(question: Question) -> Answer:
        texts = [question.text] if question.text is not None else question.texts or []
        found = tokenizer.encode_batch(texts)
        inputs = {
            "input_ids": np.array([row.ids for row in found], dtype=np.int64),
            "attention_mask": np.array([row.attention_mask for row in found], dtype=np.int64),
        }
        [features] = session.run(None, inputs)
        scores = features @ head["weights"].T + head["bias"]
        raised = np.exp(scores - scores.max(axis=1, keepdims=True))
        rows = raised / raised.sum(axis=1, keepdims=True)
        best = rows.argmax(axis=1)
        return Answer(
            predictions=[
                Prediction(label=manifest.details["classes"][i], probability=float(row[i]))
                for i, row in zip(best, rows, strict=True)
            ]
        )

    return app


class Apart:
    """Stands for the batcher: every request is predicted by itself, in the order of arrival."""

    full = False

    def __init__(
        self, predict: Callable[[list[str]], NDArray[np.float64]], **settings: Any
    ) -> None:
        self._predict = predict
        self._thread = ThreadPoolExecutor(1)

    async def predict(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Probabilities of the texts of one request."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._predict, list(texts))

    async def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


def change_pgkd(which: str) -> None:
    """Make `pgkd serve` of this process what `which` says; its workers read this module too."""
    import pgkd.apps.server.app
    from pgkd.apps.server.batching import Batcher

    if which == "apart":
        setattr(pgkd.apps.server.app, "Batcher", Apart)  # noqa: B010  (mypy knows it for a class)
    elif which.startswith("budget="):
        settings = Batcher.__init__.__kwdefaults__
        assert settings is not None
        settings["budget"] = int(which.removeprefix("budget="))


def serve_rival(which: str, export: str, port: int) -> None:
    """Serve an export as `which` says, in this process and its workers."""
    if which == "minimal":
        import uvicorn

        os.environ[_EXPORT] = export
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        uvicorn.run(
            "server:minimal", factory=True, port=port, workers=CORES, app_dir=str(HERE),
            log_level="warning", access_log=False,
        )  # fmt: skip
    else:
        from pgkd.apps.server.process import Limits, serve

        serve(Path(export), port=port, workers=CORES, limits=Limits(waiting=_ROOM))


# --- for minutes ---


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


if sys.argv[1:2] == [RIVAL]:
    change_pgkd(sys.argv[2])  # not below: workers of `pgkd serve` read this module, too

if __name__ == "__main__":
    if sys.argv[1:2] == [RIVAL]:
        serve_rival(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
