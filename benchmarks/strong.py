"""What is a teacher worth at few labels? pgkd's defaults against an OpenAI-compatible endpoint.

For every data set, number of rows and seed: the student of round 0, and the one that the run keeps.
The figure of merit is the share of the gap closed: (accuracy with the teacher - round 0) / (round 0
with 1,000 rows - round 0), the same for macro F1. A teacher is a command that prints its base URL
and then serves: `--serve` is such a command, with {data} for the name of the data set.

    python benchmarks/strong.py --data-root DATA --serve 'python SERVER --bank BANK/{data}.csv.gz'

With `--bank`, no teacher is asked: the same number of a bank's texts (label, text, kind, rival) is
spent in several ways, and each is compared with an even spread, paired by data set, rows and seed.
A head on frozen features is trained on the labelled rows, the label names and the texts.

    python benchmarks/strong.py --data-root DATA --bank BANK --rows 100 400 1000 --out spent.json

Cells are appended to `--out` as they end, and not run again. Each is judged twice: on rows of the
training file that the run has not, which choices are made by (`--judge held`), and on the test
file, which is looked at last (`--judge test`).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.bench.sets import DataSet
from pgkd.config import Config
from pgkd.distiller import Distiller
from pgkd.encoders.head import Calibration
from pgkd.tasks.classification.data.dataset import read_rows
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.cross_validation import class_texts, out_of_fold
from pgkd.tasks.classification.students.encoder import EncoderStudent
from pgkd.tasks.classification.students.head import HeadSettings
from pgkd.tasks.common.allocation import allocate, error_rate
from pgkd.tasks.common.folds import stratified_folds
from pgkd.teachers.openai import OpenAITeacher

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student

SETS = ("banking77", "trec6", "agnews", "stackoverflow20", "huffpost41_skew", "clinc150",
        "goemotions")  # fmt: skip
APART = "goemotions"  # whose labels no LLM writes well: not in the means
MANY = 1000  # rows whose round 0 is the other end of the gap
HEADER = ("data", "accuracy: round 0", "after", "change", "gap closed", "macro F1: round 0",
          "after", "change", "gap closed", "log loss", "texts", "prompt tokens a text")  # fmt: skip
KEY = ("data", "rows", "seed", "teacher")
HELD = 2000  # rows of the training file that judge, without the test file
FEW = {"trec6": 20, "agnews": 20}  # spending: texts a class; 4 where there are more classes
HEAD = HeadSettings(10.0, "balanced", Calibration(0.5, 0.25))
WEIGHT = 0.5  # spending: of a text


def main() -> None:
    """Run what is missing, and print the tables."""
    args = arguments()
    if args.bank:
        spending(args)
        return
    if args.cell:
        print(json.dumps(cell(args, json.loads(args.cell))))
        return
    done = [json.loads(line) for line in args.out.open()] if args.out.exists() else []
    keys = {key(line) for line in done}
    todo = [] if args.report else [c for c in cells(args) if key(c) not in keys]
    lock = Lock()
    args.out.parent.mkdir(parents=True, exist_ok=True)

    def work(wanted: dict[str, Any]) -> None:
        command = [sys.executable, *sys.argv, "--cell", json.dumps(wanted)]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        if found.returncode:
            print(f"{wanted}: {found.stderr[-2000:]}", file=sys.stderr)
            return
        line = found.stdout.strip().splitlines()[-1]
        with lock, args.out.open("a") as file:
            file.write(line + "\n")
            done.append(json.loads(line))
            print({name: done[-1][name] for name in (*KEY, "held")}, flush=True)

    with ThreadPoolExecutor(args.jobs) as pool:
        list(pool.map(work, todo))
    report(done, args.judge)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data-root", type=Path, required=True)
    add("--serve", help="command of the teacher, which prints its base URL")
    add("--bank", type=Path, help="folder of banks of texts, to compare ways to spend them")
    add("--teacher", default="strong", help="its name in the results")
    add("--sets", nargs="+", default=list(SETS))
    add("--rows", nargs="+", type=int, default=[100])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--settings", default="{}", help="JSON of settings over the defaults, as in pgkd.yaml")
    add("--judge", choices=("held", "test"), default="held")
    add("--jobs", type=int, default=2, help="cells at once, of one thread each")
    add("--report", action="store_true", help="print the tables of what is there, and run nothing")
    add("--out", type=Path, default=Path("benchmarks/results/strong.jsonl"))
    add("--cell", help=argparse.SUPPRESS)
    return parser.parse_args()


def cells(args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is to be run: with the teacher, then round 0 of many rows, seed by seed."""
    for teacher in [args.teacher] if args.serve else []:
        for rows in args.rows:
            for seed in args.seeds:
                for data in args.sets:
                    yield {"data": data, "seed": seed, "rows": rows, "teacher": teacher}
    for seed in args.seeds:
        for data in args.sets:
            yield {"data": data, "seed": seed, "rows": MANY, "teacher": None}


