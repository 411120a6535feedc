"""What the default brings, and of it the teacher: tables of README and docs/results.md.

Reads the results of grids with the arms `alone`, `class-list` and `targeted`. A run of a later file
takes the place of one of an earlier file on the same rows: few_labels.json and then
few_labels_auto.json tell what pgkd does by default.

    python benchmarks/summarise.py RESULTS.json [RESULTS.json ...]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

STUDENTS = ("alone", "class-list", "targeted")  # rows alone; with the class list; taught
MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1", "tail": "tail"}
MANY = 20  # classes


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", nargs="+", type=Path, help="results.json of `pgkd bench`")
    by_rows = {
        (cell["data"], cell["rows"], cell["seed"]): {**cell, "file": path.name}
        for path in parser.parse_args().results
        for cell in read(json.loads(path.read_text(encoding="utf-8")))
    }
    cells = list(by_rows.values())
    with_means = cells + averaged(cells)
    print(table(with_means), short_table(with_means), teachers_part(cells), sep="\n\n")
    by_file = grouped(cells, "file")
    if len(by_file) > 1:
        for (file,), group in by_file:
            print(f"\nof {file}:\n{teachers_part(group)}")


def read(results: dict[str, Any]) -> list[dict[str, Any]]:
    """One record a run that asked the teacher: data, rows, seed, texts, figures of the students."""
    runs = {(c["data"], c["rows"], c["seed"], c["arm"]): c for c in results["cells"]}
    cells = []
    for (data, rows, seed, arm), run in runs.items():
        if arm == "targeted":
            classes = sum(part["classes"] for part in results["data"][data]["thirds"].values())
            figures = {who: runs[data, rows, seed, who]["test"]["all"] for who in STUDENTS}
            of_run = {"data": data, "rows": rows, "seed": seed, "texts": run["texts"]}
            cells.append({**of_run, "classes": classes, **figures})
    return cells


def averaged(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means over the sets of many classes, one record a size and seed, where all sets have it."""
    found = []
    many = [cell for cell in cells if cell["classes"] >= MANY]
    for (rows, seed), group in grouped(many, "rows", "seed"):
        names = {cell["data"] for cell in many if cell["rows"] == rows}
        if len(names) == len(group) > 1:
            name = f"mean of the {len(names)} with {MANY} classes and more"
            figures = {
                who: {m: fmean(cell[who][m] for cell in group) for m in MEASURES}
                for who in STUDENTS
            }
            texts = fmean(cell["texts"] for cell in group)
            found.append({"data": name, "rows": rows, "seed": seed, "texts": texts, **figures})
    return found


def table(cells: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds."""
    lines = [
        "| data, labelled rows | seeds | texts | measure | rows alone | + class list | + teacher "
        "| in all | of it the teacher |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for (data, rows), group in grouped(cells, "data", "rows"):
        texts = round(fmean(cell["texts"] for cell in group))
        for name, measure in MEASURES.items():
            columns = [f"{data}, {rows}", str(len(group)), str(texts), measure]
            columns += [f"{fmean(c[who][name] for c in group):.3f}" for who in STUDENTS]
            columns += [change(group, name, since) for since in ("alone", "class-list")]
            lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def short_table(cells: list[dict[str, Any]]) -> str:
    """Accuracy and macro F1 before and after: the table of the README."""
    lines = [
        "| data, labelled rows | accuracy: rows alone | distilled | change | of it the teacher "
        "| macro F1: change | of it the teacher |",
        "|---|---|---|---|---|---|---|",
    ]
    for (rows, data), group in grouped(cells, "rows", "data"):
        columns = [f"{data}, {rows}"]
        columns += [f"{fmean(c[who]['accuracy'] for c in group):.3f}" for who in STUDENTS[::2]]
        columns += [
            change(group, name, since)
            for name in ("accuracy", "macro_f1")
            for since in ("alone", "class-list")
        ]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


def teachers_part(cells: list[dict[str, Any]]) -> str:
    """What the teacher's texts change, cell by cell, for each size."""
    lines = []
    for (rows,), group in grouped(cells, "rows"):
        for name, measure in MEASURES.items():
            changes = [cell["targeted"][name] - cell["class-list"][name] for cell in group]
            lost = [value for value in changes if value < 0]
            lines.append(
                f"{rows} rows, {measure}: the teacher's part of {len(changes)} cells is "
                f"{mean_and_spread(changes)}, {min(changes):+.3f} to {max(changes):+.3f}; "
                f"{len(lost)} below zero"
            )
    return "\n".join(lines)


def grouped(cells: list[dict[str, Any]], *keys: str) -> list[tuple[tuple[Any, ...], Any]]:
    """The cells that agree on some keys, in the order in which they come."""
    groups = defaultdict(list)
    for cell in cells:
        groups[tuple(cell[key] for key in keys)].append(cell)
    return list(groups.items())


def change(group: list[dict[str, Any]], name: str, since: str) -> str:
    """Mean and sample standard deviation over seeds of a change, paired by seed."""
    return mean_and_spread([cell["targeted"][name] - cell[since][name] for cell in group])


def mean_and_spread(values: list[float]) -> str:
    """Mean, and sample standard deviation where there is more than one."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"{fmean(values):+.3f}{spread}"


if __name__ == "__main__":
    main()
