"""What benchmarks share: which cells they measure, round 0, and rows that it has not seen."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pgkd.guidance import try_class_list
from pgkd.student import make_student
from pgkd.task import Task, load_task, read_rows, stratified_folds, stratified_split

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.student import Student
    from pgkd.student.frozen import FrozenStudent
    from pgkd.task import Example

SETS = ("banking77", "clinc150", "goemotions", "huffpost41_skew", "stackoverflow20", "trec6")
USED = 5500  # rows of a training file


def cell_arguments(
    doc: str | None,
    *,
    data: Sequence[str] = SETS,
    rows: Sequence[int] = (100, 400),
    seeds: Sequence[int] = (0, 1, 2),
) -> argparse.ArgumentParser:
    """Options that say which cells are measured, and their defaults; `doc` is the script's."""
    parser = argparse.ArgumentParser(description=(doc or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=list(data), help="names of data sets")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--rows", nargs="+", type=int, default=list(rows), help="labelled rows, a fifth validates")
    add("--seeds", nargs="+", type=int, default=list(seeds))
    return parser


class Start(NamedTuple):
    """Round 0 of a run on frozen features, and what its file holds besides.

    Attributes:
        task: the classes and the labelled rows, of which a fifth validates.
        student: tuned, and trained on `rows`.
        rows: the training rows and, where it helps, the class list.
        rest: other rows of the file, in random order.
    """

    task: Task
    student: FrozenStudent
    rows: list[Example]
    rest: list[Example]


def start(file: Path, labelled: int, seed: int) -> Start:
    """Draw labelled rows of a file, and train round 0 on them."""
    task, rest = labelled_rows(file, labelled, seed)
    student = make_student("encoder", task.taxonomy.names, seed=seed, recipe="frozen", threads=1)
    rows = [*task.train, *trained(student, task, seed)]
    return Start(task, student, rows, rest)  # type: ignore[arg-type]


def labelled_rows(file: Path, labelled: int, seed: int) -> tuple[Task, list[Example]]:
    """Rows drawn from those that are used of a file, a fifth to validate, and the rest shuffled."""
    whole, used = used_rows(file)
    shuffled = [used[i] for i in np.random.default_rng(seed).permutation(len(used))]
    drawn, rest = shuffled[:labelled], shuffled[labelled:]
    parts = stratified_split([row.label for row in drawn], 0.2, seed)
    train, validation = (tuple(drawn[i] for i in part) for part in parts)
    return Task(whole.taxonomy, train, validation), rest


@cache
def used_rows(file: Path) -> tuple[Task, list[Example]]:
    """The rows of a training file that are used, 5,500 at most.

    They are the same whatever the seed, so that the features of many cells are computed once.
    """
    whole = load_task(train=file, on_conflict="drop")
    rows = [*whole.train, *whole.validation]
    order = np.random.default_rng(12345).permutation(len(rows))[:USED]
    return whole, [rows[i] for i in order]


def trained(student: Student, task: Task, seed: int) -> tuple[Example, ...]:
    """Tune and train a student as round 0 of the loop does; the class list, where it trains too."""
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student.tune(texts, labels, seed=seed)
    trial = try_class_list(student, task.train, task.taxonomy, stratified_folds(labels, 5, seed))
    rows = [*task.train, *trial.texts]
    student.fit([row.text for row in rows], [row.label for row in rows])
    return trial.texts


def with_texts(
    student: FrozenStudent,
    rows: Sequence[Example],
    texts: Sequence[str],
    labels: Sequence[str],
    weights: NDArray[np.float64],
) -> FrozenStudent:
    """A student like this one, trained on rows, which weigh 1, and on weighted texts besides."""
    return student.clone().fit(
        [*(row.text for row in rows), *texts],
        [*(row.label for row in rows), *labels],
        np.r_[np.ones(len(rows)), weights],
    )


def undrawn(file: Path, task: Task) -> list[tuple[str, str]]:
    """Texts and labels of the training file that the task does not hold, in their order."""
    drawn = {row.text for row in (*task.train, *task.validation)}
    pairs = zip(*read_rows(file, "text", "label", classes=task.taxonomy.names), strict=True)
    return [(text, label) for text, label in pairs if text not in drawn]
