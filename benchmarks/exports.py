"""Of exports: how does the cost of a prediction grow, and what do 8 bits change?

`growth`, in CPU time on one thread, all cases in turns, medians of several repetitions:

- classes: 4 to 400, on texts of 20 tokens
- tokens: 10 to 500 a text, with 20 classes; the students read 512, by default an encoder reads 128
- texts: files of texts of 20 tokens through `pgkd predict`, each in a process of its own: its CPU
  seconds from start to end, and the peak of its memory

The students are heads with made labels on the pretrained encoder and token vectors: what they
answer does not matter for what it costs.

`int8`, on rows that no student was trained on: the exports of one run a data set, the int8 graph as
it is when each weight is rounded by itself, and onnxruntime's own dynamic quantisation of the same
graph (one scale for a whole batch; weights column by column, in 8 and in 7 bits). Every text is
classified one by one and 16 at a time. Data sets besides the helpdesk rows give 1,000 rows to train
on, and 1,000 of the test file; nothing is chosen by them.

    python benchmarks/exports.py growth --texts 100 1000 10000     # minutes sooner
    python benchmarks/exports.py int8 --data-root ../shared/data
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
from serving import COLUMNS, FLOAT, HELPDESK, INT8, STATIC, cpu_ms, machine, one_thread, summary

import pgkd
from pgkd.export import quantize as quantizing
from pgkd.export.export import compare, export
from pgkd.export.graph import encoder_graph
from pgkd.export.predictor import Manifest, save_model
from pgkd.export.quantize import quantize, round_weights
from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import read_rows
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.evaluation.teacher import draw_rows
from pgkd.tasks.classification.students.base import most_probable
from pgkd.tasks.classification.students.encoder import EncoderStudent
from pgkd.tasks.classification.students.static import StaticStudent
from pgkd.tasks.classification.task import Classification

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.export.quantize import Floats
    from pgkd.tasks.classification.students.base import Student

    Rows = tuple[list[str], list[str]]
    Cases = dict[tuple[str, int], Callable[[], dict[str, float]]]
    Figures = dict[str, dict[int, dict[str, dict[str, float]]]]

RESULTS = Path(__file__).parent / "results"
STUDENTS = (INT8, FLOAT, STATIC)
CLASSES, CLASSES_ELSE = (4, 20, 77, 150, 400), 20
TOKENS, TOKENS_ELSE = (10, 20, 50, 100, 250, 500), 20
TEXTS = (100, 1_000, 10_000, 100_000, 1_000_000)
MOST_OF_AN_ENCODER = 10_000  # texts; what is beyond is for the static student
MAX_LENGTH = 512
BATCH = 32  # texts of a call
ROWS_OF_A_BATCH = 16  # int8
DIFFERENT = 1_000  # texts of a file: they come again and again, for exports remember none
# A process that is bound to one core, and tells its peak: that of `wait4` would hold what its
# parent held when it was forked.
COMMAND = """
import json, os, re, sys, time
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from pgkd.apps.cli import app
app(standalone_mode=False)
with open("/proc/self/status") as file:
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1]) * 1024 / 1e6
print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak}))
"""


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parts = parser.add_subparsers(dest="part", required=True)
    add = parts.add_parser("growth").add_argument
    add("--repeats", type=int, default=5, help="of calls")
    add("--classes", type=int, nargs="*", default=CLASSES)
    add("--tokens", type=int, nargs="*", default=TOKENS, help="of a text")
    add("--texts", type=int, nargs="*", default=TEXTS, help="of a file")
    add("--file-repeats", type=int, default=3)
    add("--out", type=Path, help="JSON to write")
    add = parts.add_parser("int8").add_argument
    add("--data-root", type=Path, default=Path("../shared/data"))
    add("--data", nargs="*", default=["banking77", "agnews", "trec6"])
    add("--rows", type=int, default=1000, help="to train on, and to judge on")
    add("--out", type=Path, help="JSON to write")
    args = parser.parse_args()
    {"growth": growth, "int8": int8}[args.part](args)


def growth(args: argparse.Namespace) -> None:
    """Make the students, measure, print Markdown and write the JSON."""
    one_thread()
    with TemporaryDirectory() as name:
        folder = Path(name)
        students = make_students(folder, sorted({*args.classes, CLASSES_ELSE}))
        draw = Draw(folder / f"{INT8} {CLASSES_ELSE}" / "tokenizer.json")
        report = {
            "machine": machine(),
            "environment": environment(),
            "batch": BATCH,
            "max_length": MAX_LENGTH,
            "else": {"classes": CLASSES_ELSE, "tokens": TOKENS_ELSE},
            "classes": interleaved(by_classes(students, args.classes, draw), args.repeats),
            "tokens": interleaved(by_tokens(students, args.tokens, draw), args.repeats),
            "texts": interleaved(by_texts(students, args.texts, draw, folder), args.file_repeats),
        }
    (args.out or RESULTS / "growth.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8"
    )
    print(markdown(report))


def make_students(folder: Path, classes: Sequence[int]) -> dict[tuple[str, int], Path]:
    """Exports of each kind of student for each number of classes; labels go round in turn."""
    rows, _ = read_rows(HELPDESK / "train.csv", *COLUMNS)
    made: dict[tuple[str, int], Path] = {}
    graphs: dict[str, Any] = {}
    for n in classes:
        names = [f"class {i:03}" for i in range(n)]
        texts = list(islice(cycle(rows), max(n, len(rows))))
        labels = list(islice(cycle(names), len(texts)))
        encoder = EncoderStudent(names, recipe="frozen", max_length=MAX_LENGTH).fit(texts, labels)
        static = StaticStudent(names, max_length=MAX_LENGTH).fit(texts, labels)
        if not graphs:  # the encoder is the pretrained one for all of them
            graphs[FLOAT] = encoder_graph(encoder.encoder)
            graphs[INT8] = quantize(graphs[FLOAT], encoder.encoder.tokens(rows))
        path = made[STATIC, n] = folder / f"{STATIC} {n}"
        static.save(path)
        Manifest("plain", "classification", {"classes": static.classes}).write(path)
        told = {"classes": encoder.classes, "max_length": encoder.encoder.max_length}
        manifests = {
            INT8: Manifest("onnx-int8", "classification", told),
            FLOAT: Manifest("onnx", "classification", told),
        }
        for name, manifest in manifests.items():
            path = made[name, n] = folder / f"{name} {n}"
            path.mkdir()
            save_model(graphs[name], encoder.encoder.tokenizer, encoder.head, path)
            manifest.write(path)
        say(f"students for {n} classes")
    return made


class Draw:
    """Draws texts of so many tokens of the encoder, made of the words of the test rows."""

    def __init__(self, tokenizer: Path) -> None:
        from tokenizers import Tokenizer

        made = Tokenizer.from_file(str(tokenizer))
        made.no_padding()
        rows, _ = read_rows(HELPDESK / "test.csv", *COLUMNS)
        self._rows = [row.split() for row in rows]
        # The tokenizer splits at blanks first: a text has as many tokens as its words together.
        words = {word for row in self._rows for word in row}
        self._lengths = {w: len(made.encode(w, add_special_tokens=False).ids) for w in words}

    def __call__(self, n: int, tokens: int) -> list[str]:
        """Texts of that many tokens, the two around each included; the last word may exceed it."""
        rng = random.Random(tokens)
        texts = []
        for _ in range(n):
            words, length = [], 2
            stream = (word for _ in count() for word in rng.choice(self._rows))
            while length < tokens:
                words.append(next(stream))
                length += self._lengths[words[-1]]
            texts.append(" ".join(words))
        return texts


def by_classes(students: dict[tuple[str, int], Path], classes: Sequence[int], draw: Draw) -> Cases:
    """Calls of students that differ in their classes."""
    texts = draw(BATCH, TOKENS_ELSE)
    return {
        (name, n): partial(call, pgkd.load(students[name, n]).predict, texts)
        for n in classes
        for name in STUDENTS
    }


def by_tokens(students: dict[tuple[str, int], Path], tokens: Sequence[int], draw: Draw) -> Cases:
    """Calls on texts that differ in their length."""
    engines = {name: pgkd.load(students[name, CLASSES_ELSE]).predict for name in STUDENTS}
    drawn = {n: draw(BATCH, n) for n in tokens}
    return {(name, n): partial(call, engines[name], drawn[n]) for n in tokens for name in STUDENTS}


def by_texts(
    students: dict[tuple[str, int], Path], sizes: Sequence[int], draw: Draw, folder: Path
) -> Cases:
    """Processes of `pgkd predict` on files that differ in their size."""
    cases: Cases = {}
    texts = draw(DIFFERENT, TOKENS_ELSE)
    for n in sizes:
        path = folder / f"{n}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow(("text",))
            table.writerows((text,) for text in islice(cycle(texts), n))
        for name in STUDENTS if n <= MOST_OF_AN_ENCODER else (STATIC,):
            cases[name, n] = partial(classify, students[name, CLASSES_ELSE], path, n)
    return cases


def call(engine: Callable[[Sequence[str]], object], texts: Sequence[str]) -> dict[str, float]:
    """One call."""
    spent = cpu_ms(engine, texts)
    return {"cpu_ms": spent / len(texts), "texts_per_cpu_s": 1000 * len(texts) / spent}


def classify(model: Path, data: Path, n: int) -> dict[str, float]:
    """One process, from its start to its end."""
    out = data.with_suffix(".answers.csv")
    command = [sys.executable, "-c", COMMAND, "predict", str(model)]
    command += ["--data", str(data), "--out", str(out)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return {**found, "texts_per_cpu_s": n / found["cpu_s"]}


def interleaved(cases: Cases, repeats: int) -> Figures:
    """Every case once, then every case again; the first time warms up, and is not counted."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {key: [] for key in cases}
    for repeat in range(-1, repeats):
        for key, case in cases.items():
            figures = case()
            if repeat >= 0:
                found[key].append(figures)
        say(f"repetition {repeat} of {repeats}")
    told: Figures = {}
    for (name, n), runs in found.items():
        told.setdefault(name, {})[n] = {x: summary([run[x] for run in runs]) for x in runs[0]}
    return told


