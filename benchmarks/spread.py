"""Three times as many texts are written as are kept: which should be kept?

160 texts spread evenly over the classes. Candidates are three times as many real rows of the
training file that were not drawn, so writing is perfect; or three in ten of them are rows of the
most similar class, as a small teacher slips into the neighbour, for what picks the unusual also
picks the wrong. With `--runs`, the texts that a teacher wrote in finished runs are the candidates,
and a third is kept. All is judged on other rows of the training file.

    python benchmarks/spread.py --data banking77 trec6 --rows 100
    python benchmarks/spread.py --runs CELLS/cells/*-targeted-local/run --out written.json
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from paired import table
from round0 import cell_arguments, start, with_texts
from text_weight import other_rows

from pgkd.bench.oracle import nearest_classes
from pgkd.distill import RunFolder
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance import try_class_list
from pgkd.guidance.choosing import herd
from pgkd.task import stratified_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.student.frozen import FrozenStudent
    from pgkd.task import Example, Task

    Floats = NDArray[np.float64]

HERE = Path(__file__).parent
WEIGHTS = (0.05, 1.0)
TEXTS, TIMES, HELD = 160, 3, 1500
WRONG = 0.3  # of the noisy candidates
MEASURES = ("accuracy", "macro_f1", "log_loss")


class Candidate(NamedTuple):
    """A text that may be kept, and whether it is of the class that it was written for."""

    text: str
    right: bool | None


@dataclass(frozen=True)
class Cell:
    """What a student is trained and judged on.

    Attributes:
        student: trained on the rows; it gives the features, too.
        rows: real rows, and the class list where it helps.
        wanted: how many texts of each class are kept.
        candidates: by kind, those of each class in random order.
        held: rows that judge, texts and labels.
    """

    student: FrozenStudent
    rows: Sequence[Example]
    wanted: Counter[str]
    candidates: dict[str, dict[str, list[Candidate]]]
    held: tuple[Sequence[str], Sequence[str]]


class View(NamedTuple):
    """What a way to choose sees of the candidates of one class.

    Attributes:
        seen: features of the candidates, shape (n, width).
        own: features of the rows of the class.
        known: features of all rows and of all that is kept so far.
        likely: probability of the class by the student of round 0, shape (n,).
        rng: of what is drawn.
    """

    seen: Floats
    own: Floats
    known: Floats
    likely: Floats
    rng: np.random.Generator


def farthest(seen: Floats, known: Floats, n: int) -> list[int]:
    """The text that is farthest from all that is known or kept, n times (k-center greedy).

    Gonzalez, 1985; as a way to choose texts, Sener & Savarese, ICLR 2018.
    """
    near = (seen @ known.T).max(axis=1, initial=-1.0)
    kept: list[int] = []
    while len(kept) < min(n, len(seen)):
        kept.append(int(near.argmin()))
        near = np.maximum(near, seen @ seen[kept[-1]])
        near[kept[-1]] = np.inf
    return kept


def covering(view: View, n: int) -> list[int]:
    """The texts to which most other candidates are near that no row is near to."""
    blind = np.ones(len(view.seen))
    return herd(blind, lambda rows: view.seen[rows], view.own, n, view.rng)


# Candidates come in random order: the first are a random draw.
WAYS: dict[str, Callable[[View, int], list[int]]] = {
    "random": lambda view, n: list(range(min(n, len(view.seen)))),
    "spread in class": lambda view, n: farthest(view.seen, view.own, n),
    "spread over all": lambda view, n: farthest(view.seen, view.known, n),
    "covering": covering,
    "likeliest": lambda view, n: [int(i) for i in np.argsort(-view.likely, kind="stable")[:n]],
    "keep all": lambda view, n: list(range(len(view.seen))),
}
NOTHING = "no texts"


def main() -> None:
    """Measure, print the changes against a random choice, and write the JSON."""
    parser = cell_arguments(__doc__)
    add = parser.add_argument
    add("--runs", nargs="*", type=Path, default=[], help="run folders whose texts are chosen among")
    add("--out", type=Path, default=HERE / "results" / "spread.json", help="JSON to write")
    args = parser.parse_args()
    cells = (
        ((name, rows, seed), drawn(args.data_root / name / "train.csv.gz", rows, seed))
        for name in args.data
        for rows in args.rows
        for seed in args.seeds
    )
    if args.runs:
        cells = (written(run, seed) for run in args.runs for seed in args.seeds)
    lines = []
    for (name, rows, seed), cell in cells:
        found = list(measured(cell, np.random.default_rng(seed)))
        lines += [{"data": name, "rows": rows, "seed": seed, **line} for line in found]
        print(name, rows, seed, flush=True)
    report = {"environment": environment(), "cells": lines}
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    for measure in MEASURES:
        print(f"\n{table(lines, ('rows', 'texts', 'weight'), (*WAYS, NOTHING), 'random', measure)}")


def drawn(file: Path, labelled: int, seed: int) -> Cell:
    """Rows of a file: labelled ones, those that judge, and the candidates."""
    begun, rng = start(file, labelled, seed), np.random.default_rng(seed)
    held, others = begun.rest[:HELD], begun.rest[HELD:]
    pool: dict[str, list[str]] = defaultdict(list)
    for row in others:
        pool[row.label].append(row.text)
    wanted = even(begun.task.taxonomy.names, rng)
    kinds = dict(zip(("perfect", "noisy"), candidates(wanted, pool, rng), strict=True))
    judged = [row.text for row in held], [row.label for row in held]
    return Cell(begun.student, begun.rows, wanted, kinds, judged)


def even(classes: Sequence[str], rng: np.random.Generator) -> Counter[str]:
    """So many texts of each class that all have the same number, but for one."""
    order = rng.permutation(len(classes))
    return Counter(classes[order[i % len(classes)]] for i in range(TEXTS))


def candidates(
    wanted: Counter[str], pool: dict[str, list[str]], rng: np.random.Generator
) -> tuple[dict[str, list[Candidate]], dict[str, list[Candidate]]]:
    """Candidates of each class: perfect ones, and the same with some wrong."""
    rival_of = nearest_classes(pool)
    perfect = {
        label: [
            Candidate(pool[label].pop(0), True) for _ in range(min(TIMES * n, len(pool[label])))
        ]
        for label, n in wanted.items()
        if pool.get(label)
    }
    noisy: dict[str, list[Candidate]] = {}
    for label, own in perfect.items():
        spare = pool[rival_of[label]]
        noisy[label] = [
            Candidate(spare.pop(), False) if rng.random() < WRONG and spare else one for one in own
        ]
    return perfect, noisy


def written(path: Path, seed: int) -> tuple[tuple[str, int, int], Cell]:
    """The texts of a finished run; the seed orders them."""
    run = RunFolder.open(path)
    task = run.task()
    judged, _ = other_rows(run, task, HELD)
    student: FrozenStudent = run.student("first")  # type: ignore[assignment]
    rng = np.random.default_rng(seed)
    kept = list(run.kept())
    offered: dict[str, list[Candidate]] = defaultdict(list)
    for i in rng.permutation(len(kept)):
        offered[kept[i].label].append(Candidate(kept[i].text, None))
    wanted = Counter({label: -(-len(texts) // TIMES) for label, texts in offered.items()})
    rows = [*task.train, *class_list(student, task)]
    texts, labels = zip(*judged, strict=True)
    data = path.parent.name.split("-")[0]  # of its cell
    used = len(task.train) + len(task.validation)
    cell = Cell(student, rows, wanted, {"written": dict(offered)}, (texts, labels))
    return (data, used, seed), cell


def class_list(student: FrozenStudent, task: Task) -> Sequence[Example]:
    """The class list, where it helps the student of a run."""
    folds = stratified_folds([row.label for row in task.train], 5, 0)
    return try_class_list(student, task.train, task.taxonomy, folds).texts


def measured(cell: Cell, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """One line for every kind of texts, weight and way to choose."""
    for kind, offered in cell.candidates.items():
        for arm in (*WAYS, NOTHING):
            kept = [] if arm == NOTHING else chosen(cell, offered, arm, rng)
            known = [right for _, _, right in kept if right is not None]
            for weight in WEIGHTS:
                yield {
                    "texts": kind, "weight": weight, "arm": arm, "kept": len(kept),
                    "wrong": round(1 - float(np.mean(known)), 4) if known else None,
                    **judged(cell, kept, weight),
                }  # fmt: skip


def chosen(
    cell: Cell, offered: dict[str, list[Candidate]], arm: str, rng: np.random.Generator
) -> list[tuple[str, str, bool | None]]:
    """Text, class and whether it is right, of all that a way to choose keeps."""
    features, classes = cell.student.features, cell.student.classes
    known = features([row.text for row in cell.rows])
    labels = np.array([row.label for row in cell.rows])
    kept: list[tuple[str, str, bool | None]] = []
    taken = np.empty((0, known.shape[1]))
    for label, found in offered.items():
        texts = [one.text for one in found]
        seen = features(texts)
        likely = cell.student.predict_proba(texts)[:, classes.index(label)]
        view = View(seen, known[labels == label], np.vstack([known, taken]), likely, rng)
        picked = WAYS[arm](view, cell.wanted[label])
        kept += [(found[i].text, label, found[i].right) for i in picked]
        taken = np.vstack([taken, seen[picked]])
    return kept


def judged(
    cell: Cell, kept: Sequence[tuple[str, str, bool | None]], weight: float
) -> dict[str, float]:
    """How a student of the rows and of these texts does on the rows that judge."""
    texts, gold = cell.held
    student = with_texts(
        cell.student, cell.rows, [text for text, _, _ in kept], [label for _, label, _ in kept],
        np.full(len(kept), weight),
    )  # fmt: skip
    scores = evaluate(student.predict_proba(texts), gold, student.classes)
    return {name: round(float(getattr(scores, name)), 4) for name in MEASURES}


if __name__ == "__main__":
    main()
