"""How many labels does guidance save? The student of every round of the cells of `pool.yaml`.

A run keeps its first, best and last student only, so those of the rounds between are trained
again, from the rows, the labels and the weights that the run has written down. The test file of a
data set is read here, once, after all of its runs are done.

    python benchmarks/pool_curve.py runs/bench/pool --data-root ../shared/data
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from label_savings import savings, table

from pgkd.distill import RunFolder
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance.class_list import class_texts
from pgkd.guidance.weighting import row_weights
from pgkd.task import read_rows

HERE = Path(__file__).parent
CELL = re.compile(r"(?P<data>.+)-(?P<rows>\d+)-s(?P<seed>\d+)-pool-(?P<arm>\w+)-(?P<teacher>\w+)$")


def main() -> None:
    """Judge what is not judged yet; print the tables, and write the JSON."""
    args = arguments()
    done = json.loads(args.out.read_text())["curves"] if args.out.is_file() else []
    known = {curve["cell"] for curve in done}
    for folder in sorted(args.bench.glob("cells/*-pool-*/cell.json")):
        found = CELL.match(folder.parent.name)
        if found and folder.parent.name not in known:
            test = args.data_root / found["data"] / "test.csv.gz"
            done.append({"cell": folder.parent.name, **found.groupdict()})
            done[-1] |= curve(RunFolder.open(folder.parent / "run"), test)
            write(args.out, done)
            print(folder.parent.name, done[-1]["accuracy"][-1], flush=True)
    write(args.out, done)
    print(table(done))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("bench", type=Path, help="folder of the cells of pool.yaml")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--out", type=Path, default=HERE / "results" / "pool_curve.json", help="JSON to write")
    return parser.parse_args()


def write(path: Path, curves: list[dict[str, Any]]) -> None:
    """Keep what is judged so far, and what follows from it."""
    report = {"environment": environment(), "curves": curves, "saved": list(savings(curves))}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def curve(run: RunFolder, test: Path) -> dict[str, Any]:
    """Accuracy and macro F1 on the test rows after each round of a run."""
    task = run.task()
    classes = task.taxonomy.names
    texts, gold = read_rows(test, "text", "label", classes=classes)
    [tried] = [e for e in run.read_lines("journal.jsonl") if e["event"] == "class list tried"]
    listed = class_texts(task.taxonomy) if tried["used"] else ()
    kept, template = run.kept(), run.student("first")
    found: dict[str, Any] = {"labels": [], "accuracy": [], "macro_f1": []}
    for done in run.read_json("result.json")["rounds"]:
        rows = [*task.train, *listed, *kept[: done["written"]]]
        weights = row_weights(rows, 1.0, done["labelled_weight"] or 1.0)
        student = template.clone().fit([r.text for r in rows], [r.label for r in rows], weights)
        metrics = evaluate(student.predict_proba(texts), gold, classes)
        found["labels"].append(done["written"])
        found["accuracy"].append(round(metrics.accuracy, 4))
        found["macro_f1"].append(round(metrics.macro_f1, 4))
    return {**found, "weight": done["labelled_weight"]}


if __name__ == "__main__":
    main()