def say(what: str) -> None:
    """How far it is, on standard error."""
    print(time.strftime("%H:%M:%S"), what, file=sys.stderr, flush=True)


def markdown(report: dict[str, Any]) -> str:
    """A table for each thing that grows."""
    lines = [f"One thread of {report['machine']['cpu']}; median [least, most]."]
    for axis, figure, title in (
        ("classes", "cpu_ms", f"CPU ms a text, by classes; {TOKENS_ELSE} tokens"),
        ("tokens", "cpu_ms", f"CPU ms a text, by its tokens; {CLASSES_ELSE} classes"),
        ("texts", "cpu_s", "CPU seconds of `pgkd predict`, by the texts of a file"),
        ("texts", "texts_per_cpu_s", "Texts a CPU second, the start of the process included"),
        ("texts", "peak_mb", "Peak memory, MB"),
    ):
        sizes = sorted({n for found in report[axis].values() for n in found})
        lines += ["", f"| {title} | {' | '.join(f'{n:,}' for n in sizes)} |"]
        lines.append("| --- |" + " --- |" * len(sizes))
        for name, found in report[axis].items():
            cells = [_cell(found[n][figure]) if n in found else "–" for n in sizes]
            lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(found: dict[str, float]) -> str:
    return "{median:.4g} [{least:.4g}, {most:.4g}]".format_map(found)


