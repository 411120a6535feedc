"""Span extraction: the student alone, and with a teacher's texts.

The teacher of this benchmark is an oracle: its texts are training rows that the run does not have,
with the labels that were asked for. `alone` is the student without a teacher, `even` spreads the
texts over the labels, `pgkd` asks for more where the student errs, and `rows` has 400 rows and no
teacher. With `--wrong .3` so many of the oracle's entities have another label.

DATA is a folder with train.jsonl.gz and test.jsonl.gz, rows of ``text`` and ``entities``, such as
SNIPS 2017 (Coucke et al., 2018). A cell that is in the results already is not run again. The test
rows are read for the figures only.

    python benchmarks/slots.py --data DATA
    python benchmarks/slots.py --data DATA --recipe finetune --arms alone pgkd
    python benchmarks/slots.py --show
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from pgkd import Config, Distiller, FakeTeacher
from pgkd.tasks.slots.data import SlotText
from pgkd.tasks.slots.task import Slots
from pgkd.teachers.base import Request

RESULTS = Path(__file__).parent / "results" / "slots.jsonl"
FIGURES = ("micro_f1", "macro_f1", "precision", "recall", "exact")
ROWS = {"rows": 400}  # other than --rows


class Oracle:
    """Answers requests with rows that nobody has seen.

    Args:
        rows: to answer with.
        wrong: share of entities that get another label.
        seed: of their order.
    """

    def __init__(self, rows: list[SlotText], wrong: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._rows = self._random.sample(rows, len(rows))
        self._labels = sorted({label for row in rows for label in row.labels})
        self._wrong = wrong

    def __call__(self, request: Request) -> str:
        """The reply to a request; fewer texts than it asks for where there are no more."""
        user = request.messages[1].content
        [(count, cell)] = re.findall(r"^Write (\d+) new texts, .* in which (\S+) is", user, re.M)
        asked = user.split("have these labels:")[1]
        sets = [tuple(json.loads(s)) for s in re.findall(r"^\d+\. (\[.*\])$", asked, re.M)]
        samples = []
        for labels in sets[: int(count)]:
            with_it = [row for row in self._rows if cell in row.labels]
            same = [row for row in with_it if row.labels == labels]
            for row in (same or with_it)[:1]:
                self._rows.remove(row)
                samples.append({"text": row.text, "entities": self._entities(row, cell)})
        return json.dumps({"samples": samples})

    def _entities(self, row: SlotText, cell: str) -> list[dict[str, Any]]:
        entities = []
        for span in row.entities:
            value, label = row.text[span.start : span.end], span.label
            if self._random.random() < self._wrong:
                label = self._random.choice(self._labels)
            before = len(re.findall(re.escape(value), row.text[: span.end]))
            found = {"label": label, "value": value}
            repeated = len(re.findall(re.escape(value), row.text)) > 1
            entities.append({**found, "occurrence": before} if repeated else found)
        return entities


def measure(args: argparse.Namespace, seed: int, arm: str) -> dict[str, Any]:
    """One cell: the figures on the test rows."""
    task, config, begun = Slots(), Slots.config(), time.monotonic()
    pool = task.read(args.data / "train.jsonl.gz", config)
    test = task.read(args.data / "test.jsonl.gz", config)
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    n = ROWS.get(arm, args.rows)
    rows, left = [pool[i] for i in order[:n]], [pool[i] for i in order[n:]]
    labels = sorted({label for row in pool for label in row.labels})
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "task": "slots", "seed": seed, "out": Path(folder) / "run", "rounds":
            0 if arm in ("alone", "rows") else 3, "texts": args.texts,
            "student": {"recipe": args.recipe, "threads": 1},
            "guidance": {"allocation": "even" if arm == "even" else "guided"},
        }  # fmt: skip
        teacher = FakeTeacher(Oracle(left, args.wrong, seed))
        distiller = Distiller(Config.parse(settings), teacher=teacher)
        entities = [[span.to_json(row.text) for span in row.entities] for row in rows]
        distiller.fit([row.text for row in rows], entities, classes=labels)
        run = distiller.run_
        found = {}
        for which in ("best", "last"):
            answers = run.student(which).answers([row.text for row in test])
            found[which] = task.figures(answers, test)
        result = run.read_json("result.json")
        last = result["rounds"][-1]
        return {
            **{name: round(value, 4) for name, value in found["best"].items()},
            "micro_f1_last": round(found["last"]["micro_f1"], 4),
            "best": result["best"],
            "synthetic": last["synthetic"],
            "weight": last["synthetic_weight"],
            "seconds": round(time.monotonic() - begun),
        }


def show(path: Path) -> None:
    """Print a table of means and standard deviations over seeds."""
    cells = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        cells[tuple(cell[k] for k in ("rows", "recipe", "wrong", "arm"))].append(cell)
    print("| rows | recipe | wrong | arm | seeds |", " | ".join(FIGURES), "|")
    print("|---" * (5 + len(FIGURES)) + "|")
    for (rows, recipe, wrong, arm), found in cells.items():
        columns = [100 * np.array([cell[figure] for cell in found]) for figure in FIGURES]
        means = [f"{column.mean():.1f} ± {column.std():.1f}" for column in columns]
        print(f"| {rows} | {recipe} | {wrong} | {arm} | {len(found)} |", " | ".join(means), "|")


def main() -> None:
    """Measure the cells that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data/snips_slots"))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--arms", nargs="+", default=["alone", "even", "pgkd", "rows"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=300)
    parser.add_argument("--wrong", type=float, default=0.0)
    parser.add_argument("--recipe", default="frozen")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="one seed, 60 texts")
    parser.add_argument("--show", action="store_true", help="print the table, measure nothing")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.texts = [0], 60
    args.results.parent.mkdir(exist_ok=True)
    args.results.touch()
    if not args.show:
        done = [json.loads(line) for line in args.results.read_text().splitlines()]
        for seed in args.seeds:
            for arm in args.arms:
                cell = {
                    "rows": ROWS.get(arm, args.rows), "recipe": args.recipe, "wrong": args.wrong,
                    "arm": arm, "seed": seed, "texts": args.texts,
                }  # fmt: skip
                if any(cell.items() <= each.items() for each in done):
                    continue
                line = json.dumps({**cell, **measure(args, seed, arm)})
                with args.results.open("a") as file:
                    file.write(line + "\n")
                print(line, flush=True)
    show(args.results)


if __name__ == "__main__":
    main()
