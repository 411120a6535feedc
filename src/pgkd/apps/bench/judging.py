"""Cells judged on test rows, and arms compared: accuracy and macro F1 with their intervals.

The scores of one set of predictions and those of a thousand resamples of its rows are the same
sums, weighted by how often a row was drawn; so they are computed at once, as matrix products.
"""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.bench.distilling import sum_cost, texts_by
from pgkd.apps.bench.plan import ARMS
from pgkd.distiller import Distiller
from pgkd.errors import RunError
from pgkd.evaluation import Difference, percentiles, resamples
from pgkd.runs.folder import RunFolder
from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import limit_rows
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.evaluation.metrics import calibration_error, row_log_losses
from pgkd.tasks.classification.evaluation.teacher import draw_rows
from pgkd.tasks.classification.prompts.labelling import label_texts
from pgkd.usage import metered_teacher
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.apps.bench.plan import Cell, CellFolder, Plan
    from pgkd.apps.bench.sets import DataSet, HeldOutRows
    from pgkd.apps.bench.teachers import Teachers
    from pgkd.config import Config


@dataclass(frozen=True)
class Predictions:
    """What one cell predicts for the test rows of its data set.

    Attributes:
        gold: shape (n,), class indices.
        predicted: shape (n,); the number of classes where the answer was none of them.
        counts: shape (n,), False for rows that are not judged.
    """

    gold: NDArray[np.int64]
    predicted: NDArray[np.int64]
    counts: NDArray[np.bool_]