def int8(args: argparse.Namespace) -> None:
    """Make a run of each data set, compare, print and write the JSON."""
    parts = {
        "helpdesk": [read_rows(HELPDESK / f"{n}.csv", "text", "label") for n in ("train", "test")],
        **{name: drawn(args.data_root / name, args.rows) for name in args.data},
    }
    found = []
    for name, (train, test) in parts.items():
        with TemporaryDirectory() as folder:
            found.append({"data": name, **judge(Path(folder), train, test)})
        print(time.strftime("%H:%M:%S"), json.dumps(found[-1]), flush=True)
    report = {
        "rows": args.rows,
        "batch": ROWS_OF_A_BATCH,
        "environment": environment(),
        "data": found,
    }
    (args.out or RESULTS / "int8.json").write_text(
        json.dumps(report, indent=2) + "\n", encoding="utf-8"
    )


def drawn(folder: Path, n: int) -> list[Rows]:
    """Rows of the training file, and of the test file."""
    classes = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    found = []
    for split in ("train", "test"):
        texts, labels = read_rows(folder / f"{split}.csv.gz", "text", "label", classes=classes)
        indices = draw_rows(len(texts), min(n, len(texts)), 0)
        found.append(([texts[i] for i in indices], [labels[i] for i in indices]))
    return found


