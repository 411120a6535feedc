"""Who should get the texts? The same number of a strong LLM's texts, spent in several ways.

A head on frozen features is trained on the labelled rows, the label names and texts of a bank
(label, text, kind, rival; a strong LLM's), and judged on rows of the training file that were not
drawn. The test file is not read. Every way of spending is compared with an even spread of the same
number of texts, paired by data set, rows and seed.

    python benchmarks/spending.py --data-root DATA --bank BANK
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
from collections import Counter
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.config import Config
from pgkd.distill import Distiller
from pgkd.evaluation import evaluate
from pgkd.guidance.allocation import allocate, error_rate
from pgkd.guidance.class_list import class_texts
from pgkd.guidance.crossval import out_of_fold
from pgkd.student.calibration import Calibration
from pgkd.student.encoder import EncoderStudent
from pgkd.student.head import HeadSettings
from pgkd.task import stratified_folds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgkd.task import Example

SETS = ("banking77", "trec6", "agnews", "stackoverflow20", "huffpost41_skew", "clinc150",
        "goemotions")  # fmt: skip
FEW = {"trec6": 20, "agnews": 20}  # texts a class; 4 where there are more classes
HEAD = HeadSettings(10.0, "balanced", Calibration(0.5, 0.25))
WEIGHT = 0.5  # of a text
JUDGED = 2000


def main() -> None:
    """Measure what is asked for, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data-root", type=Path, required=True)
    add("--bank", type=Path, required=True)
    add("--sets", nargs="+", default=list(SETS))
    add("--rows", nargs="+", type=int, default=[100, 400, 1000])
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--out", type=Path, default=Path("benchmarks/results/spending.json"))
    args = parser.parse_args()
    done = [
        {"data": data, "rows": rows, "seed": seed,
         **measure(args.data_root / data, args.bank / f"{data}.csv.gz", rows, seed)}
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


def measure(data: Path, bank: Path, rows: int, seed: int) -> dict[str, Any]:
    """Figures of every way of spending, for one drawing of rows."""
    train = {"train": data / "train.csv.gz", "on_conflict": "drop"}
    ours = Distiller(Config.parse({"data": {**train, "limit": rows}, "seed": seed})).load_task()
    every = Distiller(Config.parse({"data": train})).load_task()
    known = {row.text for row in (*ours.train, *ours.validation)}
    others = [row for row in (*every.train, *every.validation) if row.text not in known]
    drawn = np.random.default_rng(12345).permutation(len(others))[:JUDGED]
    judged = [others[i] for i in drawn]
    real, names = [*ours.train, *ours.validation], ours.taxonomy.names
    student = EncoderStudent(names, recipe="frozen", threads=1, head=HEAD)
    listed = class_texts(ours.taxonomy)
    folds = stratified_folds([row.label for row in real], 5, seed)
    found = out_of_fold(student, real, [], folds, class_list=listed).probabilities.argmax(axis=1)
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
            way: figures(student, [*real, *listed], chosen(quota, pool), counts, judged)
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


def figures(
    student: EncoderStudent,
    rows: Sequence[Example],
    texts: Sequence[tuple[str, str]],
    counts: Any,
    judged: Sequence[Example],
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
