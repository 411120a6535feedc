"""What does a round of retraining cost, in forward passes over the training rows?

A round trains the student, cross-validates its probe and mines (`ClassificationGuide.train` and
`assess`). As in a run, the features of rows that were seen before are cached; of the texts of the
round they are not: 32 rows of the training file that were not drawn stand for them. All of it in
CPU seconds of one thread, divided by those of one forward pass of the encoder over the rows that
the round trains on: the labelled ones, those of the class list where it helps, and the texts.

    python benchmarks/retraining.py --data trec6 banking77 huffpost41_skew
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from round0 import undrawn

from pgkd.distill.provenance import environment
from pgkd.guidance import ClassificationGuide, try_class_list
from pgkd.student import make_student
from pgkd.student.encoders import forget_encoders, load_encoder
from pgkd.task import Example, Origin, load_task, stratified_folds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgkd.student.features import Encoder

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
            ratios = [round(t.round / t.forward, 2) for t in times]
            runs.append({
                "data": name, "recipe": recipe, "passes": statistics.median(ratios),
                "all": ratios, "rows": times[0].rows,
                "forward_cpu_s": [round(t.forward, 1) for t in times],
            })  # fmt: skip
            print(json.dumps(runs[-1]), flush=True)
    report = {"texts": args.texts, "environment": environment(), "runs": runs}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


class Times(NamedTuple):
    """CPU seconds of one forward pass over the rows that a round trains on, and of the round."""

    rows: int
    forward: float
    round: float


def measured(args: argparse.Namespace, name: str, recipe: str) -> Times:
    """One round after round 0, with nothing cached that it would not find in a run."""
    folder = args.data_root / name
    task = load_task(train=folder / "train.csv.gz", limit=1000, seed=0)
    labels = [row.label for row in task.train]
    settings: dict[str, Any] = {"recipe": recipe, "max_length": MAX_LENGTH, "threads": 1}
    made = partial(make_student, "encoder", task.taxonomy.names, **settings)
    folds = stratified_folds(labels, 5, 0)
    trial = try_class_list(made(), task.train, task.taxonomy, folds)
    new = [
        Example(text, label, f"w{i}", Origin(1, "r1-0001"))
        for i, (text, label) in enumerate(undrawn(folder / "train.csv.gz", task)[: args.texts])
    ]
    old = [row.text for row in (*task.train, *trial.texts)]
    texts = [*old, *(row.text for row in new)]
    fresh = fresh_encoder()
    forward = seconds(lambda: fresh.features(texts))
    # As round 0 leaves the cache:
    fresh_encoder().features([*old, *(row.text for row in task.validation)])
    guide = ClassificationGuide(task, made(), NoAsking(), folds=folds, class_list=trial.texts)
    spent = seconds(lambda: guide.assess(guide.train(new), new))
    return Times(len(texts), forward, spent)


def fresh_encoder() -> Encoder:
    """The student's encoder, with an empty cache of features."""
    forget_encoders()
    return load_encoder(ENCODER, MAX_LENGTH)


def seconds(act: Callable[[], object]) -> float:
    """CPU seconds that it takes."""
    started = time.process_time()
    act()
    return time.process_time() - started


if __name__ == "__main__":
    main()
