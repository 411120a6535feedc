"""Which texts of a pool should be labelled, and how many labels does that save?

A hundred labelled rows (80 to train on), a pool of up to 4,000 rows, 1,300 others held out: all
of the training file, drawn by the seed. Of a larger file 5,500 rows are used. Every round asks for
the classes of 32 texts of the pool. The student is that of `recipe: frozen`, its hyper-parameters
chosen on the labelled rows alone, as in a run.

Guided labels are compared with random ones, on the held-out rows or, with `--test`, on the test
file. For every number N of random labels it says the least number of guided ones from which the
mean accuracy over the seeds is at least that of N random ones. `--teacher held` labels by a
classifier of the held-out rows, `full` by one of all rows; their labels weigh what an audit of 32
training rows says.

    python benchmarks/pool.py --rounds 20 --seeds 0 1 2 --test
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from functools import cache
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from recipes import Lines

from pgkd.task import Origin
from pgkd.tasks.classification.data.dataset import (
    TextDataset,
    load_dataset,
    read_rows,
    stratified_split,
)
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.data.pool import Pool, PoolText, without_rows
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.acquisition import GuidedChoice, RandomChoice
from pgkd.tasks.classification.feedback.cross_validation import try_label_names
from pgkd.tasks.classification.feedback.examination import Exam, Share
from pgkd.tasks.classification.learner import ClassificationLearner
from pgkd.tasks.classification.students import make_student
from pgkd.tasks.common.folds import stratified_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgkd.tasks.classification.feedback.acquisition import Choice

SETS = ("trec6", "banking77", "huffpost41_skew", "stackoverflow20", "clinc150", "goemotions")
USED = 5500  # rows of a training file
LABELLED, HELD, POOL = 100, 1300, 4000
TEST_ROWS, AUDITED = 2000, 32
CHOICES: dict[str, Callable[[int], Choice]] = {"random": RandomChoice, "guided": GuidedChoice}
TOLD = (160, 320, 480, 640)  # numbers of random labels in the table
_SAME = 1e-9


class Rows(NamedTuple):
    """What one seed draws from a training file."""

    task: TextDataset
    pool: list[LabelledText]
    held: list[LabelledText]


def labelled_weight(right: int, asked: int, n_classes: int) -> float:
    """What a text with the teacher's label weighs, as a run weighs it."""
    return max(0.05, Exam(Share(right, asked), None, packs=True, n_classes=n_classes).worth)


def main() -> None:
    """Run what is not in the output yet, a line each; print the tables."""
    args = arguments()
    lines = Lines(args.out, ("data", "seed", "arm", "teacher"))
    for name in args.data:
        for seed in args.seeds:
            for arm in args.arms:
                if (name, seed, arm, args.teacher) not in lines:
                    line = measure(args, name, arm, seed)
                    lines.add(line)
                    told = line["accuracy"][-1], line["seconds"]
                    print(name, seed, arm, args.teacher, *told, flush=True)
    print(table(lines.all))
    print(savings_table(lines.all))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=list(SETS))
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[10, 11])
    add("--rounds", type=int, default=10)
    add("--samples", type=int, default=32, help="labels of a round")
    add("--arms", nargs="+", choices=CHOICES, default=list(CHOICES))
    add("--teacher", choices=["truth", "held", "full"], default="truth", help="who labels")
    add("--test", action="store_true", help="judge on test rows, not on those held out")
    add("--out", type=Path, default=Path("runs/pool.jsonl"), help="lines to add to")
    return parser.parse_args()


