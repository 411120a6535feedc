"""Texts spread over all classes change the class prior: should it be put back?

The head is balanced, and a share of the log class frequency is added to its logits, fitted on real
rows at round 0 (`student/calibration.py`). Which frequency: that of all it was trained on, texts
included, that of the real rows (half a row added to each class), the mean of both logs, or none?

160 texts are spread evenly over the classes. They are real rows of the training file that were not
drawn, so writing is perfect; or three in ten are rows of the most similar class, as a small teacher
slips into the neighbour. All is judged on other rows of the training file.

    python benchmarks/prior.py --data banking77 trec6 --rows 100 1000
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from round0 import cell_arguments, undrawn

from pgkd.bench.oracle import nearest_classes
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance import try_class_list
from pgkd.student import make_student
from pgkd.student.calibration import Calibration
from pgkd.student.encoders import load_encoder
from pgkd.student.head import HeadSettings, fit_head, log_prior
from pgkd.task import load_task, stratified_folds
from pgkd.task.columns import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

HERE = Path(__file__).parent
WEIGHTS = (0.05, 0.3, 1.0)
PRIORS = ("all", "real", "half", "none")
TEXTS, HELD, POOL = 160, 1500, 7500
WRONG = 0.3  # of the noisy texts
MEASURES = ("accuracy", "macro_f1", "tail_f1", "log_loss")


@dataclass(frozen=True)
class Cell:
    """What a student is trained and judged on.

    Attributes:
        rows: texts and labels of real rows and of the class list, where it helps.
        real: columns of the labels of the real rows alone.
        texts: texts and labels by kind, perfect and noisy.
        held: texts and labels that judge.
    """

    classes: tuple[str, ...]
    head: HeadSettings
    rows: Sequence[tuple[str, str]]
    real: NDArray[np.int64]
    texts: dict[str, Sequence[tuple[str, str]]]
    held: Sequence[tuple[str, str]]


def main() -> None:
    """Measure, print the means over the seeds, and write the JSON."""
    parser = cell_arguments(__doc__, rows=(100, 1000))
    add = parser.add_argument
    add("--out", type=Path, default=HERE / "results" / "prior.json", help="JSON to write")
    args = parser.parse_args()
    found = [
        {"data": name, "rows": rows, "seed": seed, **line}
        for name in args.data
        for rows in args.rows
        for seed in args.seeds
        for line in measured(cell_of(args.data_root / name / "train.csv.gz", rows, seed))
    ]
    report = {"environment": environment(), "cells": found}
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print_means(found)


def cell_of(file: Path, rows: int, seed: int) -> Cell:
    """Draw the rows of a cell, and the texts."""
    task = load_task(train=file, limit=rows, seed=seed, on_conflict="drop")
    classes = task.taxonomy.names
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = make_student("encoder", classes, seed=seed, recipe="frozen", threads=1)
    student.tune(texts, labels, seed=seed)
    trial = try_class_list(student, task.train, task.taxonomy, stratified_folds(labels, 5, seed))
    rest, rng = undrawn(file, task), np.random.default_rng(seed)
    order = rng.permutation(len(rest))
    held = [rest[i] for i in order[:HELD]]
    pool: dict[str, list[str]] = defaultdict(list)
    for i in order[HELD : HELD + POOL]:
        text, label = rest[i]
        pool[label].append(text)
    return Cell(
        classes,
        student.head_settings,  # type: ignore[attr-defined]
        [*zip(texts, labels, strict=True), *((text.text, text.label) for text in trial.texts)],
        columns_of(labels, classes),
        dict(zip(("perfect", "noisy"), written(classes, pool, rng), strict=True)),
        held,
    )


def written(
    classes: Sequence[str], pool: dict[str, list[str]], rng: np.random.Generator
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Texts spread evenly over the classes: perfect ones, and the same with some wrong."""
    rival_of, order = nearest_classes(pool), rng.permutation(len(classes))
    perfect, noisy = [], []
    for i in range(TEXTS):
        label = classes[order[i % len(classes)]]
        if not pool.get(label):
            continue
        perfect.append((pool[label].pop(0), label))
        slips = rng.random() < WRONG and pool.get(rival_of.get(label, ""))
        noisy.append((pool[rival_of[label]].pop(), label) if slips else perfect[-1])
    return perfect, noisy


def measured(cell: Cell) -> Iterator[dict[str, Any]]:
    """One line for every kind of texts, weight and prior; first without texts."""
    encoder = load_encoder("all-minilm-l6-v2", 128)
    held = encoder.features([text for text, _ in cell.held])
    gold = [label for _, label in cell.held]
    tail = tail_of(gold, cell.classes)
    bare = replace(cell.head, calibration=Calibration())
    for kind, weight in [("no texts", 0.0), *((k, w) for k in cell.texts for w in WEIGHTS)]:
        texts = cell.texts.get(kind, ())
        rows = [*cell.rows, *texts]
        weights = np.r_[np.ones(len(cell.rows)), np.full(len(texts), weight)]
        labels = [label for _, label in rows]
        features = encoder.features([text for text, _ in rows])
        head = fit_head(features, labels, cell.classes, bare, weights)
        for name, prior in priors_of(cell, labels, weights).items():
            known = np.where(np.isneginf(head.bias), 0.0, prior)
            fitted = head.calibrated(cell.head.calibration, known)
            scores = evaluate(fitted.predict_proba(held), gold, cell.classes)
            tail_f1 = np.mean([c.f1 for c in scores.per_class if c.name in tail and c.support])
            yield {
                "texts": kind, "weight": weight, "prior": name,
                "accuracy": round(scores.accuracy, 4), "macro_f1": round(scores.macro_f1, 4),
                "tail_f1": round(float(tail_f1), 4), "log_loss": round(scores.log_loss, 4),
            }  # fmt: skip


def priors_of(
    cell: Cell, labels: Sequence[str], weights: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Log shares of the classes, each shape (n_classes,)."""
    n = len(cell.classes)
    everything = log_prior(columns_of(labels, cell.classes), n, weights)
    counts = np.bincount(cell.real, minlength=n) + 0.5
    real = np.log(counts / counts.sum())
    return dict(zip(PRIORS, (everything, real, (everything + real) / 2, np.zeros(n)), strict=True))


def tail_of(gold: Sequence[str], classes: Sequence[str]) -> set[str]:
    """The rarest third of the classes."""
    ranked = sorted(classes, key=lambda name: (-gold.count(name), name))
    return set(ranked[-(len(classes) // 3) :])


def print_means(cells: Sequence[dict[str, Any]]) -> None:
    """Mean over the seeds, a line for each kind of texts and weight, and over the data sets."""
    for rows in dict.fromkeys(cell["rows"] for cell in cells):
        for measure in MEASURES:
            print(f"\n{rows} rows, {measure}")
            print("| data | texts | weight | " + " | ".join(PRIORS) + " |")
            print("|---" * (3 + len(PRIORS)) + "|")
            for name in [*dict.fromkeys(cell["data"] for cell in cells), None]:
                chosen = [c for c in cells if c["rows"] == rows and name in (None, c["data"])]
                for kind, weight in dict.fromkeys((c["texts"], c["weight"]) for c in chosen):
                    means = (
                        statistics.fmean(
                            c[measure] for c in chosen
                            if (c["texts"], c["weight"], c["prior"]) == (kind, weight, prior)
                        )
                        for prior in PRIORS
                    )  # fmt: skip
                    told = " | ".join(f"{mean:.3f}" for mean in means)
                    print(f"| {name or 'all'} | {kind} | {weight} | {told} |")


if __name__ == "__main__":
    main()
