"""What should a written text weigh? Finished runs, trained again with other weights.

Judged on rows of the training file that the runs did not draw; the test file is not read. The
student's hyper-parameters are the run's own.

    python benchmarks/text_weight.py RUN [RUN ...] --weights 0 0.03 0.1 0.3 1
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

from pgkd.config import Config
from pgkd.distill import RunFolder
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance.class_list import class_texts
from pgkd.task import Example
from pgkd.task.loading import read_rows

HERE = Path(__file__).parent
FIGURES = ("accuracy", "macro_f1", "log_loss")


def main() -> None:
    """Measure every run; print, and write the JSON."""
    args = arguments()
    runs = []
    for path in args.runs:
        runs.append(measure(path, args.weights, args.rows))
        print(json.dumps(runs[-1]), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    report = {"rows_judged": args.rows, "environment": environment(), "runs": runs}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(runs, args.weights))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("runs", nargs="+", type=Path, help="run folders of a file that has more rows than they use")
    add("--weights", nargs="+", type=float, default=[0, 0.01, 0.03, 0.1, 0.3, 1])
    add("--rows", type=int, default=3000, help="rows to judge by")
    add("--out", type=Path, default=HERE / "results" / "text_weight.json", help="JSON to write")
    return parser.parse_args()


def measure(path: Path, weights: list[float], n: int) -> dict[str, Any]:
    """The figures of one run with each weight, with the class list and without."""
    run = RunFolder.open(path)
    data = Config.from_yaml(path / "config.yaml").data
    task = run.read_json("task.json")
    real = [Example.from_json(row) for row in task["train"]]
    own = {row["text"] for row in (*task["train"], *task["validation"])}
    written, taxonomy = run.kept(), run.taxonomy()
    student = run.student("first")
    assert data.train is not None
    rows = read_rows(data.train, data.text_column, data.label_column, classes=taxonomy.names)
    others = [(text, label) for text, label in zip(*rows, strict=True) if text not in own]
    held = random.Random(0).sample(others, min(n, len(others)))

    def judge(rows: list[Example], weight: float) -> dict[str, float]:
        if not weight:
            rows = [row for row in rows if row.is_real]
        given = np.array([1.0 if row.is_real else weight for row in rows])
        fitted = student.clone().fit([r.text for r in rows], [r.label for r in rows], given)
        found = evaluate(
            fitted.predict_proba([text for text, _ in held]), [b for _, b in held], taxonomy.names
        )
        return {name: round(getattr(found, name), 4) for name in FIGURES}

    listed = class_texts(taxonomy)
    return {
        "run": path.name,
        "texts": len(written),
        "with_class_list": {str(w): judge([*real, *listed, *written], w) for w in weights},
        "without_class_list": {str(w): judge([*real, *written], w) for w in weights},
    }


def table(runs: list[dict[str, Any]], weights: list[float]) -> str:
    """Accuracy, mean and range over the runs, as Markdown."""
    lines = [
        "| weight | " + " | ".join(f"{w:g}" for w in weights) + " |",
        "|---" * (len(weights) + 1) + "|",
    ]
    for way in ("with_class_list", "without_class_list"):
        cells = []
        for weight in weights:
            values = [run[way][str(weight)]["accuracy"] for run in runs]
            cells.append(f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")
        lines.append(f"| {way.replace('_', ' ')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
