"""Which texts of a pool should be labelled, and how many labels does that save?

A hundred labelled rows (80 to train on), a pool of up to 4,000 rows, 1,300 others held out: all
of the training file, drawn by the seed. Of a larger file 5,500 rows are used. Every round asks for
the classes of 32 texts of the pool. The student is that of `recipe: frozen`, its hyper-parameters
chosen on the labelled rows alone, as in a run.

Ways to choose are compared on the held-out rows; the test file is read with `--test` only, for the
way that was chosen. `--teacher held` labels by a classifier of the held-out rows, `full` by one of
all rows; their labels weigh what an audit of 32 training rows says.

    python benchmarks/pool_choice.py --arms random margin badge typiclust herding:0.2
    python benchmarks/pool_choice.py --arms random guided --rounds 20 --seeds 0 1 2 --test
"""

from __future__ import annotations

import argparse
import time
from functools import cache, partial
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, NamedTuple

import label_savings
import numpy as np
from lines import Lines
from round0 import labelled_rows

from pgkd.curation import without_rows
from pgkd.distill.exam import Exam, Share
from pgkd.evaluation import evaluate
from pgkd.guidance import (
    ClassificationGuide,
    GuidedChoice,
    RandomChoice,
    try_class_list,
)
from pgkd.guidance.choosing import doubts, herd, most_doubtful
from pgkd.student import make_student
from pgkd.task import (
    Example,
    Origin,
    Pool,
    PoolText,
    Task,
    read_rows,
    stratified_folds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.guidance import Assessment
    from pgkd.student import Student

    Choose = Callable[[Student, Sequence[str], Sequence[str], Any, int], list[int]]

HERE = Path(__file__).parent
SETS = ("trec6", "banking77", "huffpost41_skew", "stackoverflow20", "clinc150", "goemotions")
LABELLED, HELD, POOL = 100, 1300, 4000
TEST_ROWS, AUDITED = 2000, 32


class Rows(NamedTuple):
    """What one seed draws from a training file."""

    task: Task
    pool: list[Example]
    held: list[Example]


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
    print(label_savings.table(lines.all))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=list(SETS))
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[10, 11])
    add("--rounds", type=int, default=10)
    add("--samples", type=int, default=32, help="labels of a round")
    add("--arms", nargs="+", default=["random", "margin", "guided", "needs"])
    add("--teacher", choices=["truth", "held", "full"], default="truth", help="who labels")
    add("--test", action="store_true", help="judge on test rows, not on those held out")
    add("--out", type=Path, default=HERE / "results" / "pool_choice.jsonl", help="lines to add to")
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
    label_of: dict[str, tuple[str, float | None]] = {r.id: (r.label, None) for r in rows.pool}
    guide, weight, right = guide_of(task, seed), 1.0, 1.0
    if args.teacher != "truth":
        knows = rows.held if args.teacher == "held" else [*task.train, *rows.held, *rows.pool]
        said, weight = labelled_by_classifier(rows, knows, seed)
        right = mean(said[row.id][0] == row.label for row in rows.pool)
        label_of, guide = said, guide_of(task, seed, weight)
    left, known = list(task.pool.texts), list[Example]()
    choose = choice_of(arm, seed)
    found: dict[str, Any] = {"labels": [], "accuracy": [], "macro_f1": []}
    for number in range(args.rounds + 1):
        student = guide.train(known)
        metrics = evaluate(student.predict_proba(texts), gold, classes)
        found["labels"].append(len(known))
        found["accuracy"].append(round(metrics.accuracy, 4))
        found["macro_f1"].append(round(metrics.macro_f1, 4))
        if number == args.rounds:
            break
        assessment = guide.assess(student, known) if arm == "needs" else None
        seen = [row.text for row in (*task.train, *known)]
        chosen = choose(student, [text.text for text in left], seen, assessment, args.samples)
        for text in (left[i] for i in chosen):
            label, sure = label_of[text.id]
            origin = Origin(number + 1, "question", labelled=True, confidence=sure)
            known.append(Example(text.text, label, text.id, origin))
        taken = set(chosen)
        left = [text for i, text in enumerate(left) if i not in taken]
    return {
        "data": name, "seed": seed, "arm": arm, "teacher": args.teacher,
        "judged": f"{len(texts)} {'test' if args.test else 'held-out'} rows",
        "teacher_right": round(right, 4), "weight": round(weight, 4),
        **found, "seconds": round(time.perf_counter() - start, 1),
    }  # fmt: skip


@cache
def drawn(file: Path, seed: int) -> Rows:
    """Labelled rows, the pool and the rows held out."""
    task, rest = labelled_rows(file, LABELLED, seed)
    held, pool = rest[:HELD], rest[HELD:][:POOL]
    texts = Pool(tuple(PoolText(row.text, row.id) for row in pool))
    usable = without_rows(texts, task, near_duplicate=0.9)
    return Rows(Task(task.taxonomy, task.train, task.validation, (), usable), pool, held)


@cache
def test_rows(file: Path, classes: tuple[str, ...]) -> list[tuple[str, str]]:
    """Texts and classes of up to 2,000 test rows, the same for every seed."""
    pairs = list(zip(*read_rows(file, "text", "label", classes=classes), strict=True))
    order = np.random.default_rng(0).permutation(len(pairs))[:TEST_ROWS]
    return [pairs[i] for i in order]


