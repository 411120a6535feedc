"""Which way of training a student is best before any teacher is asked? Recipes side by side.

Of every data set, 1,000 rows are drawn by the seed and split into 800 training and 200 validation
rows. Every arm trains on the same 800. While recipes are chosen, they are judged on rows of the
training file that were not drawn (`--judge held`); the test file is read by `--judge test`, once
the choice is made. A cell that is in the results already is not run again, and a student that was
trained once is kept in `--students` and only judged again.

`alone` is `frozen` without the class names as training texts, `lr` scikit-learn's logistic
regression on the same features.

    python benchmarks/recipes.py --data trec6 banking77 --arms frozen finetune --seeds 0
    python benchmarks/recipes.py --judge test --arms lr frozen auto static
    make bench-setfit
"""

from __future__ import annotations

import argparse
import json
import subprocess
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.encoders.transformer import load_encoder
from pgkd.tasks.classification.data.dataset import load_dataset, read_rows
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.evaluation.teacher import draw_rows
from pgkd.tasks.classification.feedback.cross_validation import try_label_names
from pgkd.tasks.classification.students import load_student, make_student
from pgkd.tasks.common.folds import stratified_folds
from pgkd.weights.fetch import ensure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student

HERE = Path(__file__).parent
SETS = (
    "agnews", "yahoo_answers", "huffpost41_skew", "banking77", "clinc150", "goemotions", "trec6",
    "stackoverflow20",
)  # fmt: skip
ENCODER = "all-minilm-l6-v2"
MAX_LENGTH = 128
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)


class Lines:
    """A file of results that grows by a line as soon as a cell is measured.

    Args:
        path: the file; it may be missing.
        key: fields that tell the cells apart.

    Attributes:
        all: every line, those of earlier runs first.
    """

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self._path, self._key = path, tuple(key)
        told = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.all: list[dict[str, Any]] = [json.loads(line) for line in told]
        self._cells = {self._cell(line) for line in self.all}

    def __contains__(self, cell: tuple[Any, ...]) -> bool:
        """Has this cell been measured?"""
        return cell in self._cells

    def add(self, line: dict[str, Any]) -> None:
        """Write down what was measured."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.all.append(line)
        self._cells.add(self._cell(line))

    def _cell(self, line: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(line[name] for name in self._key)


@dataclass(frozen=True)
class Cell:
    """One data set with one seed: what all arms are given.

    Attributes:
        judged: the texts that every arm answers for; their labels are in `gold`.
    """

    data: str
    seed: int
    task: TextDataset
    judged: Sequence[str]
    gold: Sequence[str]

    @property
    def rows(self) -> tuple[list[str], list[str]]:
        """Texts and labels to train on."""
        return [row.text for row in self.task.train], [row.label for row in self.task.train]


def main() -> None:
    """Run what is missing, one line of JSON a cell; then print the table."""
    args = arguments()
    lines = Lines(args.out, ("data", "seed", "arm", "judge"))
    for name in args.data:
        for seed in args.seeds:
            missing = [a for a in args.arms if (name, seed, a, args.judge) not in lines]
            if not missing:
                continue
            cell = cell_of(args, name, seed)
            for arm in missing:
                line = {"data": name, "seed": seed, "arm": arm, "judge": args.judge}
                line |= run(args, cell, arm)
                print(json.dumps(line), flush=True)
                lines.add(line)
    print_table([x for x in lines.all if x["judge"] == args.judge and x["arm"] in args.arms])


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=list(SETS), help="names of data sets")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one cell each")
    add("--arms", nargs="+", default=["lr", "frozen", "auto"], help="recipes, or lr, setfit, …")
    add("--judge", choices=("held", "test"), default="held", help="rows that judge")
    add("--held", type=int, default=1500, help="how many rows judge, with --judge held")
    add("--limit", type=int, default=1000, help="rows drawn, four fifths of them to train on")
    add("--threads", type=int, default=1, help="CPU threads")
    add("--setfit-python", help="Python of a virtual environment that holds setfit")
    add("--setfit-iterations", type=int, default=20, help="pairs a row, as in SetFit's paper")
    add("--students", type=Path, default=Path("runs/recipes"), help="folder of trained students")
    add("--out", type=Path, default=HERE / "results" / "recipes.jsonl", help="a line a cell")
    return parser.parse_args()


def cell_of(args: argparse.Namespace, name: str, seed: int) -> Cell:
    """The rows of a cell, and those that judge it."""
    folder = args.data_root / name
    task = load_dataset(train=folder / "train.csv.gz", limit=args.limit, seed=seed)
    classes = task.taxonomy.names
    if args.judge == "test":
        return Cell(
            name, seed, task, *read_rows(folder / "test.csv.gz", "text", "label", classes=classes)
        )
    rest = undrawn(folder / "train.csv.gz", task)
    picked = [rest[i] for i in draw_rows(len(rest), min(args.held, len(rest)), seed=1)]
    return Cell(name, seed, task, [text for text, _ in picked], [label for _, label in picked])


def run(args: argparse.Namespace, cell: Cell, arm: str) -> dict[str, Any]:
    """Train one arm and measure it; the seconds are those of the training."""
    if arm == "lr":
        started = time.process_time()
        probabilities = logistic_regression(cell)
        seconds = time.process_time() - started
    elif arm == "setfit":
        probabilities, seconds = setfit(args, cell)
    else:
        made, seconds = student(args, cell, arm)
        probabilities = made.predict_proba(cell.judged)
    found = evaluate(probabilities, cell.gold, cell.task.taxonomy.names)
    return {
        "accuracy": round(found.accuracy, 4),
        "macro_f1": round(found.macro_f1, 4),
        "log_loss": round(found.log_loss, 4),
        "judged": len(cell.gold),
        "cpu_s": round(seconds, 1),
    }


def student(args: argparse.Namespace, cell: Cell, arm: str) -> tuple[Student, float]:
    """A student as round 0 of the loop trains it, and the CPU seconds that it took.

    An arm is a kind of student, or a recipe of the encoder.
    """
    folder = args.students / f"{cell.data}-{args.limit}-s{cell.seed}-{arm}"
    took = folder.with_suffix(".json")
    if took.exists():  # written last
        return load_student(folder), json.loads(took.read_text(encoding="utf-8"))["cpu_s"]
    kind, settings = arm, {}
    if arm not in ("static", "linear"):
        recipe = "frozen" if arm == "alone" else arm
        kind = "encoder"
        settings = {"recipe": recipe, "threads": args.threads, "max_length": MAX_LENGTH}
    started = time.process_time()
    made = make_student(kind, cell.task.taxonomy.names, seed=cell.seed, **settings)
    trained(made, cell.task, cell.seed, class_names=arm != "alone")
    seconds = time.process_time() - started
    made.save(folder)
    took.write_text(json.dumps({"cpu_s": seconds, "tuning": made.tuning}), encoding="utf-8")
    return made, seconds


def trained(
    student: Student, task: TextDataset, seed: int, *, class_names: bool = True
) -> tuple[LabelledText, ...]:
    """Tune and train a student as round 0 of the loop does.

    Returns:
        The class names that were trained as texts, where that helps; none if not `class_names`.
    """
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student.tune(texts, labels, seed=seed)
    names: tuple[LabelledText, ...] = ()
    if class_names:
        folds = stratified_folds(labels, 5, seed)
        names = try_label_names(student, task.train, task.taxonomy, folds).texts
    rows = [*task.train, *names]
    student.fit([row.text for row in rows], [row.label for row in rows])
    return names


def undrawn(file: Path, task: TextDataset) -> list[tuple[str, str]]:
    """Texts and labels of the training file that the task does not hold, in their order."""
    drawn = {row.text for row in (*task.train, *task.validation)}
    pairs = zip(*read_rows(file, "text", "label", classes=task.taxonomy.names), strict=True)
    return [(text, label) for text, label in pairs if text not in drawn]


def logistic_regression(cell: Cell) -> NDArray[np.float64]:
    """scikit-learn's, on the frozen features, with C by cross-validated accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV

    encoder = load_encoder(ENCODER, MAX_LENGTH)
    texts, labels = cell.rows
    model = GridSearchCV(LogisticRegression(max_iter=2000), {"C": STRENGTHS}, cv=5)
    model.fit(encoder.features(texts), labels)
    return spread(
        model.predict_proba(encoder.features(cell.judged)),
        [cell.task.taxonomy.index[name] for name in model.classes_],
        len(cell.task.taxonomy.names),
    )


