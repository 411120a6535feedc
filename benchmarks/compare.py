"""The same cells of two grids that differ in a setting: what it changes, and in how many.

python benchmarks/compare.py RESULTS.json OTHER.json --arms alone class-list
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from summarise import mean_and_spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Key = tuple[str, int, str]  # data set, rows, arm
    Pair = tuple[Mapping[str, float], Mapping[str, float]]

MEASURES = {"accuracy": "accuracy", "macro_f1": "macro F1"}


def main() -> None:
    """Print a table, a line an arm and data set, and the mean of the cells that differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("results", nargs=2, type=Path, help="results.json of `pgkd bench`")
    parser.add_argument("--arms", nargs="+", help="arms; all by default")
    args = parser.parse_args()
    before, after = (figures(json.loads(path.read_text("utf-8"))) for path in args.results)
    groups: dict[Key, list[Pair]] = {}
    for data, rows, arm, *cell in sorted(before.keys() & after.keys(), key=str):
        if not args.arms or arm in args.arms:
            whole = (data, rows, arm, *cell)
            groups.setdefault((data, rows, arm), []).append((before[whole], after[whole]))
    print("| data, rows, arm | cells | differ | " + " | ".join(head()) + " |")
    print("|---" * (3 + len(head())) + "|")
    for key, pairs in groups.items():
        print(line(", ".join(map(str, key)), pairs))
    for arm in dict.fromkeys(arm for _, _, arm in groups):
        of_arm = [p for key, pairs in groups.items() if key[2] == arm for p in pairs]
        if changed := [pair for pair in of_arm if pair[0] != pair[1]]:
            print(line(f"those that differ, {arm}", changed))


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
