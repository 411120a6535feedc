"""The tables of README and docs/results.md from the results of `distill.yaml`, and their figures.

python benchmarks/summarise.py RESULTS.json benchmarks/results/distill.json
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any

STUDENTS = ("before", "round_0", "after")  # rows alone; with the class list; taught


def read(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One record a run: data, rows, seed, texts, and the test figures of three students."""
    runs = {(c["data"], c["rows"], c["seed"], c["arm"]): c for c in results["cells"]}
    cells = []
    for (data, rows, seed, arm), run in sorted(runs.items()):
        if arm != "targeted":
            continue
        cells.append(
            {
                "data": data,
                "rows": rows,
                "seed": seed,
                "texts": run["texts"],
                "kept_round": run["judged_round"],
                "text_weights": run["text_weights"],
                "dropped": run["dropped"],
                "before": pick(runs[data, rows, seed, "alone"]["test"]),
                "round_0": pick(runs[data, rows, seed, "class-list"]["test"]),
                "after": pick(run["test"]),
            }
        )
    return cells


def pick(test: dict[str, Any]) -> dict[str, float]:
    """The figures of a student that the table needs."""
    found = {**test, **test["all"]}
    return {name: found[name] for name in ("accuracy", "macro_f1", "log_loss", "ece")}


def table(cells: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds."""
    lines = [
        "| data, labelled rows | seeds | texts | measure | rows alone | + class list | + teacher "
        "| in all | of it the teacher |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (data, rows), group in grouped(cells, "data", "rows"):
        texts = round(mean(cell["texts"] for cell in group))
        for name, measure in (("accuracy", "accuracy"), ("macro_f1", "macro F1")):
            columns = [f"{data}, {rows}", str(len(group)), str(texts), measure]
            columns += [f"{mean(c[who][name] for c in group):.3f}" for who in STUDENTS]
            columns += [change(group, name, since) for since in ("before", "round_0")]
            lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def short_table(cells: list[dict[str, Any]]) -> str:
    """Accuracy alone: the table of the README."""
    lines = [
        "| data, labelled rows | seeds | rows alone | distilled | change | of it the teacher |",
        "|---|---|---|---|---|---|",
    ]
    for (rows, data), group in grouped(cells, "rows", "data"):
        columns = [f"{data}, {rows}", str(len(group))]
        columns += [f"{mean(c[who]['accuracy'] for c in group):.3f}" for who in ("before", "after")]
        columns += [change(group, "accuracy", since) for since in ("before", "round_0")]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def grouped(cells: list[dict[str, Any]], *keys: str) -> list[tuple[tuple[Any, ...], Any]]:
    """The cells that agree on some keys, in the order of those."""
    groups = defaultdict(list)
    for cell in cells:
        groups[tuple(cell[key] for key in keys)].append(cell)
    return sorted(groups.items())


def change(group: list[dict[str, Any]], name: str, since: str) -> str:
    """Mean and sample standard deviation over seeds of a change, paired by seed."""
    changes = [cell["after"][name] - cell[since][name] for cell in group]
    spread = f" ± {stdev(changes):.3f}" if len(changes) > 1 else ""
    return f"{mean(changes):+.3f}{spread}"


if __name__ == "__main__":
    results = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    found = read(results)
    report = {"environment": results["environment"], "cells": found}
    Path(sys.argv[2]).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(found), short_table(found), sep="\n\n")
