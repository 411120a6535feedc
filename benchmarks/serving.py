"""What does a prediction cost, by the ways of serving the same student?

A run on the helpdesk rows is made and exported. Every engine then classifies the same 64 texts, at
once and one by one, short (about 20 tokens) and long (about 120): one thread, CPU time of the
process, engines interleaved, the median of several repetitions with its spread. Start-up and memory
are of a process of their own each.

    python benchmarks/serving.py
    python benchmarks/serving.py --teacher      # all of it
    python benchmarks/serving.py --dollars      # what a million texts cost, of what was measured

A classifier of transformers has the head that `BertForSequenceClassification` has, on the same
encoder: what it answers does not matter for what it costs.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

import pgkd
from pgkd.encoders.transformer import mean_pool
from pgkd.export.export import compare, export
from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import read_rows
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.prompts.labelling import label_request
from pgkd.tasks.classification.task import Classification
from pgkd.usage.estimate import estimate
from pgkd.usage.prices import ListedPrices

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgkd.tasks.classification.students.encoder import EncoderStudent

    Engine = Callable[[Sequence[str]], object]

HERE = Path(__file__).parent
HELPDESK = HERE.parent / "examples" / "helpdesk"
COLUMNS = ("text", "label")
TEXTS = 64
APIS = (
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4.1-mini"),
    ("anthropic", "claude-haiku-4-5"),
)
MILLION = 1_000_000
PADDED = "torch, padded to 512"
TEACHER = "local teacher"
INT8, FLOAT, STATIC, LINEAR = "pgkd int8", "pgkd fp32", "pgkd static", "pgkd linear (TF-IDF)"
EAGER, PIPELINE, LOOP = "torch, dynamic padding", "HF pipeline", "onnxruntime, plain loop"
TARGETS = (
    ("HF pipeline / int8, 64 short", 5.0),
    ("torch / int8, 64 short", 3.5),
    ("torch padded to 512 / int8, 64 short", 60.0),
    ("torch / int8, one short text", 4.5),
    ("int8 / static, 64 short", 30.0),
    ("local teacher / int8, a short text", 500.0),
)
STARTS = {
    INT8: "import pgkd; model = pgkd.load(r'{exports}/onnx-int8'); predict = model.predict",
    FLOAT: "import pgkd; model = pgkd.load(r'{exports}/onnx'); predict = model.predict",
    STATIC: "import pgkd; model = pgkd.load(r'{static}/plain'); predict = model.predict",
    LINEAR: "import pgkd; model = pgkd.load(r'{linear}/plain'); predict = model.predict",
    PIPELINE: (
        "import transformers; model = transformers.pipeline('text-classification', "
        "r'{exports}/huggingface'); predict = lambda t: model(t, truncation=True)"
    ),
    "pgkd student (torch)": (
        "import pgkd; from pathlib import Path; "
        "model = pgkd.load_student(Path(r'{run}/students/best')); predict = model.predict"
    ),
}
PROBE = """
import json, os, sys, time
def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
before = {before}
imported = time.process_time(), memory()
{code}
loaded = time.process_time(), memory()
predict(json.loads(sys.argv[1]))
print(json.dumps({{"import_s": imported[0], "import_mb": imported[1], "load_s": loaded[0],
                  "load_mb": loaded[1], "peak_mb": memory()}}))
"""
IMPORTS = {
    PIPELINE: "__import__('transformers').pipeline",
    "pgkd student (torch)": "[__import__(name) for name in ('pgkd', 'torch', 'transformers')]",
    STATIC: "__import__('pgkd').load",
    LINEAR: "__import__('pgkd').load",
}
SERVER = "[__import__('pgkd').load, __import__('onnxruntime'), __import__('tokenizers')]"


def main() -> None:
    """Make a run, measure, print Markdown and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--repeats", type=int, default=16)
    add("--teacher", action="store_true", help="time the local teacher too, on a few texts")
    add("--teacher-texts", type=int, default=8)
    add("--dollars", action="store_true", help="of the times in --out; nothing is measured")
    add("--core-hour", type=float, default=0.0513, help="US dollars an hour of a core")
    add("--out", type=Path, default=HERE / "results" / "serving.json", help="JSON to write")
    args = parser.parse_args()
    if args.dollars:
        dollars(json.loads(args.out.read_text(encoding="utf-8"))["times"], args.core_hour)
        return
    one_thread()
    texts, labels = read_rows(HELPDESK / "train.csv", "text", "label")
    with TemporaryDirectory() as name:
        places = make_runs(Path(name), texts, labels)
        short, long = sample_texts()
        engines = make_engines(places)
        cases = {"short": short, "long": long}
        times = measure(engines, cases, args.repeats)
        if args.teacher:
            times[TEACHER] = teacher_times(short[: args.teacher_texts], sorted(set(labels)))
        report = {
            "machine": machine(),
            "environment": environment(),
            "repeats": args.repeats,
            "texts": TEXTS,
            "tokens": {name: mean_tokens(places, found) for name, found in cases.items()},
            "times": times,
            "ratios": ratios(times),
            "accuracy": {"helpdesk": accuracy(places, *read_rows(HELPDESK / "test.csv", *COLUMNS))},
            "starts": {name: start(name, code, places, short) for name, code in STARTS.items()},
            "bytes": sizes(places),
        }
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(markdown(report))