def key(line: dict[str, Any]) -> tuple[Any, ...]:
    """What tells a cell from the others."""
    return tuple(line[name] for name in KEY)


def cell(args: argparse.Namespace, wanted: dict[str, Any]) -> dict[str, Any]:
    """Run and judge one."""
    data, teacher = DataSet(args.data_root / wanted["data"]), wanted["teacher"]
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            **json.loads(args.settings),
            **({} if teacher else {"rounds": 0}),
            "data": {"train": data.train, "limit": wanted["rows"], "on_conflict": "drop"},
            "student": {"threads": 1},
            "teacher": {"provider": "openai", "cache": "off", "model": teacher or "none",
                        "base_url": "http://127.0.0.1:9"},
            "seed": wanted["seed"],
            "out": Path(folder) / "run",
        }  # fmt: skip
        config = Config.parse(settings)
        with serving(args.serve, wanted["data"]) if teacher else nobody() as url:
            asked = OpenAITeacher(teacher or "none", base_url=url)
            distiller = Distiller(config, teacher=asked)
            task = distiller.load()
            distiller.fit_dataset(task)
        run = distiller.run_
        ours = {row.text for row in (*task.train, *task.validation)}
        students = {"round_0": run.student("first"), "after": run.student("best")}
        found = {}
        for judge in ("held", "test"):
            texts, labels = judging(data, config, judge, ours)
            found[judge] = {
                name: figures(student, texts, labels, task.taxonomy.names)
                for name, student in students.items()
            }
        result = run.read_json("result.json")
        with run.ledger() as ledger:
            calls = [call.reply for call in ledger.calls() if call.reply is not None]
        accepted = len(run.synthetic())
        tokens = sum(reply.input_tokens or 0 for reply in calls)
        return {
            **wanted, **found,
            "rounds": len(result["rounds"]) - 1, "best": result["best"], "texts": accepted,
            "weights": [line["synthetic_weight"] for line in result["rounds"]],
            "recipe": getattr(students["after"], "recipe", ""),
            "calls": len(calls), "prompt_tokens": tokens,
            "prompt_tokens_a_text": round(tokens / accepted, 1) if accepted else None,
            "exam": result["teacher"],
        }  # fmt: skip


def judging(
    data: DataSet, config: Config, judge: str, ours: set[str]
) -> tuple[list[str], list[str]]:
    """Texts and labels to judge by."""
    if judge == "test":
        return read_rows(data.test, "text", "label")
    rows = [row for row in data.all_rows(config) if row.text not in ours]
    drawn = np.random.default_rng(12345).permutation(len(rows))[:HELD]
    return [rows[i].text for i in drawn], [rows[i].label for i in drawn]


def figures(
    student: Student, texts: Sequence[str], labels: Sequence[str], classes: Sequence[str]
) -> dict[str, float]:
    """Accuracy, macro F1 and log loss."""
    known = [i for i, label in enumerate(labels) if label in classes]
    found = evaluate(
        student.predict_proba([texts[i] for i in known]), [labels[i] for i in known], classes
    )
    values = {"accuracy": found.accuracy, "macro_f1": found.macro_f1, "log_loss": found.log_loss}
    return {name: round(value, 5) for name, value in values.items()}


