"""How many of the lowest layers may stay as they are in fine-tuning?

Frozen layers cost no backward pass and no optimiser. Rows and training are those of `recipes.py`:
1,000 rows drawn, of which 800 train, and rows of the training file that were not drawn judge. The
head and the class list are chosen on frozen features, once for all arms. An arm is a number of
frozen layers, of which the embeddings are the first. A cell that is in the results already is not
run again.

    python benchmarks/frozen_layers.py --data trec6 banking77 --arms 0 1 2 --seeds 0
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from recipes import MAX_LENGTH, cell_of, results
from round0 import trained

from pgkd.evaluation import evaluate, paired_change
from pgkd.student.encoder import EncoderStudent
from pgkd.student.finetune import FineTuning, fine_tune

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recipes import Cell

SETS = ("trec6", "stackoverflow20", "banking77", "goemotions", "huffpost41_skew")
HERE = Path(__file__).parent


def main() -> None:
    """Run what is missing, one line of JSON a cell; then print what each arm changes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=list(SETS), help="names of data sets")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--arms", nargs="+", type=int, default=[0, 1, 2], help="numbers of frozen layers")
    add("--held", type=int, default=1500, help="how many rows judge")
    add("--limit", type=int, default=1000, help="rows drawn, four fifths of them to train on")
    add("--out", type=Path, default=HERE / "results" / "frozen_layers.jsonl")
    args = parser.parse_args()
    args.judge = "held"
    done = {(line["data"], line["seed"], line["frozen_layers"]) for line in results(args.out)}
    for seed in args.seeds:
        for name in args.data:
            missing = [arm for arm in args.arms if (name, seed, arm) not in done]
            if missing:
                for line in measured(cell_of(args, name, seed), missing):
                    print(json.dumps(line), flush=True)
                    with args.out.open("a", encoding="utf-8") as out:
                        out.write(json.dumps(line) + "\n")
    print_changes(results(args.out))


def measured(cell: Cell, arms: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Fine-tune on a cell's rows with so many layers frozen, and judge."""
    classes = cell.task.taxonomy
    probe = EncoderStudent(
        classes.names, seed=cell.seed, recipe="frozen", threads=1, max_length=MAX_LENGTH
    )
    rows = [*cell.task.train, *trained(probe, cell.task, cell.seed)]
    texts, gold = [row.text for row in rows], np.array([classes.index[row.label] for row in rows])
    for arm in arms:
        started = time.process_time()
        encoder, head = fine_tune(
            probe.encoder, probe.head, texts, gold, np.ones(len(rows)),
            seed=cell.seed, recipe=FineTuning(frozen_layers=arm),
        )  # fmt: skip
        seconds = time.process_time() - started
        found = evaluate(
            head.predict_proba(encoder.features(cell.judged)), cell.gold, classes.names
        )
        yield {
            "data": cell.data, "seed": cell.seed, "frozen_layers": arm,
            "accuracy": round(found.accuracy, 4), "macro_f1": round(found.macro_f1, 4),
            "cpu_s": round(seconds, 1),
        }  # fmt: skip


def print_changes(lines: Sequence[dict[str, Any]]) -> None:
    """Markdown: what freezing changes, in points; mean and standard error over pairs of cells."""
    unfrozen = {(r["data"], r["seed"]): r for r in lines if r["frozen_layers"] == 0}
    pairs_of: dict[int, list[tuple[dict[str, Any], dict[str, Any]]]] = defaultdict(list)
    for line in lines:
        before = unfrozen.get((line["data"], line["seed"]))
        if before is not None and line["frozen_layers"]:
            pairs_of[line["frozen_layers"]].append((before, line))
    print("\n| frozen layers | pairs | accuracy | macro F1 | CPU time |\n|---|---|---|---|---|")
    for arm, pairs in sorted(pairs_of.items()):
        changes = [change(pairs, measure) for measure in ("accuracy", "macro_f1")]
        time_left = np.mean([new["cpu_s"] / old["cpu_s"] for old, new in pairs])
        print(f"| {arm} | {len(pairs)} | {' | '.join(changes)} | × {time_left:.2f} |")


def change(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], measure: str) -> str:
    """Mean change in points and its standard error."""
    before, after = 100 * np.array([[line[measure] for line in pair] for pair in pairs]).T
    mean, error = paired_change(after, before)
    return f"{mean:+.2f} ± {error:.2f}"


if __name__ == "__main__":
    main()