def labelled_by_classifier(
    rows: Rows, knows: Sequence[Example], seed: int
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


def guide_of(task: Task, seed: int, weight: float = 1.0) -> ClassificationGuide:
    """The guide of a run, which asks for nothing."""
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = make_student("encoder", task.taxonomy.names, seed=seed, recipe="frozen", threads=1)
    student = student.tune(texts, labels, seed=seed)
    folds = stratified_folds(labels, 5, seed)
    trial = try_class_list(student, task.train, task.taxonomy, folds)
    return ClassificationGuide(
        task, student, NoAsking(), folds=folds, class_list=trial.texts,
        labelled_weight=lambda: weight,
    )  # fmt: skip


class NoAsking:
    """Nothing is asked here."""

    def ask(self, number: int, assessment: Any, written: Sequence[Example]) -> tuple[()]:
        """No requests."""
        return ()


def choice_of(arm: str, seed: int) -> Choose:
    """A way to choose by its name: ``herding:0.1`` is herding with that reach."""
    name, _, value = arm.partition(":")
    rng = np.random.default_rng(seed)
    made: dict[str, Callable[[], Choose]] = {
        "random": lambda: RandomChoice(seed),
        "margin": lambda: margin,
        "badge": lambda: partial(badge, rng=rng),
        "typiclust": lambda: typiclust,
        "coverage": lambda: partial(herding, rng=rng, reach=float(value or 0.2), blind=True),
        "herding": lambda: partial(herding, rng=rng, reach=float(value or 0.2)),
        "guided": lambda: GuidedChoice(seed),
        "needs": lambda: GuidedChoice(seed, by_need=True),
    }
    return made[name]()


def margin(
    student: Student, pool: Sequence[str], known: Sequence[str], assessment: Assessment, n: int
) -> list[int]:
    """The smallest margins between the two most probable classes (Scheffer et al., IDA 2001)."""
    return most_doubtful(doubts(student.predict_proba(pool)), n)


def herding(
    student: Student,
    pool: Sequence[str],
    known: Sequence[str],
    assessment: Assessment,
    n: int,
    *,
    rng: np.random.Generator,
    reach: float,
    blind: bool = False,
) -> list[int]:
    """Uncertainty herding (Bae et al., ICLR 2025); blind to doubt, it only covers the pool."""
    doubt = np.ones(len(pool)) if blind else doubts(student.predict_proba(pool))
    seen = features_of(student, pool)
    return herd(doubt, lambda rows: seen[rows], features_of(student, known), n, rng, reach=reach)


def badge(
    student: Student,
    pool: Sequence[str],
    known: Sequence[str],
    assessment: Assessment,
    n: int,
    *,
    rng: np.random.Generator,
) -> list[int]:
    """k-means++ over the gradients of the head by its own labels (BADGE, Ash et al., ICLR 2020).

    A gradient is the outer product of an error and the features; its distances need neither whole.
    """
    error, seen = student.predict_proba(pool), features_of(student, pool)
    error[np.arange(len(error)), error.argmax(axis=1)] -= 1
    size = (error**2).sum(axis=1) * (seen**2).sum(axis=1)
    chosen = [int(size.argmax())]
    nearest = np.full(len(size), np.inf)
    while len(chosen) < min(n, len(size)):
        last = chosen[-1]
        between = size + size[last] - 2 * (error @ error[last]) * (seen @ seen[last])
        nearest = np.minimum(nearest, np.maximum(between, 0.0))
        nearest[chosen] = 0.0
        chosen.append(int(rng.choice(len(size), p=nearest / nearest.sum())))
    return chosen


def typiclust(
    student: Student, pool: Sequence[str], known: Sequence[str], assessment: Assessment, n: int
) -> list[int]:
    """The most typical text of each of the largest clusters without a label.

    TypiClust, Hacohen et al., ICML 2022. Where clusters run out, the most doubtful texts.
    """
    from sklearn.cluster import KMeans

    given, seen = features_of(student, known), features_of(student, pool)
    k = min(len(given) + n, 500)
    labels = KMeans(k, n_init=1, random_state=0).fit(np.vstack([given, seen])).labels_
    covered = set(labels[: len(given)].tolist())
    clusters = [np.flatnonzero(labels[len(given) :] == c) for c in range(k) if c not in covered]
    clusters.sort(key=len, reverse=True)
    chosen = [int(rows[typical(seen[rows])]) for rows in clusters[:n] if len(rows)]
    rest = most_doubtful(doubts(student.predict_proba(pool)), 2 * n)
    return (chosen + [i for i in rest if i not in set(chosen)])[:n]


def typical(features: NDArray[np.float64]) -> int:
    """The row that is nearest to its twenty nearest others."""
    if len(features) == 1:
        return 0
    far = 1 - features @ features.T
    np.fill_diagonal(far, np.inf)
    return int(np.sort(far, axis=1)[:, : min(20, len(far) - 1)].mean(axis=1).argmin())


def features_of(student: Student, texts: Sequence[str]) -> NDArray[np.float64]:
    """What an encoder student sees."""
    found = student.features(texts)
    assert found is not None
    return found


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


if __name__ == "__main__":
    main()