@contextmanager
def serving(command: str, data: str) -> Iterator[str]:
    """The base URL of a teacher, which is stopped afterwards."""
    words = [word.replace("{data}", data) for word in shlex.split(command)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


@contextmanager
def nobody() -> Iterator[str]:
    """No teacher: nothing is asked."""
    yield "http://127.0.0.1:9"


def report(done: Sequence[dict[str, Any]], judge: str) -> None:
    """Print a table for every teacher and number of rows."""
    many = {
        **(recorded() if judge == "test" else {}),
        **{(c["data"], c["seed"]): c[judge]["round_0"] for c in done if c["teacher"] is None},
    }
    names = sorted({(c["teacher"], c["rows"]) for c in done if c["teacher"]}, key=str)
    for teacher, rows in names:
        mine = [c for c in done if (c["teacher"], c["rows"]) == (teacher, rows)]
        print(f"\n{teacher}, {rows} rows, judged on {judge} rows: mean ± spread of seeds")
        print(f"| {' | '.join(HEADER)} |\n{'|---' * len(HEADER)}|")
        shares: dict[str, list[float]] = {"accuracy": [], "macro_f1": []}
        for data in [name for name in SETS if any(c["data"] == name for c in mine)]:
            runs = [c for c in mine if c["data"] == data]
            line = [data]
            for figure in ("accuracy", "macro_f1"):
                before = [c[judge]["round_0"][figure] for c in runs]
                after = [c[judge]["after"][figure] for c in runs]
                change = [a - b for a, b in zip(after, before, strict=True)]
                ends = [many[data, c["seed"]][figure] for c in runs if (data, c["seed"]) in many]
                gap = fmean(ends) - fmean(before) if len(ends) == len(runs) else float("nan")
                share = fmean(change) / gap if rows < MANY else float("nan")
                if data != APART:
                    shares[figure].append(share)
                line += [spread(before), spread(after), spread(change, "+"), f"{share:.2f}"]
            first, last = (
                fmean([c[judge][w]["log_loss"] for c in runs]) for w in ("round_0", "after")
            )
            line += [f"{first:.2f} to {last:.2f}", f"{fmean(c['texts'] for c in runs):.0f}"]
            line += [f"{fmean(c['prompt_tokens_a_text'] or 0 for c in runs):.0f}"]
            print("| " + " | ".join(line) + " |")
        told = ", ".join(f"{name} {fmean(found):.2f}" for name, found in shares.items() if found)
        print(f"\nMean share of the gap closed without {APART}: {told}")
        for c in mine:
            exam = c["exam"] or {}
            print(f"  {c['data']} s{c['seed']}: weights {c['weights']}, {c['recipe']}, exam {exam}")


def recorded() -> dict[tuple[str, int], dict[str, float]]:
    """Round 0 with many rows as `make bench-recipes` found it, for cells that are not run here."""
    path = Path(__file__).parent / "results" / "recipes.jsonl"
    lines = [json.loads(line) for line in path.open()] if path.exists() else []
    return {
        (line["data"], line["seed"]): line
        for line in lines
        if line["arm"] == "auto" and line["judge"] == "test"
    }


def spread(values: Sequence[float], sign: str = "") -> str:
    """Mean and standard deviation."""
    error = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):{sign}.3f}{error}"


def spending(args: argparse.Namespace) -> None:
    """Compare ways to spend the same number of texts: write the JSON, print the table."""
    done = [
        {"data": data, "rows": rows, "seed": seed,
         **spending_cell(args.data_root / data, args.bank / f"{data}.csv.gz", rows, seed)}
        for data in args.sets for rows in args.rows for seed in args.seeds
    ]  # fmt: skip
    args.out.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    print("| way | accuracy against even | macro F1 against even |\n|---|---|---|")
    for way in done[0]["ways"]:
        cells = []
        for figure in ("accuracy", "macro_f1"):
            change = [d["ways"][way][figure] - d["ways"]["even"][figure] for d in done]
            cells.append(f"{fmean(change):+.4f} ± {stdev(change) / len(change) ** 0.5:.4f}")
        print(f"| {way} | {' | '.join(cells)} |")


