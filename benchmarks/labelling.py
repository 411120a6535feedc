"""How well does the local teacher classify, by the three ways of asking it?

The same rows, zero-shot: one JSON answer with the classes as an enum; the scores of all classes as
the model gives them (where the classes differ in their first token, as here, that is first-token
scoring); the same scores without each class's prior, its mean probability over the rows.

    python benchmarks/labelling.py --split train --rows 200      # to try things
    python benchmarks/labelling.py                               # once, on test rows

Answers are kept in a ledger each (`--ledgers`): a benchmark that was cut off goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import read_rows
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.evaluation.teacher import draw_rows, score_labels
from pgkd.tasks.classification.prompts.labelling import label_texts
from pgkd.teachers.local import LocalTeacher
from pgkd.usage.ledger import Ledger
from pgkd.usage.metered import MeteredTeacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.prompts.labelling import Method
    from pgkd.teachers.base import Teacher

HERE = Path(__file__).parent
WAYS: dict[str, tuple[Method, bool]] = {
    "JSON enum": ("answer", False),
    "first token": ("score", False),
    "calibrated": ("score", True),
}


def main() -> None:
    """Label, count, print, and write the JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=["agnews", "trec6"])
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--split", choices=["train", "test"], default="test")
    add("--rows", type=int, default=500)
    add("--seed", type=int, default=0, help="of the draw, the requests and the intervals")
    add("--threads", type=int, default=None)
    add("--ledgers", type=Path, default=Path("runs/labelling"), help="folder of the ledgers")
    add("--out", type=Path, default=None, help="JSON to write")
    args = parser.parse_args()
    args.ledgers.mkdir(parents=True, exist_ok=True)
    runs: list[dict[str, Any]] = []
    with LocalTeacher(threads=args.threads) as teacher:
        for name in args.data:
            folder = args.data_root / name
            classes = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
            file = folder / f"{args.split}.csv.gz"
            texts, labels = read_rows(file, "text", "label", classes=classes)
            drawn = draw_rows(len(texts), args.rows, args.seed)
            rows = [texts[i] for i in drawn], [labels[i] for i in drawn]
            book = args.ledgers / f"{name}-{args.split}-{args.rows}-s{args.seed}.sqlite"
            with Ledger(book) as ledger:
                found = judge(MeteredTeacher(teacher, ledger), classes, *rows, seed=args.seed)
            runs += [{"data": name, **figures} for figures in found]
    told = ("data", "split", "rows", "seed", "threads")  # no paths of one machine
    report = {**{name: getattr(args, name) for name in told}, "environment": environment()}
    if args.out:
        args.out.write_text(json.dumps({**report, "runs": runs}, indent=2) + "\n", encoding="utf-8")


def judge(
    teacher: Teacher,
    classes: Sequence[str],
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int,
) -> list[dict[str, Any]]:
    """Figures of each way on some rows."""
    found = []
    for way, (method, calibrate) in WAYS.items():
        spent: list[float] = []
        answers = label_texts(
            teacher,
            texts,
            Taxonomy.from_names(classes),
            method=method,
            calibrate=calibrate,
            seed=seed,
            on_reply=lambda reply, spent=spent: spent.append(reply.seconds),  # type: ignore[misc]
        )
        score = score_labels(answers, labels, seconds=sum(spent), seed=seed)
        found.append({"way": way, **score.to_json()})
        print(time.strftime("%H:%M:%S"), json.dumps(found[-1]), flush=True)
    return found


if __name__ == "__main__":
    main()
