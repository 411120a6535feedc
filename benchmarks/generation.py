"""Do rows written for the student's mistakes help a small language model to write JSON or SQL?

A run of pgkd on 200 training rows, of which a fifth validates. The student of round 0 is trained on
the rows alone. The teacher is an oracle: it answers a request with other rows of the training file
that hold the part of the output that is asked for, so it shows what a perfect teacher would bring.
Every round's student is judged on test rows; PGKD's is that of the round that the run keeps.

    python benchmarks/generation.py --data-root DATA --seeds 0 1 2
    python benchmarks/generation.py --data-root DATA --data geoquery_sql --rows 300

DATA has a folder for each set, with train.jsonl.gz and test.jsonl.gz of lines with an ``input`` and
an ``output``, and for SQL the database. ``--quick`` measures that everything runs, on few rows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from recipes import Lines

from pgkd import Distiller, FakeTeacher, RunFolder
from pgkd.events import Hooks, Round
from pgkd.tasks.generation.config import GenerationConfig, MetricConfig
from pgkd.tasks.generation.metrics import OutputMetric
from pgkd.tasks.generation.task import Generation
from pgkd.teachers.base import Request

METRICS: dict[str, dict[str, Any]] = {
    "snips_json": {"kind": "json"},
    "geoquery_sql": {"kind": "sqlite", "database": "geography.sqlite"},
}
RESULTS = Path(__file__).parent / "results" / "generation.jsonl"
KEY = ("data", "model", "rows", "texts", "epochs", "test", "seed", "round")
_PART = re.compile(r'Every output has the part "(.*?)"\.')


class Oracle:
    """Answers with rows of the training file that no run has seen, each once.

    Args:
        rows: the rows.
        metric: says which parts an output has.
    """

    def __init__(self, rows: list[dict[str, str]], metric: OutputMetric) -> None:
        self._parts = [set(metric.parts(row["output"])) for row in rows]
        self._rows = rows
        self._given: set[int] = set()

    def __call__(self, request: Request) -> str:
        """As many rows as the request's schema asks for."""
        assert request.schema is not None
        count = request.schema["properties"]["samples"]["minItems"]
        found = _PART.search(request.messages[-1].content)
        left = [i for i in range(len(self._rows)) if i not in self._given]
        left.sort(key=lambda i: found is not None and found[1] not in self._parts[i])
        self._given.update(left[:count])
        return json.dumps({"samples": [self._rows[i] for i in left[:count]]})


class Judge(Hooks):
    """Judges every round's student on test rows, and keeps the line of it.

    Args:
        folder: of the run.
        test: inputs and outputs.
        config: of the run.
        cell: what all lines have.
        lines: where they go.
    """

    def __init__(
        self, folder: Path, test: list[dict[str, str]], config: Any, cell: dict[str, Any],
        lines: Lines,
    ) -> None:  # fmt: skip
        self._folder, self._cell, self._lines = folder, cell, lines
        self._test = [(row["input"], row["output"]) for row in test]
        self._metric = OutputMetric(config.metric)
        self._start = time.process_time()

    def on_round_end(self, finished: Round) -> None:
        """See `Hooks.on_round_end`."""
        cpu = time.process_time() - self._start
        student = RunFolder(self._folder).student("last")
        texts, outputs = ([pair[i] for pair in self._test] for i in (0, 1))
        answers = [answer["output"] for answer in student.answers(texts)]
        scores = list(map(self._metric.score, texts, outputs, answers))
        figures = self._metric.figures(scores)
        figures["log_loss"] = float(student.losses(texts, outputs).mean())
        line = {
            **self._cell, "round": finished.number, "keep": finished.verdict.keep,
            "synthetic": finished.synthetic, "figures": figures, "cpu_seconds": round(cpu),
            "validation": dict(finished.evaluation.figures),
        }  # fmt: skip
        if tuple(line[name] for name in KEY) not in self._lines:
            self._lines.add(line)
        print(json.dumps(line), flush=True)


