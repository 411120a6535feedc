"""Draw kept and dropped texts of finished runs, for a person to read and judge.

    python benchmarks/read_texts.py RUN [RUN ...] --kept 100 --dropped 50 --seed 7

A text of a class that has no training row is marked NEW.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

from pgkd.distill import RunFolder


def main() -> None:
    """Print the sample, one text a line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--kept", type=int, default=100)
    parser.add_argument("--dropped", type=int, default=50)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rng = random.Random(args.seed)
    kept, dropped = [], []
    for path in args.runs:
        run = RunFolder.open(path)
        seen = {row["label"] for row in run.read_json("task.json")["train"]}
        kept += [line(path, text, seen) for text in run.read_lines("examples.jsonl")]
        dropped += [
            f"{line(path, text, seen)} | {text['reason']}: {text['detail'][:90]}"
            for text in run.read_lines("dropped.jsonl")
        ]
    show("kept", kept, args.kept, rng)
    show("dropped", dropped, args.dropped, rng)


def line(run: Path, text: dict[str, Any], seen: set[str]) -> str:
    """One text with its class."""
    label = text.get("label") or "?"
    mark = "   " if label in seen else "NEW"
    return f"{run.name} {mark} {label} | {text.get('text') or text.get('raw')}"


def show(title: str, lines: list[str], n: int, rng: random.Random) -> None:
    """Print a numbered sample."""
    print(f"{title}: {len(lines)} in all")
    for number, drawn in enumerate(rng.sample(lines, min(n, len(lines))), start=1):
        print(f"{number:3d} {drawn}")


if __name__ == "__main__":
    main()
