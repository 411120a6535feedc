"""How does the cost of a prediction grow with classes, tokens of a text and number of texts?

- classes: 4 to 400, on texts of 20 tokens
- tokens: 10 to 500 a text, with 20 classes; the students read 512, by default an encoder reads 128
- texts: files of texts of 20 tokens through `pgkd predict`, each in a process of its own: its CPU
  seconds from start to end, and the peak of its memory

One thread, CPU time, all cases in turns, medians of several repetitions with their spread. The
students are heads with made labels on the pretrained encoder and token vectors: what they answer
does not matter for what it costs. Tokens are those of the encoder. No teacher is needed.

    python benchmarks/growth.py
    python benchmarks/growth.py --texts 100 1000 10000     # minutes sooner
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import subprocess
import sys
import time
from functools import partial
from itertools import count, cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pgkd
from pgkd.distill.provenance import environment
from pgkd.serving.graph import encoder_graph
from pgkd.serving.manifest import Manifest
from pgkd.serving.onnx_model import save_model
from pgkd.serving.quantize import quantize
from pgkd.student.encoder import EncoderStudent
from pgkd.student.static import StaticStudent
from pgkd.task import read_rows
from serving import COLUMNS, FLOAT, HELPDESK, INT8, STATIC, cpu_ms, machine, one_thread, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Cases = dict[tuple[str, int], Callable[[], dict[str, float]]]
    Figures = dict[str, dict[int, dict[str, dict[str, float]]]]

HERE = Path(__file__).parent
STUDENTS = (INT8, FLOAT, STATIC)
CLASSES, CLASSES_ELSE = (4, 20, 77, 150, 400), 20
TOKENS, TOKENS_ELSE = (10, 20, 50, 100, 250, 500), 20
TEXTS = (100, 1_000, 10_000, 100_000, 1_000_000)
MOST_OF_AN_ENCODER = 10_000  # texts; what is beyond is for the static student
MAX_LENGTH = 512
BATCH = 32  # texts of a call
DIFFERENT = 1_000  # texts of a file: they come again and again, for exports remember none
# A process that is bound to one core, and tells its peak: that of `wait4` would hold what its
# parent held when it was forked.
COMMAND = """
import json, os, re, sys, time
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
from pgkd.cli import app
app(standalone_mode=False)
with open("/proc/self/status") as file:
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", file.read())[1]) * 1024 / 1e6
print(json.dumps({"cpu_s": time.process_time(), "peak_mb": peak}))
"""


def main() -> None:
    """Make the students, measure, print Markdown and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--repeats", type=int, default=5, help="of calls")
    add("--classes", type=int, nargs="*", default=CLASSES)
    add("--tokens", type=int, nargs="*", default=TOKENS, help="of a text")
    add("--texts", type=int, nargs="*", default=TEXTS, help="of a file")
    add("--file-repeats", type=int, default=3)
    add("--out", type=Path, default=HERE / "results" / "growth.json", help="JSON to write")
    args = parser.parse_args()
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
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
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
        Manifest("plain", static.classes).write(path)
        told = (encoder.classes, encoder.encoder.max_length)
        manifests = {INT8: Manifest("onnx-int8", *told), FLOAT: Manifest("onnx", *told)}
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


if __name__ == "__main__":
    main()