def read(path: Path) -> list[dict[str, str]]:
    """Rows of a compressed file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def measure(name: str, seed: int, options: argparse.Namespace, lines: Lines, work: Path) -> None:
    """A run of one seed; what an earlier try has measured is not measured again."""
    folder = options.data_root / name
    cell = {
        "data": name, "model": options.model_name or options.model, "rows": options.rows,
        "texts": options.texts, "epochs": options.epochs, "test": options.test, "seed": seed,
    }  # fmt: skip
    if all((*cell.values(), number) in lines for number in range(options.rounds + 1)):
        return
    train, test = read(folder / "train.jsonl.gz"), read(folder / "test.jsonl.gz")
    random.Random(seed).shuffle(train)
    random.Random(0).shuffle(test)
    settings = dict(METRICS[name])
    if "database" in settings:
        settings["database"] = folder / settings["database"]
    # Rows that are near others are what the data set is like, and the oracle's are all different.
    config = GenerationConfig.parse({
        "task": "generation", "rounds": options.rounds, "patience": options.rounds + 1,
        "texts": options.texts, "seed": seed, "out": work / f"{name}-{options.rows}-{seed}",
        "metric": settings, "curation": {"near_duplicate": 1.0},
        "student": {"model": options.model, "epochs": options.epochs, "threads": options.threads,
                    "learning_rate": options.rate, "precision": options.precision,
                    "max_length": 128, "max_output": options.max_output},
    })  # fmt: skip
    oracle = Oracle(train[options.rows :], OutputMetric(MetricConfig.model_validate(settings)))
    used = train[: options.rows]
    dataset = Generation().from_arrays(
        config, [row["input"] for row in used], [row["output"] for row in used]
    )
    judge = Judge(Path(str(config.out)), test[: options.test], config, cell, lines)
    Distiller(config, teacher=FakeTeacher(oracle), hooks=[judge]).fit_dataset(dataset)


def table(lines: list[dict[str, Any]]) -> None:
    """Mean and standard deviation over the seeds of both arms, and of the gain."""
    found = defaultdict[tuple[Any, ...], list[dict[str, Any]]](list)
    for line in lines:
        found[tuple(line[name] for name in KEY[:-2])].append(line)
    for setup, group in found.items():
        print("\n", dict(zip(KEY, setup, strict=False)))
        for name in group[0]["figures"]:
            first = {x["seed"]: x["figures"][name] for x in group if x["round"] == 0}
            kept: dict[int, float] = {}
            for line in sorted(group, key=lambda x: int(x["round"])):
                if line["keep"]:
                    kept[line["seed"]] = line["figures"][name]
            seeds = [seed for seed in first if any(x["seed"] == seed and x["round"] for x in group)]
            gains = [kept[seed] - first[seed] for seed in seeds]
            for arm, values in (
                ("rows alone", [first[seed] for seed in seeds]),
                ("PGKD", [kept[seed] for seed in seeds]),
                ("gain", gains),
            ):
                if values:
                    spread = stdev(values) if len(values) > 1 else float("nan")
                    print(f"{name:20} {arm:10} {mean(values):+.3f} ± {spread:.3f} ({len(values)})")


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--data", nargs="+", default=["snips_json"], choices=METRICS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--model-name", help="what the results call a model that is a folder")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--texts", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rate", type=float, default=2e-4)
    parser.add_argument("--max-output", type=int)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--work", type=Path, help="keeps run folders, so that runs are resumed")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="that everything runs: no figures")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.texts, options.epochs, options.test = 20, 8, 1, 8
        options.seeds, options.out = [0], Path(tempfile.mkdtemp()) / "quick.jsonl"
    lines = Lines(options.out, KEY)
    work = options.work or Path(tempfile.mkdtemp())
    for name in options.data:
        for seed in options.seeds:
            measure(name, seed, options, lines, work)
    table(Lines(options.out, KEY).all)


if __name__ == "__main__":
    main()