def spending_cell(data: Path, bank: Path, rows: int, seed: int) -> dict[str, Any]:
    """Figures of every way of spending, for one drawing of rows."""
    train = {"train": data / "train.csv.gz", "on_conflict": "drop"}
    ours = Distiller(Config.parse({"data": {**train, "limit": rows}, "seed": seed})).load()
    every = Distiller(Config.parse({"data": train})).load()
    known = {row.text for row in (*ours.train, *ours.validation)}
    others = [row for row in (*every.train, *every.validation) if row.text not in known]
    drawn = np.random.default_rng(12345).permutation(len(others))[:HELD]
    judged = [others[i] for i in drawn]
    real, names = [*ours.train, *ours.validation], ours.taxonomy.names
    student = EncoderStudent(names, recipe="frozen", threads=1, head=HEAD)
    listed = class_texts(ours.taxonomy)
    folds = stratified_folds([row.label for row in real], 5, seed)
    found = out_of_fold(student, real, [], folds, label_names=listed).probabilities.argmax(axis=1)
    pairs = Counter(
        (row.label, names[i]) for row, i in zip(real, found, strict=True) if names[i] != row.label
    )
    support = Counter(row.label for row in real)
    missed: Counter[str] = Counter()
    for (gold, _), count in pairs.items():
        missed[gold] += count
    texts = bank_texts(bank, seed)
    each = FEW.get(data.name, 4)
    even = dict.fromkeys(names, each)
    by_error = allocate(
        {name: error_rate(support[name], missed[name]) for name in names}, {}, each * len(names)
    )
    rivals = {gold: {p for g, p in pairs if g == gold} for gold in names}
    plain = {c: sorted(pool, key=lambda r: r["kind"] != "plain") for c, pool in texts.items()}
    against = {
        c: [
            *(r for r in pool if r["rival"] in rivals[c]),
            *(r for r in pool if r["rival"] not in rivals[c]),
        ]
        for c, pool in texts.items()
    }
    spent = {
        "even": (even, texts),
        "by error": (by_error, texts),
        "even, plain texts": (even, plain),
        "even, hard texts against the confused class": (even, against),
    }
    counts = np.array([support[name] for name in names], dtype=np.float64)
    return {
        "ways": {
            way: spent_figures(student, [*real, *listed], chosen(quota, pool), counts, judged)
            for way, (quota, pool) in spent.items()
        }
    }


def bank_texts(path: Path, seed: int) -> dict[str, list[dict[str, str]]]:
    """The texts of a bank by class, in an order drawn by the seed."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    order = np.random.default_rng(seed).permutation(len(rows))
    found: dict[str, list[dict[str, str]]] = {}
    for i in order:
        found.setdefault(rows[i]["label"], []).append(rows[i])
    return found


def chosen(
    quota: Mapping[str, int], texts: Mapping[str, list[dict[str, str]]]
) -> list[tuple[str, str]]:
    """The first texts of each class, as many as it gets."""
    return [(r["text"], name) for name, n in quota.items() for r in texts.get(name, [])[:n]]


def spent_figures(
    student: EncoderStudent,
    rows: Sequence[LabelledText],
    texts: Sequence[tuple[str, str]],
    counts: Any,
    judged: Sequence[LabelledText],
) -> dict[str, float]:
    """Accuracy and macro F1 of a head on rows and texts."""
    weights = np.concatenate([np.ones(len(rows)), np.full(len(texts), WEIGHT)])
    fitted = student.clone().fit(
        [*(r.text for r in rows), *(t for t, _ in texts)],
        [*(r.label for r in rows), *(label for _, label in texts)], weights, counts,
    )  # fmt: skip
    found = evaluate(
        fitted.predict_proba([r.text for r in judged]), [r.label for r in judged], student.classes
    )
    return {"accuracy": found.accuracy, "macro_f1": found.macro_f1, "texts": len(texts)}


if __name__ == "__main__":
    main()