def measure(args: argparse.Namespace, name: str, arm: str, seed: int) -> dict[str, Any]:
    """Accuracy and macro F1 on the judged rows after each round of an arm."""
    start = time.perf_counter()
    rows = drawn(args.data_root / name / "train.csv.gz", seed)
    task, classes = rows.task, rows.task.taxonomy.names
    judged = [(row.text, row.label) for row in rows.held]
    if args.test:
        judged = test_rows(args.data_root / name / "test.csv.gz", classes)
    texts, gold = zip(*judged, strict=True)
    parse_label: dict[str, tuple[str, float | None]] = {r.id: (r.label, None) for r in rows.pool}
    guide, weight, right = guide_of(task, seed), 1.0, 1.0
    if args.teacher != "truth":
        knows = rows.held if args.teacher == "held" else [*task.train, *rows.held, *rows.pool]
        said, weight = labelled_by_classifier(rows, knows, seed)
        right = mean(said[row.id][0] == row.label for row in rows.pool)
        parse_label, guide = said, guide_of(task, seed, weight)
    left, known = list(task.pool.texts), list[LabelledText]()
    choose = CHOICES[arm](seed)
    found: dict[str, Any] = {"labels": [], "accuracy": [], "macro_f1": []}
    for number in range(args.rounds + 1):
        student = guide.train(known)
        metrics = evaluate(student.predict_proba(texts), gold, classes)
        found["labels"].append(len(known))
        found["accuracy"].append(round(metrics.accuracy, 4))
        found["macro_f1"].append(round(metrics.macro_f1, 4))
        if number == args.rounds:
            break
        seen = [row.text for row in (*task.train, *known)]
        chosen = choose(student, [text.text for text in left], seen, args.samples)
        for text in (left[i] for i in chosen):
            label, sure = parse_label[text.id]
            origin = Origin(number + 1, "question", labelled=True, confidence=sure)
            known.append(LabelledText(text.text, label, text.id, origin))
        taken = set(chosen)
        left = [text for i, text in enumerate(left) if i not in taken]
    return {
        "data": name, "seed": seed, "arm": arm, "teacher": args.teacher,
        "judged": f"{len(texts)} {'test' if args.test else 'held-out'} rows",
        "teacher_right": round(right, 4), "weight": round(weight, 4),
        **found, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


def labelled_rows(file: Path, labelled: int, seed: int) -> tuple[TextDataset, list[LabelledText]]:
    """Rows drawn from those that are used of a file, a fifth to validate, and the rest shuffled."""
    whole, used = used_rows(file)
    shuffled = [used[i] for i in np.random.default_rng(seed).permutation(len(used))]
    drawn, rest = shuffled[:labelled], shuffled[labelled:]
    parts = stratified_split([row.label for row in drawn], 0.2, seed)
    train, validation = (tuple(drawn[i] for i in part) for part in parts)
    return TextDataset(whole.taxonomy, train, validation), rest


@cache
def used_rows(file: Path) -> tuple[TextDataset, list[LabelledText]]:
    """The rows of a training file that are used, 5,500 at most.

    They are the same whatever the seed, so that the features of many cells are computed once.
    """
    whole = load_dataset(train=file, on_conflict="drop")
    rows = [*whole.train, *whole.validation]
    order = np.random.default_rng(12345).permutation(len(rows))[:USED]
    return whole, [rows[i] for i in order]


@cache
def drawn(file: Path, seed: int) -> Rows:
    """Labelled rows, the pool and the rows held out."""
    task, rest = labelled_rows(file, LABELLED, seed)
    held, pool = rest[:HELD], rest[HELD:][:POOL]
    texts = Pool(tuple(PoolText(row.text, row.id) for row in pool))
    usable = without_rows(texts, task, near_duplicate=0.9)
    return Rows(TextDataset(task.taxonomy, task.train, task.validation, (), usable), pool, held)


@cache
def test_rows(file: Path, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Texts and classes of up to 2,000 test rows, the same for every seed."""
    pairs = list(zip(*read_rows(file, "text", "label", classes=classes), strict=True))
    order = np.random.default_rng(0).permutation(len(pairs))[:TEST_ROWS]
    return [pairs[i] for i in order]


def labelled_by_classifier(
    rows: Rows, knows: Sequence[LabelledText], seed: int
) -> tuple[dict[str, tuple[str, float | None]], float]:
    """What a classifier of some rows says of the pool, how surely, and what an audit makes of it.

    Args:
        rows: the task and the pool.
        knows: the rows that the classifier is trained on.
        seed: of its hyper-parameters.
    """
    task, texts = rows.task, [row.text for row in knows]
    student = make_student("encoder", task.taxonomy.names, recipe="frozen", threads=1)
    labels = [row.label for row in knows]
    student.tune(texts, labels, seed=seed).fit(texts, labels)
    audited = list(task.train[:AUDITED])
    said = student.predict([row.text for row in audited])
    right = sum(label == row.label for label, row in zip(said, audited, strict=True))
    weight = labelled_weight(right, len(audited), len(task.taxonomy))
    told = student.predict_proba([row.text for row in rows.pool])
    names = student.classes
    return {
        row.id: (names[int(p.argmax())], float(p.max()))
        for row, p in zip(rows.pool, told, strict=True)
    }, weight


def guide_of(task: TextDataset, seed: int, weight: float = 1.0) -> ClassificationLearner:
    """The guide of a run, which asks for nothing."""
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = make_student("encoder", task.taxonomy.names, seed=seed, recipe="frozen", threads=1)
    student = student.tune(texts, labels, seed=seed)
    folds = stratified_folds(labels, 5, seed)
    trial = try_label_names(student, task.train, task.taxonomy, folds)
    return ClassificationLearner(
        task, student, NoPrompts(), folds=folds, label_names=trial.texts,
        labelled_weight=lambda: weight,
    )  # fmt: skip


class NoPrompts:
    """Nothing is asked here."""

    def prompts(self, number: int, assessment: Any, written: Sequence[LabelledText]) -> tuple[()]:
        """No requests."""
        return ()


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Mean accuracy over the seeds at half of the labels and at the end, and over all rounds."""
    lines = [
        "| data, teacher | choice | seeds | half | all | mean of the curve |",
        "|---" * 6 + "|",
    ]
    for key in dict.fromkeys((run["data"], run["teacher"], run["arm"]) for run in runs):
        data, teacher, arm = key
        group = [run for run in runs if (run["data"], run["teacher"], run["arm"]) == key]
        curves = [run["accuracy"] for run in group]
        figures = [
            mean(curve[len(curve) // 2] for curve in curves),
            mean(curve[-1] for curve in curves),
            mean(mean(curve) for curve in curves),
        ]
        told = " | ".join(f"{figure:.3f}" for figure in figures)
        lines.append(f"| {data}, {teacher} | {arm} | {len(curves)} | {told} |")
    return "\n".join(lines)


def savings(curves: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Per data set and teacher: both mean curves, and the guided labels that random ones are worth.

    Both curves are means over the same seeds. Between two rounds accuracy is taken to be straight.
    """
    groups: dict[tuple[str, str], dict[str, dict[str, Any]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for one in curves:
        groups[one["data"], one["teacher"]][one["arm"]][one["seed"]] = one
    for (data, teacher), arms in groups.items():
        seeds = sorted(arms["random"].keys() & arms["guided"].keys())
        if not seeds:
            continue
        labels = arms["random"][seeds[0]]["labels"]
        told: dict[str, Any] = {"data": data, "teacher": teacher, "seeds": len(seeds)}
        told["labels"] = labels
        for arm in ("random", "guided"):
            for measure in ("accuracy", "macro_f1"):
                values = [arms[arm][seed][measure] for seed in seeds]
                told[f"{arm} {measure}"] = [round(mean(v), 4) for v in zip(*values, strict=True)]
                if len(seeds) > 1:
                    spread = [round(stdev(v), 4) for v in zip(*values, strict=True)]
                    told[f"{arm} {measure} spread"] = spread
        for measure in ("accuracy", "macro_f1"):
            told[f"guided labels for {measure}"] = [
                needed(labels, told[f"guided {measure}"], goal)
                for goal in told[f"random {measure}"]
            ]
        yield told


def needed(labels: Sequence[int], values: Sequence[float], goal: float) -> float | None:
    """The least number of labels at which a curve reaches a goal; None where it never does."""
    for i, value in enumerate(values):
        if value >= goal - _SAME:
            if i == 0:
                return float(labels[0])
            share = (goal - values[i - 1]) / (value - values[i - 1])
            return round(labels[i - 1] + share * (labels[i] - labels[i - 1]), 1)
    return None


def savings_table(curves: Sequence[dict[str, Any]]) -> str:
    """Accuracy at some numbers of labels, and the labels that guidance needs, as Markdown."""
    lines = [
        "| data | labels | random | guided | guided labels for random's accuracy | share |",
        "|---|---|---|---|---|---|",
    ]
    for told in savings(curves):
        for n in TOLD:
            if n not in told["labels"]:
                continue
            i = told["labels"].index(n)
            need = told["guided labels for accuracy"][i]
            share = "–" if need is None else f"{need / n:.2f}"
            cells = [
                f"{told['data']}, {told['teacher']}", str(n),
                *(spread(told, arm, i) for arm in ("random", "guided")),
                "more than all" if need is None else f"{need:.0f}", share,
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def spread(told: dict[str, Any], arm: str, i: int) -> str:
    """Mean accuracy over seeds, and its sample standard deviation."""
    around = told.get(f"{arm} accuracy spread")
    return f"{told[f'{arm} accuracy'][i]:.3f}" + (f" ± {around[i]:.3f}" if around else "")


if __name__ == "__main__":
    main()
