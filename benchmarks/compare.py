"""The same cells of two grids that differ in a setting: what it changes, and in how many.

python benchmarks/compare.py RESULTS.json OTHER.json --arms alone class-list
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from summarise import grouped, mean_and_spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Pair = tuple[Mapping[str, float], Mapping[str, float]]

KEY = ("data", "rows", "arm")
MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1"}


def main() -> None:
    """Print a table, a line an arm and data set, and the mean of the cells that differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", nargs=2, type=Path, help="results.json of `pgkd bench`")
    parser.add_argument("--arms", nargs="+", help="arms; all by default")
    args = parser.parse_args()
    before, after = (figures(json.loads(path.read_text("utf-8"))) for path in args.results)
    cells = [
        dict(zip(KEY, key, strict=False), pair=(before[key], after[key]))
        for key in sorted(before.keys() & after.keys(), key=str)
        if not args.arms or key[2] in args.arms
    ]
    print("| data, rows, arm | cells | differ | " + " | ".join(head()) + " |")
    print("|---" * (3 + len(head())) + "|")
    for key, group in grouped(cells, *KEY):
        print(line(", ".join(map(str, key)), [cell["pair"] for cell in group]))
    changed = [cell for cell in cells if cell["pair"][0] != cell["pair"][1]]
    for (arm,), group in grouped(changed, "arm"):
        print(line(f"those that differ, {arm}", [cell["pair"] for cell in group]))


def figures(results: dict[str, Any]) -> dict[tuple[Any, ...], Mapping[str, float]]:
    """The figures on all test rows, by cell."""
    return {
        (c["data"], c["rows"], c["arm"], c["seed"], c["teacher"]): c["test"]["all"]
        for c in results["cells"]
    }


def head() -> list[str]:
    """Columns of the measures."""
    return [name for told in MEASURES.values() for name in (told, "other", "change")]


def line(name: str, pairs: Sequence[Pair]) -> str:
    """Means of both, and the change paired by cell: mean and sample standard deviation."""
    columns = [name, str(len(pairs)), str(sum(old != new for old, new in pairs))]
    for measure in MEASURES:
        columns += [f"{fmean(pair[which][measure] for pair in pairs):.3f}" for which in (0, 1)]
        changes = [new[measure] - old[measure] for old, new in pairs]
        columns.append(f"{mean_and_spread(changes)} ({min(changes):+.3f} to {max(changes):+.3f})")
    return "| " + " | ".join(columns) + " |"


if __name__ == "__main__":
    main()
