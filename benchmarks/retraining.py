"""What does a round of retraining cost, in forward passes over the training rows?

A round trains the student, cross-validates its probe and mines (`ClassificationGuide.train` and
`assess`). As in a run, the features of rows that were seen before are cached; of the texts of the
round they are not: 32 rows of the training file that were not drawn stand for them. All of it in
CPU seconds of one thread, divided by those of one forward pass of the encoder over the rows.

    python benchmarks/retraining.py --data trec6 banking77 huffpost41_skew
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from round0 import undrawn

from pgkd.distill.provenance import environment
from pgkd.guidance import ClassificationGuide, try_class_list
from pgkd.student import make_student
from pgkd.student.encoders import forget_encoders, load_encoder
from pgkd.task import Example, Origin, load_task, stratified_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HERE = Path(__file__).parent
ENCODER, MAX_LENGTH = "all-minilm-l6-v2", 128


class NoAsking:
    """Nobody is asked: it is the training that is timed."""

    def ask(self, number: int, assessment: Any, written: Sequence[Example]) -> tuple[()]:
        """No requests."""
        return ()


def main() -> None:
    """Time every data set with both recipes; print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=["trec6", "banking77", "huffpost41_skew", "agnews"])
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--recipes", nargs="+", default=["frozen", "finetune"])
    add("--texts", type=int, default=32, help="texts of the round")
    add("--repeats", type=int, default=3)
    add("--out", type=Path, default=HERE / "results" / "retraining.json", help="JSON to write")
    args = parser.parse_args()
    runs = []
    for name in args.data:
        for recipe in args.recipes:
            times = [measured(args, name, recipe) for _ in range(args.repeats)]
            ratios = [round(cost / forward, 2) for forward, cost in times]
            runs.append({
                "data": name, "recipe": recipe, "passes": statistics.median(ratios),
                "all": ratios, "forward_cpu_s": [round(forward, 1) for forward, _ in times],
            })  # fmt: skip
            print(json.dumps(runs[-1]), flush=True)
    report = {"texts": args.texts, "environment": environment(), "runs": runs}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def measured(args: argparse.Namespace, name: str, recipe: str) -> tuple[float, float]:
    """CPU seconds of one forward pass, and of a round."""
    folder = args.data_root / name
    task = load_task(train=folder / "train.csv.gz", limit=1000, seed=0)
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = make_student(
        "encoder", task.taxonomy.names, recipe=recipe, max_length=MAX_LENGTH, threads=1
    )
    forget_encoders()
    encoder = load_encoder(ENCODER, MAX_LENGTH)
    forward = seconds(lambda: encoder.features(texts))
    folds = stratified_folds(labels, 5, 0)
    trial = try_class_list(student, task.train, task.taxonomy, folds)
    guide = ClassificationGuide(
        task, student, NoAsking(), folds=folds, class_list=trial.texts
    )  # its texts are in the cache by now, as after round 0
    encoder.features([row.text for row in task.validation])
    new = [
        Example(text, label, f"w{i}", Origin(1, "r1-0001"))
        for i, (text, label) in enumerate(undrawn(folder / "train.csv.gz", task)[: args.texts])
    ]
    return forward, seconds(lambda: guide.assess(guide.train(new), new))


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds that it takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
