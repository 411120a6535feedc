"""From the cells of a benchmark to its results: means over seeds, and changes with intervals."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.bench.arms import ARMS
from pgkd.apps.bench.scores import Predictions, mean_changes
from pgkd.errors import RunError
from pgkd.runs.provenance import environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pgkd.apps.bench.folders import CellFolder
    from pgkd.apps.bench.plan import Cell, Plan

VARIANTS = ("all", "without_near")
"""On all test rows, and without those that a text is near to."""
_COSTS = ("calls", "input_tokens", "output_tokens", "teacher_seconds", "usd")


@dataclass(frozen=True)
class SetShape:
    """What the results need to know of a data set.

    Attributes:
        classes: class names in column order.
        groups: classes of the head, the middle and the tail.
        described: what is told of them.
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
class Tested:
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


def results_of(
    plan: Plan, tested: Sequence[Tested], missing: int, shapes: Mapping[str, SetShape]
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
    plan: Plan, tested: Sequence[Tested], shapes: Mapping[str, SetShape]
) -> list[dict[str, Any]]:
    """Cells that differ by their seed alone, summed up."""
    by_key: defaultdict[tuple[Any, ...], list[Tested]] = defaultdict(list)
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
    plan: Plan, baseline: Sequence[Tested], members: Sequence[Tested], shape: SetShape
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
    plan: Plan, pairs: Sequence[tuple[Tested, Tested]], shape: SetShape, *, without_near: bool
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


def _cost(members: Sequence[Tested]) -> dict[str, Any] | None:
    """What a cell costs on average; the teacher alone costs in the last step."""
    costs = [f.test["cost"] if f.cell.arm.labels else f.done["cost"] for f in members]
    if any(cost is None for cost in costs):
        return None
    usd = [Decimal(cost["usd"]) for cost in costs]
    return {
        **{name: _mean(cost[name] for cost in costs) for name in _COSTS if name != "usd"},
        "usd": None if any(cost["unpriced"] for cost in costs) else str(sum(usd) / len(usd)),
    }


def _cell(found: Tested) -> dict[str, Any]:
    kept = {k: v for k, v in found.done.items() if k not in ("cell", "settings", "environment")}
    return {**found.cell.key, **kept, "test": found.test}


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(mean(known), 3) if known else None


def _sd(values: Sequence[float]) -> float | None:
    return round(stdev(values), 6) if len(values) > 1 else None


def _same_test_rows(tested: Sequence[Tested]) -> None:
    seen: dict[str, Tested] = {}
    for found in tested:
        first = seen.setdefault(found.cell.data, found)
        if found.test["sha256"] != first.test["sha256"]:
            raise RunError(
                f"The test file of {found.cell.data} has changed between {first.cell.name} and "
                f"{found.cell.name}: remove test.json of one of them, and it is judged again."
            )