def one_thread() -> None:
    """Every library on one thread; where others share the cores, only CPU time compares."""
    import torch
    from threadpoolctl import threadpool_limits

    torch.set_num_threads(1)
    threadpool_limits(1)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that are started


def make_runs(folder: Path, texts: Sequence[str], labels: Sequence[str]) -> dict[str, Path]:
    """A run of each kind of student, without a teacher, and the exports of each."""
    places: dict[str, Path] = {}
    for kind in ("encoder", "static", "linear"):
        run = folder / kind
        pgkd.Distiller(teacher="fake", student={"kind": kind}, rounds=0, out=str(run)).fit(
            list(texts), list(labels)
        )
        places[kind] = run / "export"
        export(pgkd.RunFolder.open(run), "all", places[kind])
    return {"run": folder / "encoder", "exports": places.pop("encoder"), **places}


def sample_texts() -> tuple[list[str], list[str]]:
    """64 short texts, and 64 long ones of several texts each; both drawn from the test rows."""
    with (HELPDESK / "test.csv").open(encoding="utf-8", newline="") as file:
        rows = [row["text"] for row in csv.DictReader(file)]
    rng = random.Random(0)

    def joined(least: int, most: int) -> str:
        words: list[str] = []
        wanted = rng.randint(least, most)
        while len(words) < wanted:
            words += rng.choice(rows).split()
        return " ".join(words[:wanted])

    return [joined(8, 24) for _ in range(TEXTS)], [joined(70, 120) for _ in range(TEXTS)]


