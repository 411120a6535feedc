"""What should a written text weigh, and does `written_weight: auto` find it?

Finished runs, trained again with other weights: with the teacher's texts, and with real rows of
the same classes in their place, as a perfect teacher would write them. Judged on rows of the
training file that the run did not draw; the test file is not read. The student's hyper-parameters
are the run's own.

    python benchmarks/text_weight.py RUN [RUN ...]
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from summarise import grouped, mean_and_spread

from pgkd.config import Config
from pgkd.distill import RunFolder
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance import ClassificationGuide
from pgkd.guidance.class_list import class_texts
from pgkd.task import Example, Task
from pgkd.task.loading import read_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

HERE = Path(__file__).parent
FIXED = (0.03, 0.05, 0.1, 0.3, 1.0)
CELL = re.compile(r"(?P<data>.+)-s(?P<seed>\d+)-(?P<arm>.+)")  # the name of a cell of a grid
SETTINGS: tuple[float | None, ...] = (None, *FIXED)  # None is `auto`


def main() -> None:
    """Measure every run; print, and write the JSON."""
    args = arguments()
    runs = []
    for path in args.runs:
        runs.append(measure(path, args.rows))
        print(json.dumps(runs[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"rows_judged": args.rows, "environment": environment(), "runs": runs}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(runs))
    print(comparison(runs))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("runs", nargs="+", type=Path, help="run folders of a file that has more rows than they use")
    add("--rows", type=int, default=1500, help="rows to judge by, at most")
    add("--out", type=Path, default=HERE / "results" / "text_weight.json", help="JSON to write")
    return parser.parse_args()


def measure(path: Path, n: int) -> dict[str, Any]:
    """Accuracy of one run's student with each weight, by texts and class list."""
    run = RunFolder.open(path)
    task = run.task()
    judged, spare = other_rows(run, task, n)
    written = list(run.kept())
    texts = {"teacher": written, "real rows": in_their_place(written, spare)}
    lists = {"class list": class_texts(task.taxonomy), "no class list": ()}
    return {
        "run": path.parent.name,  # its cell: data, rows, seed, arm and teacher
        "rows": {"train": len(task.train), "judged": len(judged)},
        "texts": {name: len(given) for name, given in texts.items()},
        "accuracy": {
            f"{who}, {which}": weighed(run, task, given, class_list, judged)
            for which, class_list in lists.items()
            for who, given in texts.items()
        },
    }


def other_rows(
    run: RunFolder, task: Task, n: int
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Rows of the training file that the run did not draw: some to judge by, and the others."""
    data = Config.from_yaml(run.path / "config.yaml").data
    assert data.train is not None
    names = task.taxonomy.names
    rows = zip(
        *read_rows(data.train, data.text_column, data.label_column, classes=names), strict=True
    )
    own = {row.text for row in (*task.train, *task.validation)}
    others = [row for row in rows if row[0] not in own]
    random.Random(0).shuffle(others)
    n = min(n, len(others) // 2)
    return others[:n], others[n:]


def in_their_place(written: Sequence[Example], spare: Sequence[tuple[str, str]]) -> list[Example]:
    """Real rows of the classes of the written texts, as many of each as there are."""
    by_class: dict[str, list[str]] = {}
    for text, label in spare:
        by_class.setdefault(label, []).append(text)
    return [
        Example(by_class[text.label].pop(), text.label, text.id, text.origin)
        for text in written
        if by_class.get(text.label)
    ]


def weighed(
    run: RunFolder,
    task: Task,
    texts: Sequence[Example],
    class_list: Sequence[Example],
    judged: Sequence[tuple[str, str]],
) -> dict[str, float]:
    """Accuracy on the judged rows without texts, with each weight, and with the fitted one."""
    held, gold = zip(*judged, strict=True)
    student = run.student("first")

    def accuracy(weight: float | None, given: Sequence[Example]) -> tuple[float, float | None]:
        guide = ClassificationGuide(
            task, student, NoAsking(), folds=np.zeros(len(task.train), dtype=np.int64),
            weights=lambda: (0.3, 1.0, 0.1) if weight is None else (weight,), class_list=class_list,
        )  # fmt: skip
        trained = guide.train(given)
        found = evaluate(trained.predict_proba(held), gold, task.taxonomy.names)
        return round(found.accuracy, 4), guide.written_weight

    figures = {"none": accuracy(1.0, ())[0]}
    for weight in SETTINGS:
        found, used = accuracy(weight, texts)
        figures["auto" if weight is None else f"{weight:g}"] = found
        if weight is None:
            figures["auto is"] = float(used or 0)
    return figures


class NoAsking:
    """Nothing is asked here."""

    def ask(self, number: int, assessment: Any, written: Sequence[Example]) -> tuple[()]:
        """No requests."""
        return ()


def table(runs: list[dict[str, Any]]) -> str:
    """Mean and range over the runs that differ by their seed alone, as Markdown."""
    columns = ("none", *(f"{w:g}" for w in FIXED), "auto", "auto is")
    lines = [
        "| runs, texts | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault(CELL.sub(r"\g<data>, \g<arm>", run["run"]), []).append(run)
    for name, group in groups.items():
        for arm in group[0]["accuracy"]:
            cells = [cell([run["accuracy"][arm][c] for run in group], c) for c in columns]
            lines.append(f"| {name}, {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def comparison(runs: list[dict[str, Any]]) -> str:
    """The texts of the first arm against those of every other one, paired by data and seed.

    Change of accuracy with the class list, mean and sample standard deviation over the seeds, as
    Markdown; empty where all runs are of one arm.
    """
    cells = [
        {**named.groupdict(), "accuracy": run["accuracy"]["teacher, class list"]}
        for run in runs
        if (named := CELL.fullmatch(run["run"]))
    ]
    arms = {
        arm: {(cell["data"], cell["seed"]): cell["accuracy"] for cell in group}
        for (arm,), group in grouped(cells, "arm")
    }
    if len(arms) < 2:
        return ""
    columns = [f"{weight:g}" for weight in FIXED]
    lines = [
        "| change of accuracy | " + " | ".join(columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    first, *others = arms
    for other in others:
        name = f"{first} against {other}"
        changes = [
            {"data": data, "seed": seed, "by weight": [ours[c] - theirs[c] for c in columns]}
            for (data, seed), ours in sorted(arms[first].items())
            if (theirs := arms[other].get((data, seed)))
        ]
        by_data = grouped(changes, "data")
        whole = [
            {"by weight": np.mean([change["by weight"] for change in group], axis=0)}
            for _, group in grouped(changes, "seed")
            if len(group) == len(by_data)
        ]
        lines += [change_line(f"{data}, {name}", group) for (data,), group in by_data]
        lines += [change_line(f"mean of the data sets, {name}", whole)] if whole else []
    return "\n".join(lines)


def change_line(name: str, changes: list[dict[str, Any]]) -> str:
    """A line of the comparison, of the changes of several seeds."""
    by_weight = zip(*(change["by weight"] for change in changes), strict=True)
    return f"| {name} | " + " | ".join(mean_and_spread(list(of)) for of in by_weight) + " |"


def cell(values: list[float], column: str) -> str:
    """Mean and range of one figure; of the weights that `auto` chose, all."""
    if column == "auto is":
        return ", ".join(f"{value:g}" for value in values)
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"


if __name__ == "__main__":
    main()