def judge(folder: Path, train: Rows, test: Rows) -> dict[str, Any]:
    """The verdict of the gate, and every graph on the test rows."""
    path = folder / "run"
    pgkd.Distiller(
        teacher="fake", student={"kind": "encoder"}, rounds=0, out=str(path),
        data={"on_conflict": "drop"},
    ).fit(*train)  # fmt: skip
    run = pgkd.RunFolder.open(path)
    gate = [found.to_json() | {"path": None} for found in export(run, "onnx-int8", folder / "gate")]
    export(run, "onnx", folder)
    student = run.student("best")
    folders = {"onnx": folder / "onnx", "onnx-int8": in_8_bits(folder / "onnx", student, train[0])}
    with patch.object(quantizing, "round_weights", rounded_plainly):
        plain = in_8_bits(folder / "onnx", student, train[0], "plain")
    folders["onnx-int8, each weight rounded by itself"] = plain
    for bits in (8, 7):
        folders[f"onnxruntime dynamic, {bits} bits"] = dynamic(folder / "onnx", bits)
    answers = student.predict_proba(test[0])
    graphs = {
        name: figures(place, *test, answers, student.classes) for name, place in folders.items()
    }
    return {"gate": gate, "graphs": graphs}


def rounded_plainly(weight: Floats, moment: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """`round_weights` as if no input told of another."""
    return round_weights(weight, np.diag(np.diag(moment)))


def in_8_bits(
    folder: Path, student: Student, texts: Sequence[str], name: str = "onnx-int8"
) -> Path:
    """The int8 graph of an export, whatever the gate says of it; scales are fixed by `texts`."""
    import onnx

    new = folder.with_name(name)
    shutil.copytree(folder, new)
    assert isinstance(student, EncoderStudent)
    graph = quantize(onnx.load(folder / "model.onnx"), student.encoder.tokens(texts))
    (new / "model.onnx").write_bytes(graph.SerializeToString())
    replace(Manifest.read(folder), format="onnx-int8").write(new)
    return new


def dynamic(folder: Path, bits: int) -> Path:
    """A copy of an export whose graph onnxruntime quantised."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    new = folder.with_name(f"dynamic-{bits}")
    shutil.copytree(folder, new)
    quantize_dynamic(
        folder / "model.onnx",
        new / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=bits == 7,
        extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
    )
    return new


def parity(
    before: NDArray[np.float64], after: NDArray[np.float64], labels: Sequence[str],
    classes: Sequence[str],
) -> dict[str, Any]:  # fmt: skip
    """How probabilities of the same texts compare."""
    first, second = (most_probable(each, classes) for each in (before, after))
    rows = [LabelledText("", label) for label in labels]
    found = compare(Classification(), first, second, rows).to_json()
    return {**found, "difference": float(np.abs(before - after).max())}


def figures(
    folder: Path,
    texts: Sequence[str],
    labels: Sequence[str],
    student: NDArray[np.float64],
    classes: Sequence[str],
) -> dict[str, Any]:
    """Against the student; and one by one against batches of texts as they come."""
    model = pgkd.load(folder)
    alone = np.concatenate([model.predict_proba([text]) for text in texts])
    starts = range(0, len(texts), ROWS_OF_A_BATCH)
    beside = np.concatenate([model.predict_proba(texts[i : i + ROWS_OF_A_BATCH]) for i in starts])
    return {
        **parity(student, beside, labels, classes),
        "mean_difference": float(np.abs(student - beside).sum(axis=1).mean() / 2),
        "labels_that_depend_on_the_batch": int((alone.argmax(1) != beside.argmax(1)).sum()),
        "largest_difference_by_batch": float(np.abs(alone - beside).max()),
    }


if __name__ == "__main__":
    main()