def mean_tokens(places: dict[str, Path], texts: Sequence[str]) -> float:
    """Mean length of texts in tokens of the encoder."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(places["exports"] / "onnx/tokenizer.json"))
    tokenizer.no_truncation()
    return round(float(np.mean([len(tokenizer.encode(text).ids) for text in texts])), 1)


def make_engines(places: dict[str, Path]) -> dict[str, Engine]:
    """Every way to classify texts, each loaded and ready."""
    student: Any = pgkd.RunFolder.open(places["run"]).student("best")
    exports = places["exports"]
    return {
        PIPELINE: pipeline(student),
        EAGER: torch_engine(student, "longest"),
        PADDED: torch_engine(student, "max_length"),
        LOOP: onnx_loop(exports / "onnx", student),
        FLOAT: pgkd.load(exports / "onnx").predict,
        INT8: pgkd.load(exports / "onnx-int8").predict,
        STATIC: pgkd.load(places["static"] / "plain").predict,
        LINEAR: pgkd.load(places["linear"] / "plain").predict,
    }


def pipeline(student: EncoderStudent) -> Engine:
    """`pipeline("text-classification")` with a classifier on the same encoder."""
    import transformers

    config = transformers.BertConfig.from_dict(student.encoder.model.config.to_dict())
    config.num_labels = len(student.classes)
    model = transformers.BertForSequenceClassification(config).eval()
    made = transformers.pipeline(
        "text-classification", model=model, tokenizer=student.encoder.tokenizer, device="cpu"
    )
    return lambda texts: made(list(texts), batch_size=TEXTS, truncation=True, max_length=128)


def torch_engine(student: EncoderStudent, padding: str) -> Engine:
    """The encoder in torch as most people call it: one batch, in the order given."""
    import torch

    model, tokenizer = student.encoder.model, student.encoder.tokenizer
    length = 128 if padding == "longest" else 512

    def predict(texts: Sequence[str]) -> object:
        found = tokenizer(
            list(texts), padding=padding, truncation=True, max_length=length, return_tensors="pt"
        )
        with torch.inference_mode():
            pooled = mean_pool(model, found["input_ids"], found["attention_mask"])
        return student.head.predict_proba(pooled.double().numpy())

    return predict


def onnx_loop(folder: Path, student: EncoderStudent) -> Engine:
    """The float32 graph as one batch, in the order given."""
    import onnxruntime
    from tokenizers import Tokenizer

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(128)
    tokenizer.enable_padding()

    def predict(texts: Sequence[str]) -> object:
        found = tokenizer.encode_batch(list(texts))
        inputs = np.array([row.ids for row in found], dtype=np.int64)
        mask = np.array([row.attention_mask for row in found], dtype=np.int64)
        [features] = session.run(None, {"input_ids": inputs, "attention_mask": mask})
        return student.head.predict_proba(features)

    return predict


def measure(
    engines: dict[str, Engine], cases: dict[str, list[str]], repeats: int
) -> dict[str, dict[str, Any]]:
    """CPU milliseconds of each engine: of 64 texts at once, and of each text by itself."""
    spent: dict[tuple[str, str], list[float]] = {}
    for repeat in range(-1, repeats):  # the first one warms up, and is not counted
        for case, texts in cases.items():
            for name, engine in engines.items():
                slow = name == PADDED
                if slow and (repeat > 1 or case == "long"):
                    continue  # it costs the same, whatever the text
                batch = [cpu_ms(engine, texts)]
                step = 16 if slow else 4 if case == "long" else 1
                singles = [cpu_ms(engine, [text]) for text in texts[::step]]
                if repeat >= 0:
                    spent.setdefault((name, case), []).extend(batch)
                    spent.setdefault((name, f"{case}, one"), []).extend(singles)
        print(time.strftime("%H:%M:%S"), "repetition", repeat, file=sys.stderr, flush=True)
    found: dict[str, dict[str, Any]] = {}
    for (name, case), times in spent.items():
        found.setdefault(name, {})[case] = summary(times)
    return found


def cpu_ms(engine: Engine, texts: Sequence[str]) -> float:
    """CPU milliseconds of one call."""
    began = time.process_time()
    engine(texts)
    return (time.process_time() - began) * 1000


def summary(times: Sequence[float]) -> dict[str, float]:
    """Median, spread and 99th percentile of some times."""
    return {
        "n": len(times),
        "median": round(statistics.median(times), 4),
        "least": round(min(times), 4),
        "most": round(max(times), 4),
        "p99": round(float(np.percentile(times, 99)), 4),
    }


def teacher_times(texts: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """CPU milliseconds of the local teacher for one text; the class list is in its cache."""
    from pgkd.tasks.classification.prompts.labelling import label_texts
    from pgkd.teachers.local import LocalTeacher

    taxonomy = Taxonomy.from_names(classes)
    with LocalTeacher(threads=1) as teacher:

        def engine(some: Sequence[str]) -> object:
            return label_texts(teacher, some, taxonomy, calibrate=False)

        engine(["A text to load the model and read the class list."])
        return {"short, one": summary([cpu_ms(engine, [text]) for text in texts])}


def ratios(times: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """How many times as much each costs, beside what was aimed at."""

    def median(name: str, case: str) -> float:
        return float(times[name][case]["median"]) if name in times else float("nan")

    int8 = median(INT8, "short")
    found = (
        median(PIPELINE, "short") / int8,
        median(EAGER, "short") / int8,
        median(PADDED, "short") / int8,
        median(EAGER, "short, one") / median(INT8, "short, one"),
        int8 / median(STATIC, "short"),
        median(TEACHER, "short, one") / (int8 / TEXTS),
    )
    return {
        name: {"ratio": round(ratio, 2), "target": target, "met": ratio >= target}
        for (name, target), ratio in zip(TARGETS, found, strict=True)
        if not np.isnan(ratio)
    }


def accuracy(
    places: dict[str, Path], texts: Sequence[str], labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Each export against the student it was made of, on test rows."""
    student = pgkd.RunFolder.open(places["run"]).student("best")
    answers = student.answers(texts)
    rows = [LabelledText(*row) for row in zip(texts, labels, strict=True)]
    found = {}
    for name in ("onnx", "onnx-int8"):
        folder = places["exports"] / name
        if folder.is_dir():
            exported = pgkd.load(folder)
            parity = compare(Classification(), answers, exported.answers(texts), rows)
            found[name] = parity.to_json()
    for kind in ("static", "linear"):
        if kind in places:
            other = pgkd.load(places[kind] / "plain").predict(texts)
            right = np.mean([a == b for a, b in zip(other, labels, strict=True)])
            found[kind] = {"n": len(labels), "export": round(float(right), 6)}
    return found


def start(name: str, code: str, places: dict[str, Path], texts: Sequence[str]) -> dict[str, float]:
    """CPU seconds and resident megabytes of a process that imports, loads and predicts."""
    before = IMPORTS.get(name, SERVER)
    program = PROBE.format(before=before, code=code.format(**places))
    command = [sys.executable, "-c", program, json.dumps(list(texts))]
    tries = []
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        tries.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: round(statistics.median(t[key] for t in tries), 3) for key in tries[0]}


