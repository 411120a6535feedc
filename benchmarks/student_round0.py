"""How good is a student before any teacher is asked? Round 0, over several seeds.

Of every data set, 1,000 rows are drawn by the seed and split into 800 training and 200 validation
rows, stratified. Hyper-parameters come from `tune`, and whether the class list trains too from
cross-validation, both on the training rows alone. The test file is read once a seed, after
training, and decides nothing. `alone` is the student without the class list, for comparison.

    python benchmarks/student_round0.py --data banking77 huffpost41_skew --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from round0 import trained

from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.student import make_student
from pgkd.task import load_task
from pgkd.task.loading import read_rows

HERE = Path(__file__).parent
MEASURES = ("alone_accuracy", "alone_macro_f1", "test_accuracy", "test_macro_f1", "seconds")


def main() -> None:
    """Run every data set with every seed; print, and write the JSON."""
    args = arguments()
    report: dict[str, Any] = {"settings": settings_of(args), "environment": environment()}
    report["data"] = {}
    for name in args.data:
        runs = []
        for seed in args.seeds:
            runs.append(run(args, name, seed))
            print(f"{name} seed {seed}: {line(runs[-1])}", flush=True)
        report["data"][name] = {"summary": summary(runs), "runs": runs}
    print_table(report["data"])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(f"Written: {args.out}")


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add(
        "--data",
        nargs="+",
        default=["banking77", "huffpost41_skew", "agnews"],
        help="names of data sets",
    )
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one run each")
    add("--limit", type=int, default=1000, help="rows drawn, four fifths of them to train on")
    add("--kind", choices=("encoder", "static", "linear"), default="encoder", help="which student")
    add("--encoder", default="all-minilm-l6-v2", help="weights by name, hub name, or a folder")
    add("--recipe", choices=("auto", "frozen", "finetune"), default="frozen", help="of the encoder")
    add("--max-length", type=int, default=128, help="tokens of a text that are read")
    add("--threads", type=int, help="CPU threads; default: all cores")
    add("--out", type=Path, default=HERE / "results" / "student_round0.json", help="JSON to write")
    return parser.parse_args()


def run(args: argparse.Namespace, name: str, seed: int) -> dict[str, Any]:
    """Train and measure one student, as round 0 of the loop does."""
    folder = args.data_root / name
    task = load_task(train=folder / "train.csv.gz", limit=args.limit, seed=seed)
    classes = task.taxonomy.names
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    started = time.perf_counter()
    student: Any = make_student(args.kind, classes, seed=seed, **student_settings(args))
    class_list_used = bool(trained(student, task, seed))
    seconds = time.perf_counter() - started
    held = [row.label for row in task.validation]
    validation = student.predict_proba([row.text for row in task.validation])
    test_texts, gold = read_rows(folder / "test.csv.gz", "text", "label", classes=classes)
    test = evaluate(student.predict_proba(test_texts), gold, classes)
    alone = evaluate(student.clone().fit(texts, labels).predict_proba(test_texts), gold, classes)
    return {
        "seed": seed,
        "rows": {"train": len(texts), "validation": len(held), "test": len(gold)},
        "classes": {"all": len(classes), "in_train": len(set(labels))},
        "class_list_used": class_list_used,
        "head": student.head_settings.to_json(),
        "validation_accuracy": evaluate(validation, held, classes).accuracy,
        "alone_accuracy": alone.accuracy,
        "alone_macro_f1": alone.macro_f1,
        "test_accuracy": test.accuracy,
        "test_macro_f1": test.macro_f1,
        "test_log_loss": test.log_loss,
        "seconds": round(seconds, 1),
    }


def student_settings(args: argparse.Namespace) -> dict[str, Any]:
    """The student's own settings; those that need none take none."""
    if args.kind != "encoder":
        return {}
    names = ("encoder", "recipe", "max_length", "threads")
    return {name: getattr(args, name) for name in names}


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and sample standard deviation (zero of a single run) of each measure over the seeds."""
    found = {}
    for measure in MEASURES:
        values = np.array([run[measure] for run in runs])
        spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
        found[measure] = {"mean": float(values.mean()), "sd": spread}
    return found


def line(run: dict[str, Any]) -> str:
    """One run for people."""
    measures = ", ".join(f"{measure} {run[measure]:.3f}" for measure in MEASURES)
    return f"{measures}, head {run['head']}"


def print_table(data: dict[str, Any]) -> None:
    """Mean and standard deviation, one data set a line."""
    print("\n" + "data".ljust(18) + "".join(measure.rjust(21) for measure in MEASURES))
    for name, found in data.items():
        cells = (found["summary"][measure] for measure in MEASURES)
        print(name.ljust(18) + "".join(f"{c['mean']:.3f} ± {c['sd']:.3f}".rjust(21) for c in cells))


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """What the numbers depend on, without paths of one machine."""
    return {key: value for key, value in vars(args).items() if key not in {"data_root", "out"}}


if __name__ == "__main__":
    main()
