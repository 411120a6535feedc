"""How many mistakes does mining find, and how many would predictions on the training rows show?

Of every data set, 1,000 rows are drawn by the seed and split 800/200. A student is tuned and
trained on the 800 rows, and on the class list where that helps. Its mistakes on those very rows
are set against the out-of-fold ones, and against those that are left when confident learning has
set aside suspected labels. The test file is not read.

    python benchmarks/mining.py --data banking77 huffpost41_skew agnews --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from pgkd.distill.provenance import environment
from pgkd.guidance import try_class_list
from pgkd.guidance.crossval import out_of_fold
from pgkd.guidance.mining import mine
from pgkd.student import make_student
from pgkd.task import load_task, stratified_folds

HERE = Path(__file__).parent
FOLDS = 5  # the default of `pgkd distill`


def main() -> None:
    """Count for every data set and seed; print, and write the JSON."""
    args = arguments()
    runs = []
    for name in args.data:
        for seed in args.seeds:
            runs.append(count(args.data_root / name / "train.csv.gz", name, args.limit, seed))
            print(json.dumps(runs[-1]), flush=True)
    report = {"limit": args.limit, "folds": FOLDS, "environment": environment(), "runs": runs}
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(runs))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=["banking77", "huffpost41_skew", "agnews"])
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--limit", type=int, default=1000, help="rows drawn, four fifths of them to train on")
    add("--out", type=Path, default=HERE / "results" / "mining.json", help="JSON to write")
    return parser.parse_args()


def count(train: Path, name: str, limit: int, seed: int) -> dict[str, Any]:
    """Mistakes on one draw of rows, the three ways."""
    task = load_task(train=train, limit=limit, seed=seed)
    classes = task.taxonomy.names
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = make_student("encoder", classes, seed=seed).tune(texts, labels, seed=seed)
    folds = stratified_folds(labels, FOLDS, seed)
    listed = try_class_list(student, task.train, task.taxonomy, folds).texts
    rows = [*task.train, *listed]
    fitted = student.clone().fit([row.text for row in rows], [row.label for row in rows])
    honest = out_of_fold(student, task.train, (), folds, class_list=listed)
    gold = np.array([task.taxonomy.index[label] for label in labels])
    mined = mine(task.train, honest.probabilities, classes, trusted=honest.testable)
    return {
        "data": name,
        "seed": seed,
        "rows": len(texts),
        "on_training_rows": int((fitted.predict_proba(texts).argmax(axis=1) != gold).sum()),
        "out_of_fold": int((honest.probabilities.argmax(axis=1) != gold).sum()),
        "suspected": len(mined.suspects),
        "shown_to_the_teacher": len(mined.mistakes),
        "pairs": len(mined.pairs),
    }


def table(runs: list[dict[str, Any]]) -> str:
    """Mean and range over the seeds, as Markdown."""
    columns = ("on_training_rows", "out_of_fold", "suspected", "shown_to_the_teacher")
    lines = [
        "| data | " + " | ".join(c.replace("_", " ") for c in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    for name in dict.fromkeys(run["data"] for run in runs):
        values = {c: [run[c] for run in runs if run["data"] == name] for c in columns}
        cells = [f"{np.mean(v):.0f} ({min(v)} to {max(v)})" for v in values.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
