"""Is a student of an LLM's logged answers better than the LLM, and does cleaning them pay?

The training rows of a data set become the log of an LLM that is wrong on a share of them, 15% by
default: a chat a line, as for fine-tuning. `pgkd import` reads it, and round 0 of a run trains on
what comes out; no other LLM is asked. The arm `cleaned` is what `pgkd import` does: it leaves out
what confident learning doubts if cross-validated students agree better without that. `always`
leaves it out anyway, `raw` never. On the judged rows the LLM is wrong as often, in the same way:

- `uniform`: on rows drawn at random, any other class
- `confusable`: on rows drawn at random, the class whose mean text is nearest to the right one's
- `hard`: on the rows nearest to another class, that class; nothing in such a log tells its errors

Choices were made with `--judge held`, 1,500 training rows that are not in the log; the test rows
are read by `--judge test`. A cell that is in the results is not run again.

    python benchmarks/imported.py --judge test
    python benchmarks/imported.py --rows 1500 --wrong 0 --kinds uniform
    make bench-imported
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from recipes import ENCODER, MAX_LENGTH, Lines, shown, trained

from pgkd.apps.bulk.answers import write_answers
from pgkd.apps.cli import app
from pgkd.encoders.transformer import load_encoder
from pgkd.tasks.classification.data.dataset import load_dataset, read_rows
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.data.imported import judge
from pgkd.tasks.classification.data.logs import LoggedCall
from pgkd.tasks.classification.students import make_student

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HERE = Path(__file__).parent
KINDS = ("uniform", "confusable", "hard")
ARMS = ("raw", "cleaned", "always")
HELD = 1500
PROMPT = (
    "Which intent has this message of a bank's customer?\n\nMessage: {}\n\nName the intent only."
)


class Rows(NamedTuple):
    """Texts and the columns of their classes."""

    texts: Sequence[str]
    gold: NDArray[np.int64]


def main() -> None:
    """Run what is missing, one line of JSON a cell; then print the table."""
    args = arguments()
    lines = Lines(args.out, ("data", "kind", "wrong", "logged", "seed", "arm", "judge"))
    texts, labels = read_rows(args.data_root / args.data / "train.csv.gz", "text", "label")
    classes = sorted(set(labels))
    gold = label_indices(labels, classes)
    order = np.random.default_rng(12345).permutation(len(texts))
    log, held = (order[HELD:], order[:HELD]) if args.judge == "held" else (order, order[:0])
    log = log[: args.rows]
    logged, judged = (Rows([texts[i] for i in part], gold[part]) for part in (log, held))
    if args.judge == "test":
        file = args.data_root / args.data / "test.csv.gz"
        found, labels = read_rows(file, "text", "label", classes=classes)
        judged = Rows(found, label_indices(labels, classes))
    for kind in args.kinds:
        for seed in args.seeds:
            for arm in args.arms:
                cell = {"data": args.data, "kind": kind, "wrong": args.wrong, "logged": len(log)}
                cell |= {"seed": seed, "arm": arm, "judge": args.judge}
                if tuple(cell.values()) not in lines:
                    lines.add(cell | measure(args, logged, judged, classes, kind, seed, arm))
                    print(json.dumps(lines.all[-1]), flush=True)
    print_table(lines.all)


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", default="banking77", help="name of the data set")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--kinds", nargs="+", choices=KINDS, default=list(KINDS), help="how the LLM is wrong")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2], help="one cell each")
    add("--arms", nargs="+", choices=ARMS, default=list(ARMS[:2]), help="what is left out")
    add("--rows", type=int, help="length of the log; default: all rows")
    add("--wrong", type=float, default=0.15, help="share of wrong answers")
    add("--judge", choices=("held", "test"), default="held", help="rows that judge")
    add("--out", type=Path, default=HERE / "results" / "imported.jsonl", help="a line a cell")
    return parser.parse_args()


def measure(
    args: argparse.Namespace, logged: Rows, judged: Rows, classes: Sequence[str], kind: str,
    seed: int, arm: str,
) -> dict[str, Any]:  # fmt: skip
    """Accuracy of the LLM and of the student on the judged rows."""
    started = time.process_time()
    said = answers(logged, logged, kind, args.wrong, seed)
    llm = answers(judged, logged, kind, args.wrong, seed)
    with tempfile.TemporaryDirectory() as folder:
        log, rows = Path(folder, "log.jsonl"), Path(folder, "imported.csv")
        with log.open("w", encoding="utf-8") as file:
            for text, column in zip(logged.texts, said, strict=True):
                messages = [
                    {"role": "user", "content": PROMPT.format(text)},
                    {"role": "assistant", "content": classes[column]},
                ]
                file.write(json.dumps({"messages": messages}) + "\n")
        by = "encoder" if arm == "cleaned" else "none"
        app(["import", str(log), "--out", str(rows), "--student", by], standalone_mode=False)
        if arm == "always":
            leave_out_doubtful(rows, seed)
        kept, labels = read_rows(rows, "text", "label")
        task = load_dataset(train=rows, seed=seed)
    student = make_student(
        "encoder", task.taxonomy.names, seed=seed, recipe="frozen", max_length=MAX_LENGTH
    )
    trained(student, task, seed)
    right = dict(zip(logged.texts, logged.gold, strict=True))
    gold = [classes[i] for i in judged.gold]
    predicted = student.predict(judged.texts)
    return {
        "llm": round(float((llm == judged.gold).mean()), 4),
        "student": round(float(np.mean([a == b for a, b in zip(predicted, gold, strict=True)])), 4),
        "rows": len(kept),
        "rows_right": round(
            float(np.mean([classes[right[t]] == n for t, n in zip(kept, labels, strict=True)])), 4
        ),
        "judged": len(gold),
        "cpu_s": round(time.process_time() - started, 1),
    }


def leave_out_doubtful(file: Path, seed: int) -> None:
    """Take the rows out of a file that confident learning doubts."""
    texts, labels = read_rows(file, "text", "label")
    rows = [LoggedCall(*row, "") for row in zip(texts, labels, strict=True)]
    doubtful = judge(rows, "encoder", seed).doubtful
    kept = [row for row, doubt in zip(rows, doubtful, strict=True) if not doubt]
    write_answers(file, ("text", "label", "origin"), kept)


def answers(rows: Rows, known: Rows, kind: str, wrong: float, seed: int) -> NDArray[np.int64]:
    """What an LLM says that is wrong on a share of the rows; shape (n,), columns of classes.

    Args:
        rows: n rows, with their right classes.
        known: rows that tell which classes are near each other.
        kind: how it is wrong.
        wrong: the share.
        seed: of the drawing.
    """
    rng = np.random.default_rng(seed)
    said = rows.gold.copy()
    n, k = len(said), round(wrong * len(said))
    n_classes = int(known.gold.max()) + 1
    encoder = load_encoder(ENCODER, MAX_LENGTH)
    features = encoder.features(known.texts)
    means = np.stack([features[known.gold == c].mean(axis=0) for c in range(n_classes)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    drawn = rng.choice(n, k, replace=False)
    if kind == "uniform":
        said[drawn] = (said[drawn] + rng.integers(1, n_classes, k)) % n_classes
    elif kind == "confusable":
        similar = means @ means.T - 2 * np.eye(n_classes)
        said[drawn] = similar.argmax(axis=1)[said[drawn]]
    else:
        similar = encoder.features(rows.texts) @ means.T
        own = similar[np.arange(n), said]
        similar[np.arange(n), said] = -1
        # A little chance makes the seeds differ.
        hardest = np.argsort(own - similar.max(axis=1) + rng.normal(0, 0.02, n))[:k]
        said[hardest] = similar.argmax(axis=1)[hardest]
    return said


def print_table(lines: Sequence[dict[str, Any]]) -> None:
    """Markdown: mean and sample standard deviation over the seeds."""
    print(f"\n| judge, rows, wrong answers | LLM | {' | '.join(ARMS)} |")
    print("|---|---|" + "---|" * len(ARMS))
    keys = ("judge", "logged", "wrong", "kind")
    for key in dict.fromkeys(tuple(line[name] for name in keys) for line in lines):
        group = [line for line in lines if tuple(line[name] for name in keys) == key]
        llm = shown([line["llm"] for line in group if line["arm"] == "raw"], 3)
        arms = ([line["student"] for line in group if line["arm"] == arm] for arm in ARMS)
        cells = " | ".join(shown(values, 3) for values in arms)
        print(f"| {key[0]}, {key[1]}, {key[2]:.0%} {key[3]} | {llm} | {cells} |")


if __name__ == "__main__":
    main()