def figures(
    gold: NDArray[np.int64],
    predicted: NDArray[np.int64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, float]:
    """Accuracy, macro F1, and macro F1 of every group that has classes.

    Args:
        gold: shape (n,), class indices.
        predicted: shape (n,), class indices; `n_classes` stands for none of them.
        n_classes: number of classes.
        groups: the classes of each group.
    """
    everything = Predictions(gold, predicted, np.ones(len(gold), dtype=bool))
    found = scores(everything, np.ones((1, len(gold))), n_classes, groups)
    return {name: round(float(values[0]), 6) for name, values in found.items()}


def scores(
    found: Predictions,
    drawn: NDArray[np.float64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, NDArray[np.float64]]:
    """The scores of many weightings of the rows, each of shape (n_weightings,).

    Args:
        found: the predictions.
        drawn: shape (n_weightings, n), how often each row counts.
        n_classes: number of classes.
        groups: the classes of each group.
    """
    from scipy.sparse import csr_array

    weights = drawn[:, found.counts]
    gold, predicted = found.gold[found.counts], found.predicted[found.counts]
    n = len(gold)

    def sums(of: NDArray[np.int64], where: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
        """Weight of the rows of every class, shape (n_weightings, n_classes)."""
        ones = np.ones(n) if where is None else where.astype(np.float64)
        of_class = csr_array((ones, (np.arange(n), of)), shape=(n, n_classes + 1))
        return np.asarray(weights @ of_class)[:, :n_classes]

    support, guessed = sums(gold), sums(predicted)
    right = sums(gold, gold == predicted)
    f1 = 2 * right / np.maximum(support + guessed, 1)
    occurs = support + guessed > 0
    result = {"accuracy": right.sum(axis=1) / np.maximum(weights.sum(axis=1), 1)}
    for name, members in {"macro_f1": range(n_classes), **groups}.items():
        if len(members):
            mine = list(members)
            among = np.maximum(occurs[:, mine].sum(axis=1), 1)
            result[name] = (f1 * occurs)[:, mine].sum(axis=1) / among
    return result


def mean_changes(
    pairs: Sequence[tuple[Predictions, Predictions]],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
    *,
    n_resamples: int,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, tuple[Difference, tuple[float, ...]]]:
    """How scores change from one arm to another, on average over seeds, by a paired bootstrap.

    The test rows are resampled, the same ones for both arms and for all seeds; so the interval is
    that of the mean over these seeds, and the spread over seeds stands beside it.

    Args:
        pairs: for every seed what both arms predict for the same n rows; rows that do not count for
            one of the two count for none.
        n_classes: number of classes.
        groups: the classes of each group.
        n_resamples: times that n rows are drawn with replacement.
        seed: of the drawing.
        level: share of the resamples that an interval covers.

    Returns:
        For every score its change with an interval, and the change of every seed.
    """
    n = len(pairs[0][0].gold)
    drawn = np.stack([np.bincount(rows, minlength=n) for rows in resamples(n, n_resamples, seed)])
    weights = np.vstack([np.ones(n), drawn]).astype(np.float64)
    changes = [_figure_change(*pair, weights, n_classes, groups) for pair in pairs]
    result = {}
    for name in changes[0]:
        values = np.stack([change[name] for change in changes])
        mean = values.mean(axis=0)
        interval = percentiles(mean[1:], level)
        result[name] = Difference(float(mean[0]), *interval), tuple(map(float, values[:, 0]))
    return result


def _figure_change(
    before: Predictions,
    after: Predictions,
    weights: NDArray[np.float64],
    n_classes: int,
    groups: Mapping[str, Sequence[int]],
) -> dict[str, NDArray[np.float64]]:
    both = before.counts & after.counts
    old, new = (
        scores(Predictions(p.gold, p.predicted, both), weights, n_classes, groups)
        for p in (before, after)
    )
    return {name: new[name] - old[name] for name in old}


VARIANTS = ("all", "without_near")
"""On all test rows, and without those that a text is near to."""
_COSTS = ("calls", "input_tokens", "output_tokens", "teacher_seconds", "usd")


@dataclass(frozen=True)
class SetShape:
    """What the results need to know of a data set.

    Attributes:
        classes: class names in column order.
        groups: classes of the head, the middle and the tail.
        described: what is printed of them.
    """

    classes: tuple[str, ...]
    groups: Mapping[str, Sequence[str]]
    described: dict[str, Any]

    @property
    def members(self) -> dict[str, list[int]]:
        """The columns of each group."""
        index = {name: i for i, name in enumerate(self.classes)}
        return {group: [index[name] for name in names] for group, names in self.groups.items()}


@dataclass(frozen=True)
class CellResult:
    """A cell that has been judged."""

    cell: Cell
    done: dict[str, Any]
    test: dict[str, Any]
    folder: CellFolder

    def predictions(self, n: int, *, without_near: bool) -> Predictions:
        """What it predicts for the n test rows; rows that it was not asked for do not count."""
        arrays = self.folder.predictions()
        gold, predicted = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
        counts = np.zeros(n, dtype=bool)
        gold[arrays["rows"]], predicted[arrays["rows"]] = arrays["gold"], arrays["predicted"]
        counts[arrays["rows"]] = ~arrays["near"] if without_near else True
        return Predictions(gold, predicted, counts)


def read_results(
    plan: Plan, tested: Sequence[CellResult], missing: int, shapes: Mapping[str, SetShape]
) -> dict[str, Any]:
    """The results of a benchmark as plain data; it holds figures and no row of the data.

    Args:
        plan: the benchmark.
        tested: its cells that have been judged.
        missing: its cells that have not.
        shapes: the data sets of the cells.

    Raises:
        RunError: the cells of one data set were judged on different test files.
    """
    _same_test_rows(tested)
    return {
        "environment": environment(),
        "plan": plan.model_dump(mode="json"),
        "cells_missing": missing,
        "data": {name: shape.described for name, shape in shapes.items()},
        "groups": _groups(plan, tested, shapes),
        "cells": [_cell(found) for found in tested],
    }


def _groups(
    plan: Plan, tested: Sequence[CellResult], shapes: Mapping[str, SetShape]
) -> list[dict[str, Any]]:
    """Cells that differ by their seed alone, summed up."""
    by_key: defaultdict[tuple[Any, ...], list[CellResult]] = defaultdict(list)
    for found in tested:
        cell = found.cell
        by_key[cell.data, cell.rows, cell.arm.name, cell.teacher].append(found)
    groups = []
    for (data, rows, arm, teacher), members in by_key.items():
        keys = {name: _baseline(data, rows, name, teacher) for name in plan.baselines}
        against = {name: by_key[key] for name, key in keys.items() if name != arm and key in by_key}
        groups.append(
            {
                "data": data, "rows": rows, "arm": arm, "teacher": teacher,
                "seeds": sorted(found.cell.seed for found in members),
                "texts": _mean(found.done.get("texts") for found in members),
                "classes_written_for": _mean(f.done.get("classes_written_for") for f in members),
                "rows_near_a_text": _mean(found.test["rows_near_a_text"] for found in members),
                **{variant: _summary([f.test[variant] for f in members]) for variant in VARIANTS},
                "changes": {
                    name: _changes(plan, baseline, members, shapes[data])
                    for name, baseline in against.items()
                },
                "cost": _cost(members),
            }
        )  # fmt: skip
    return groups


def _baseline(
    data: str, rows: int, name: str, teacher: str | None
) -> tuple[str, int, str, str | None]:
    """The cells that an arm is compared with: those of its own teacher, where it matters."""
    return data, rows, name, teacher if ARMS[name].asks == "teacher" else None


def _changes(
    plan: Plan, baseline: Sequence[CellResult], members: Sequence[CellResult], shape: SetShape
) -> dict[str, Any]:
    """What the arm changes against a baseline with the same seeds, in both variants."""
    before = {found.cell.seed: found for found in baseline}
    pairs = [(before[f.cell.seed], f) for f in members if f.cell.seed in before]
    if not pairs:
        return {}
    near = any(found.test["rows_near_a_text"] for pair in pairs for found in pair)
    every = _change(plan, pairs, shape, without_near=False)
    clean = _change(plan, pairs, shape, without_near=True) if near else every
    return dict(zip(VARIANTS, (every, clean), strict=True))


def _change(
    plan: Plan,
    pairs: Sequence[tuple[CellResult, CellResult]],
    shape: SetShape,
    *,
    without_near: bool,
) -> dict[str, Any]:
    n = max(int(found.test["rows"]) for pair in pairs for found in pair)
    predicted = [
        (before.predictions(n, without_near=without_near),
         after.predictions(n, without_near=without_near))
        for before, after in pairs
    ]  # fmt: skip
    changes = mean_changes(predicted, len(shape.classes), shape.members, n_resamples=plan.resamples)
    return {
        name: {
            "difference": round(change.difference, 6),
            "interval": [round(change.low, 6), round(change.high, 6)],
            "sd": _sd(seeds),
        }
        for name, (change, seeds) in changes.items()
    }


def _summary(figures: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean and sample standard deviation over seeds."""
    return {
        name: {
            "mean": round(mean(f[name] for f in figures), 6),
            "sd": _sd([f[name] for f in figures]),
        }
        for name in figures[0]
    }


def _cost(members: Sequence[CellResult]) -> dict[str, Any] | None:
    """What a cell costs on average; the teacher alone costs in the last step."""
    costs = [f.test["cost"] if f.cell.arm.labels else f.done["cost"] for f in members]
    if any(cost is None for cost in costs):
        return None
    usd = [Decimal(cost["usd"]) for cost in costs]
    return {
        **{name: _mean(cost[name] for cost in costs) for name in _COSTS if name != "usd"},
        "usd": None if any(cost["unpriced"] for cost in costs) else str(sum(usd) / len(usd)),
    }


def _cell(found: CellResult) -> dict[str, Any]:
    kept = {k: v for k, v in found.done.items() if k not in ("cell", "settings", "environment")}
    return {**found.cell.key, **kept, "test": found.test}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(mean(known), 3) if known else None


def _sd(values: Sequence[float]) -> float | None:
    return round(stdev(values), 6) if len(values) > 1 else None


def _same_test_rows(tested: Sequence[CellResult]) -> None:
    seen: dict[str, CellResult] = {}
    for found in tested:
        first = seen.setdefault(found.cell.data, found)
        if found.test["sha256"] != first.test["sha256"]:
            raise RunError(
                f"The test file of {found.cell.data} has changed between {first.cell.name} and "
                f"{found.cell.name}: remove test.json of one of them, and it is judged again."
            )


def judge_cell(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    rows: HeldOutRows,
    groups: Mapping[str, Sequence[str]],
    teachers: Teachers,
    *,
    label_rows: int,
) -> None:
    """Judge a distilled cell on the test rows, and keep what comes out.

    Args:
        cell: the cell.
        folder: where it lies.
        data: its data set.
        rows: the test rows.
        groups: classes of which macro F1 is told apart.
        teachers: who classifies where the arm is a teacher alone.
        label_rows: rows that a teacher alone is asked for, the same ones in every cell.
    """
    classes = tuple(sorted(name for names in groups.values() for name in names))
    gold = label_indices(rows.labels, classes)
    config = cell.config(data.train, folder.run)
    extra: dict[str, Any]
    if cell.arm.labels:
        judged = draw_rows(len(gold), label_rows, seed=0)
        predicted, extra = _labelled(cell, folder, data, rows, judged, classes, config, teachers)
        near = np.zeros(len(judged), dtype=bool)
    else:
        judged = np.arange(len(gold))
        predicted, extra = _predicted(cell, folder, rows, gold)
        near = _near(cell, folder, rows, config)
    truth = gold[judged]
    members = {name: [classes.index(c) for c in names] for name, names in groups.items()}
    folder.write_test(
        {
            "sha256": rows.sha256,
            "rows": len(judged),
            "rows_near_a_text": int(near.sum()),
            "all": figures(truth, predicted, len(classes), members),
            "without_near": figures(truth[~near], predicted[~near], len(classes), members),
            **extra,
        },
        {"rows": judged, "gold": truth, "predicted": predicted, "near": near},
    )  # fmt: skip


def _predicted(
    cell: Cell, folder: CellFolder, rows: HeldOutRows, gold: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """What the student says of every row."""
    student = RunFolder.open(folder.run).student(cell.arm.judged)
    columns = np.argsort(student.classes)  # those of the figures are in alphabetical order
    probabilities = student.predict_proba(rows.texts)[:, columns]
    predicted = probabilities.argmax(axis=1)
    return predicted, {
        "log_loss": round(float(row_log_losses(probabilities, gold).mean()), 6),
        "ece": round(calibration_error(probabilities.max(axis=1), predicted == gold), 6),
    }


def _near(cell: Cell, folder: CellFolder, rows: HeldOutRows, config: Config) -> NDArray[np.bool_]:
    """Which test rows a text of the student is near to."""
    run = RunFolder.open(folder.run)
    texts = texts_by(run, folder.read_done()["judged_round"])
    return rows.near([text.text for text in texts], config.curation.near_duplicate)


def _labelled(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    rows: HeldOutRows,
    judged: NDArray[np.int64],
    classes: Sequence[str],
    config: Config,
    teachers: Teachers,
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """What the teacher alone says of some rows; an answer off the list is none of the classes."""
    start = time.perf_counter()
    task = Distiller(config).load()
    shown = limit_rows(task.train, cell.arm.shots, cell.seed) if cell.arm.shots else ()
    with Ledger(folder.ledger) as ledger:
        found = label_texts(
            metered_teacher(config, teachers.classifier(cell, config, data), ledger),
            [rows.texts[i] for i in judged],
            task.taxonomy,
            examples=shown,
        )
        cost = sum_cost(list(ledger.calls()))
    index = {name: i for i, name in enumerate(classes)}
    predicted = [len(classes) if a.label is None else index[a.label] for a in found]
    seconds = round(time.perf_counter() - start, 1)
    return np.array(predicted, dtype=np.int64), {"cost": cost, "seconds": seconds}