def sizes(places: dict[str, Path]) -> dict[str, int]:
    """Bytes on disk of every export."""
    folders = [*places["exports"].iterdir(), places["static"] / "plain", places["linear"] / "plain"]
    return {
        f"{folder.parent.parent.name}/{folder.name}": sum(
            path.stat().st_size for path in folder.rglob("*") if path.is_file()
        )
        for folder in sorted(folders)
    }


def machine() -> dict[str, Any]:
    """The processor, as far as it tells, and what of it matters for 8 bits."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    known = {line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in lines}
    flags = known.get("flags", "").split()
    wanted = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")
    return {
        "cpu": known.get("model name"),
        "cores": os.cpu_count(),
        "load": os.getloadavg(),
        "has": [flag for flag in wanted if flag in flags],
    }


def markdown(report: dict[str, Any]) -> str:
    """The tables."""
    cases = ("short", "long", "short, one", "long, one")
    lines = [
        f"CPU milliseconds on one thread, {report['machine']['cpu']}, {report['machine']['has']}; "
        f"median [least, most] of {report['repeats']}; of one text p50 / p99. Short texts have "
        f"{report['tokens']['short']} tokens, long ones {report['tokens']['long']}.",
        "",
        "| engine | 64 short | 64 long | one short | one long |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, found in report["times"].items():
        cells = [_cell(found.get(case), one="one" in case) for case in cases]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines += ["", "| ratio | measured | aim |", "| --- | --- | --- |"]
    for name, ratio in report["ratios"].items():
        met = "met" if ratio["met"] else "missed"
        lines.append(f"| {name} | {ratio['ratio']:.1f} | {ratio['target']:g}, {met} |")
    lines += ["", "| process | import, s | import, MB | and load, s | MB | after 64 texts, MB |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for name, s in report["starts"].items():
        lines.append(
            f"| {name} | {s['import_s']:.2f} | {s['import_mb']:.0f} | {s['load_s']:.2f} | "
            f"{s['load_mb']:.0f} | {s['peak_mb']:.0f} |"
        )
    lines += ["", "| data | export | rows | accuracy | student's | same answers |"]
    lines.append("| --- | --- | --- | --- | --- | --- |")
    for data, found in report["accuracy"].items():
        for name, p in found.items():
            same = f"{p['student']:.4f} | {p['same']:.2%}" if "same" in p else "– | –"
            lines.append(f"| {data} | {name} | {p['n']} | {p['export']:.4f} | {same} |")
    lines += ["", *(f"- {name}: {size / 1e6:.1f} MB" for name, size in report["bytes"].items())]
    return "\n".join(lines)


def _cell(found: dict[str, float] | None, *, one: bool) -> str:
    if found is None:
        return "–"
    if one:
        return f"{found['median']:.2f} / {found['p99']:.2f}"
    return f"{found['median']:.1f} [{found['least']:.1f}, {found['most']:.1f}]"


def dollars(times: dict[str, dict[str, Any]], core_hour: float) -> None:
    """Print what a million texts cost.

    CPU time at the price of a core's hour; of an API, what pgkd's own labelling requests
    (zero-shot, 20 classes) come to by its estimate, at the prices of the package genai-prices,
    without discounts for batches or caches.
    """
    print("\n| who | a million short texts | a million long texts |\n|---|---|---|")
    for name, found in times.items():
        batches = [found.get(case, {}).get("median") for case in ("short", "long")]
        each = [None if ms is None else ms / TEXTS for ms in batches]
        if name == TEACHER:
            each[0] = found["short, one"]["median"]
        row(name, [None if ms is None else ms / 1000 / 3600 * core_hour for ms in each])
    _, labels = read_rows(HELPDESK / "train.csv", *COLUMNS)
    taxonomy = Taxonomy.from_names(sorted(set(labels)))
    for biller, model in APIS:
        row(
            f"{model}, by its API",
            [api(biller, model, texts, taxonomy) for texts in sample_texts()],
        )
    print(f"\nA core's hour: ${core_hour}. Prices of tokens: {ListedPrices('openai').source}.")


def api(biller: str, model: str, texts: Sequence[str], taxonomy: Taxonomy) -> float | None:
    """US dollars of the mean request."""
    requests = ((label_request(text, taxonomy), 0) for text in texts)
    usd = estimate(requests, texts, ListedPrices(biller), model).usd
    return None if usd is None else float(usd) / len(texts)


def row(name: str, dollars: Sequence[float | None]) -> None:
    """A line of the table, from the dollars of one text."""
    cells = ("–" if each is None else f"${MILLION * each:.3g}" for each in dollars)
    print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