def setfit(args: argparse.Namespace, cell: Cell) -> tuple[NDArray[np.float64], float]:
    """SetFit with the same encoder, in a process of its own; its probabilities and CPU seconds."""
    texts, labels = cell.rows
    index = cell.task.taxonomy.index
    answer = ask_setfit(args.setfit_python, {
        "texts": texts, "labels": [index[label] for label in labels], "judged": list(cell.judged),
        "encoder": str(ensure(ENCODER)), "max_length": MAX_LENGTH, "seed": cell.seed,
        "iterations": args.setfit_iterations, "threads": args.threads,
    })  # fmt: skip
    probabilities = np.array(answer["probabilities"])
    return spread(probabilities, answer["classes"], len(index)), float(answer["cpu_s"])


def ask_setfit(python: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """What `setfit_arm.py` answers to a cell, under a Python that has setfit."""
    if python is None:
        raise SystemExit("The arm setfit needs --setfit-python; see benchmarks/setfit_arm.py.")
    command = [python, str(HERE / "setfit_arm.py")]
    done = subprocess.run(
        command, input=json.dumps(given), stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


def spread(
    found: NDArray[np.float64], columns: Sequence[int], n_classes: int
) -> NDArray[np.float64]:
    """Probabilities over all classes, of a model that knows those of its rows only."""
    probabilities = np.zeros((len(found), n_classes))
    probabilities[:, list(columns)] = found
    return probabilities


def print_table(lines: Sequence[dict[str, Any]]) -> None:
    """Markdown: mean and sample standard deviation over the seeds, and the mean of each arm."""
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    for measure in ("accuracy", "macro_f1", "cpu_s"):
        values: dict[tuple[str, str], list[float]] = defaultdict(list)
        for line in lines:
            if line[measure] is not None:
                values[line["data"], line["arm"]].append(line[measure])
        print(f"\n| {measure} | {' | '.join(arms)} |\n|---|{'---|' * len(arms)}")
        digits = 0 if measure == "cpu_s" else 3
        for name in dict.fromkeys(line["data"] for line in lines):
            cells = (shown(values.get((name, arm)), digits) for arm in arms)
            print(f"| {name} | {' | '.join(cells)} |")
        shared = [n for n in SETS if all(values.get((n, arm)) for arm in arms)]
        if shared:
            means = (np.mean([np.mean(values[n, arm]) for n in shared]) for arm in arms)
            cells = (f"{mean:.{digits}f}" for mean in means)
            print(f"| mean of {len(shared)} | {' | '.join(cells)} |")


def shown(values: Sequence[float] | None, digits: int) -> str:
    """Mean ± spread, for people; of one or two seeds, how many they are."""
    if not values:
        return "–"
    mean = f"{np.mean(values):.{digits}f}"
    deviation = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return mean + deviation + (f" ({len(values)})" if len(values) < 3 else "")


if __name__ == "__main__":
    main()
