"""A Markdown table of cells that `distill.sh` has run, and the figures as JSON.

python benchmarks/summarise.py FOLDER benchmarks/results/distill.json
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev
from typing import Any


def read(folder: Path) -> list[dict[str, Any]]:
    """One record a cell: data, rows, seed, texts, and test figures before and after."""
    cells = []
    for path in sorted(folder.glob("*.eval.json")):
        found = re.fullmatch(r"(\w+)-(\d+)-s(\d+)\.eval\.json", path.name)
        if found is None or not path.stat().st_size:
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        result = json.loads(
            (folder / path.name.removesuffix(".eval.json") / "result.json").read_text("utf-8")
        )
        cells.append(
            {
                "data": found[1],
                "rows": int(found[2]),
                "seed": int(found[3]),
                "texts": result["rounds"][result["best"]]["written"],
                "kept_round": result["best"],
                "dropped": result["dropped"],
                "before": pick(report["students"]["before"]),
                "after": pick(report["students"]["after"]),
                "difference": report["after_minus_before"],
            }
        )
    return cells


def pick(metrics: dict[str, Any]) -> dict[str, float]:
    """The figures of a student that the table needs."""
    return {name: metrics[name] for name in ("accuracy", "macro_f1", "log_loss", "ece")}


def table(cells: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds."""
    groups = defaultdict(list)
    for cell in cells:
        groups[cell["data"], cell["rows"]].append(cell)
    lines = [
        "| data, labelled rows | seeds | texts kept | accuracy before → after | change "
        "| macro F1 before → after | change |",
        "|---|---|---|---|---|---|---|",
    ]
    for (data, rows), group in sorted(groups.items()):
        texts = round(mean(cell["texts"] for cell in group))
        columns = [f"{data}, {rows}", str(len(group)), str(texts)]
        for name in ("accuracy", "macro_f1"):
            before = [cell["before"][name] for cell in group]
            after = [cell["after"][name] for cell in group]
            change = [b - a for a, b in zip(before, after, strict=True)]
            spread = f" ± {stdev(change):.3f}" if len(change) > 1 else ""
            columns.append(f"{mean(before):.3f} → {mean(after):.3f}")
            columns.append(f"{mean(change):+.3f}{spread}")
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    found = read(Path(sys.argv[1]))
    Path(sys.argv[2]).write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(table(found))
