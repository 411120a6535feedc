"""What is a teacher worth at few labels? pgkd's defaults against an OpenAI-compatible endpoint.

For every data set, number of rows and seed: the student of round 0, and the one that the run keeps.
The figure of merit is the share of the gap closed: (accuracy with the teacher - round 0) / (round 0
with 1,000 rows - round 0), the same for macro F1. A teacher is a command that prints its base URL
and then serves: `--serve` is such a command, with {data} for the name of the data set.

    python benchmarks/strong.py --data-root DATA --serve 'python SERVER --bank BANK/{data}.csv.gz'

Cells are appended to `--out` as they end, and not run again. Each is judged twice: on rows of the
training file that the run has not, which choices are made by (`--judge held`), and on the test
file, which is looked at last (`--judge test`).
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, stdev
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.bench.sets import DataSet
from pgkd.config import Config
from pgkd.distill import Distiller
from pgkd.evaluation import evaluate
from pgkd.task import read_rows
from pgkd.teacher.openai import OpenAITeacher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.student import Student

SETS = ("banking77", "trec6", "agnews", "stackoverflow20", "huffpost41_skew", "clinc150",
        "goemotions")  # fmt: skip
APART = "goemotions"  # whose labels no LLM writes well: not in the means
MANY = 1000  # rows whose round 0 is the other end of the gap
HEADER = ("data", "accuracy: round 0", "after", "change", "gap closed", "macro F1: round 0",
          "after", "change", "gap closed", "log loss", "texts", "prompt tokens a text")  # fmt: skip
KEY = ("data", "rows", "seed", "teacher")
HELD = 2000  # rows of the training file that judge, without the test file


def main() -> None:
    """Run what is missing, and print the tables."""
    args = arguments()
    if args.cell:
        print(json.dumps(cell(args, json.loads(args.cell))))
        return
    done = [json.loads(line) for line in args.out.open()] if args.out.exists() else []
    keys = {key(line) for line in done}
    todo = [c for c in cells(args) if key(c) not in keys]
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
    add("--teacher", default="strong", help="its name in the results")
    add("--sets", nargs="+", default=list(SETS))
    add("--rows", nargs="+", type=int, default=[100])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--settings", default="{}", help="JSON of settings over the defaults, as in pgkd.yaml")
    add("--judge", choices=("held", "test"), default="held")
    add("--jobs", type=int, default=2, help="cells at once, of one thread each")
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
            task = distiller.load_task()
            distiller.fit_task(task)
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
        accepted = len(run.kept())
        tokens = sum(reply.input_tokens or 0 for reply in calls)
        return {
            **wanted, **found,
            "rounds": len(result["rounds"]) - 1, "best": result["best"], "texts": accepted,
            "weights": [line["written_weight"] for line in result["rounds"]],
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


if __name__ == "__main__":
    main()
