"""Pairs of texts: what a student learns from rows alone, and from an oracle's pairs besides.

``baseline`` is the cosine of the frozen encoder's features under logistic regression (labels) or
linear regression clipped to the scale (scores). ``rows`` is the student of rows alone,
``two-tower`` the same without a trial of the cross-encoder. ``even`` and ``pgkd`` ask an oracle
for pairs of the training file that are not among the rows, `--texts` in three rounds: as many of
each label or band, or more where the student errs. They train two towers: a cell takes minutes.

Everything is judged on the test rows. A line a cell goes to benchmarks/results/pairs.jsonl; cells
that are there are not measured again.

    python benchmarks/pairs.py --data DIR    # DIR has NAME/train.jsonl.gz and NAME/test.jsonl.gz
    python benchmarks/pairs.py --table
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
from recipes import Lines

from pgkd import Config, Distiller, FakeTeacher
from pgkd.tasks.common.encoders import pretrained
from pgkd.tasks.common.shares import Target
from pgkd.tasks.pairs.data import Pair
from pgkd.tasks.pairs.learner import pair_figures
from pgkd.teachers.base import Request

RESULTS = Path(__file__).parent / "results" / "pairs.jsonl"
CELLS = (
    ("snli_pairs", 100, ("baseline", "two-tower", "even", "pgkd", "rows")),
    ("snli_pairs", 1000, ("baseline", "two-tower", "rows")),
    ("stsb_open", 100, ("baseline", "two-tower", "even", "pgkd", "rows")),
    ("stsb_open", 1373, ("baseline", "two-tower", "rows")),
)
KEY = ("data", "rows", "arm", "seed")


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a gzipped file of JSON lines."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Oracle:
    """Answers a request with real pairs that have what it asks for.

    Args:
        rows: that are not trained on.
        target: what is predicted.
        seed: of their order.
    """

    def __init__(self, rows: list[Pair], target: Target, seed: int) -> None:
        self._left: defaultdict[str, list[Pair]] = defaultdict(list)
        self._target = target
        for i in random.Random(seed).sample(range(len(rows)), len(rows)):
            self._left[target.cell(rows[i])].append(rows[i])

    def __call__(self, request: Request) -> str:
        """The reply."""
        assert request.schema is not None
        samples = request.schema["properties"]["samples"]
        item = samples["items"]["properties"]
        if "label" in item:
            [cell] = item["label"]["enum"]
        else:  # a band is known by its middle
            cell = self._target.cell(Pair("", "", score=float(np.mean(item["score"]["enum"]))))
        found = [self._left[cell].pop() for _ in range(samples["maxItems"]) if self._left[cell]]
        names = ("text", "text_pair", "label" if "label" in item else "score")
        return json.dumps({"samples": [{n: getattr(row, n) for n in names} for row in found]})


def measure(data: Path, n: int, arm: str, seed: int, texts: int) -> dict[str, Any]:
    """The figures of one cell on the test rows."""
    train, test = read(data / "train.jsonl.gz"), read(data / "test.jsonl.gz")
    output = "label" if "label" in train[0] else "score"
    chosen = random.Random(seed).sample(train, min(n, len(train)))
    with tempfile.TemporaryDirectory() as folder:
        guided = arm in ("even", "pgkd")
        config = Config.parse(
            {
                "task": "pairs", "seed": seed, "out": f"{folder}/run", "texts": texts,
                "rounds": 3 if guided else 0, "teacher": {"concurrency": 1},
                "student": {"recipe": "auto" if arm == "rows" else "frozen"},
                "data": {"on_conflict": "drop"} | (
                    {"score_min": 0, "score_max": 5} if output == "score" else {}),
                "guidance": {"allocation": "even" if arm == "even" else "guided"},
            }
        )  # fmt: skip
        gold = [Pair(r["text"], r["text_pair"], r.get("label"), r.get("score")) for r in test]
        inputs = [row.texts for row in gold]
        pairs = [(row["text"], row["text_pair"]) for row in chosen]
        if arm == "baseline":
            return pair_figures(baseline(config, pairs, [r[output] for r in chosen], inputs), gold)
        used = {(row["text"], row["text_pair"]) for row in chosen}
        left = [
            Pair(r["text"], r["text_pair"], r.get("label"), r.get("score"))
            for r in train if (r["text"], r["text_pair"]) not in used
        ]  # fmt: skip
        labels = tuple(sorted({str(row["label"]) for row in train})) if output == "label" else ()
        oracle = FakeTeacher(Oracle(left, Target(labels, 0.0, 5.0), seed))
        fitted = Distiller(config, teacher=oracle).fit(pairs, [row[output] for row in chosen])
        found = pair_figures(fitted.student_.answers(inputs), gold)
        crossed = fitted.student_.recipe == "finetune"
        written = len(fitted.run_.synthetic())
        return {**found, "crossed": crossed, "written": written, "best": fitted.outcome_.best}


def baseline(config: Any, pairs: Any, outputs: Any, inputs: Any) -> list[dict[str, Any]]:
    """The answers of a regression on the cosine."""
    from sklearn.linear_model import LinearRegression, LogisticRegression

    embed = pretrained(config.student).features

    def cosine(of: Any) -> Any:
        return (embed([a for a, _ in of]) * embed([b for _, b in of])).sum(axis=1)[:, None]

    if isinstance(outputs[0], str):
        model = LogisticRegression(C=100.0).fit(cosine(pairs), outputs)
        return [{"label": str(label)} for label in model.predict(cosine(inputs))]
    line = LinearRegression().fit(cosine(pairs), outputs)
    half = float(np.quantile(np.abs(line.predict(cosine(pairs)) - outputs), 0.9))
    scores = line.predict(cosine(inputs)).clip(0, 5).tolist()
    return [{"score": s, "low": s - half, "high": s + half} for s in scores]


def table(lines: list[dict[str, Any]]) -> None:
    """Print the means over seeds, with their standard deviations, as Markdown."""
    cells: defaultdict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
    for line in lines:
        cells[line["data"], line["rows"], line["arm"]].append(line)
    for names in (("accuracy", "macro_f1"), ("mae", "spearman", "pearson", "coverage")):
        print(f"\n| data | rows | arm | {' | '.join(names)} | seeds |")
        print("|---|---|---|" + "---|" * (len(names) + 1))
        for (data, rows, arm), found in cells.items():
            if names[0] in found[0]:
                values = [[line[name] for line in found] for name in names]
                spread = [f"± {stdev(v):.3f}" if len(v) > 1 else "" for v in values]
                told = [f"{mean(v):.3f} {s}".strip() for v, s in zip(values, spread, strict=True)]
                print(f"| {data} | {rows} | {arm} | {' | '.join(told)} | {len(found)} |")


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", help="only these")
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--quick", action="store_true", help="100 rows, one seed, no cross-encoder")
    parser.add_argument("--table", action="store_true", help="print what was measured")
    given = parser.parse_args()
    lines = Lines(RESULTS, KEY)
    for seed in [] if given.table else given.seeds[: 1 if given.quick else None]:
        for data, rows, arms in CELLS:
            for arm in arms:
                wanted = given.arms is None or arm in given.arms
                if not wanted or (given.quick and (rows > 100 or arm == "rows")):
                    continue
                if (data, rows, arm, seed) in lines:
                    continue
                start = time.monotonic()
                found = measure(given.data / data, rows, arm, seed, given.texts)
                cell = dict(zip(KEY, (data, rows, arm, seed), strict=True))
                seconds = round(time.monotonic() - start)
                lines.add({**cell, **found, "texts": given.texts, "seconds": seconds})
                print(lines.all[-1], flush=True)
    table(lines.all)


if __name__ == "__main__":
    main()
