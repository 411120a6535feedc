"""Several labels a text, on GoEmotions: the student alone, and with a teacher's texts.

`lr-1`, `lr-10` and `lr-100` are scikit-learn's one-vs-rest logistic regression on the same frozen
features, with that C and a threshold of a half. `setfit` is SetFit's one-vs-rest on the same
encoder, fine-tuned, with 20 pairs a row as in its paper. `alone` is the student without a teacher.
The others have texts of one: `even` spreads them over the labels, `guided` is what pgkd does,
`oracle` gets real training rows with the labels that were asked for. The bank's texts, of a strong
LLM, have one label each. With `--wrong .4` so many of them are of another label than they say.

A cell that is in the results already is not run again. The test rows are read for the figures only.

    python benchmarks/multilabel.py --data data/goemotions_multi --bank data/goemotions.csv.gz
    python benchmarks/multilabel.py … --rows 1000 --arms lr-1 lr-10 lr-100 alone
    python benchmarks/multilabel.py … --arms even guided --wrong .4
    python benchmarks/multilabel.py --show
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from recipes import ask_setfit

from pgkd import Config, Distiller, FakeTeacher
from pgkd.encoders.one_vs_rest import indicators
from pgkd.encoders.transformer import load_encoder
from pgkd.tasks.multilabel.data import MultiLabelText
from pgkd.tasks.multilabel.learner import multilabel_figures
from pgkd.tasks.multilabel.task import MultiLabel
from pgkd.teachers.base import Request
from pgkd.weights.fetch import ensure

RESULTS = Path(__file__).parent / "results" / "multilabel.jsonl"
ENCODER = "all-minilm-l6-v2"
FIGURES = ("macro_f1", "micro_f1", "subset_accuracy", "map", "log_loss")


class Writer:
    """Answers requests from texts that are there already.

    Args:
        texts: by set of labels.
        wrong: share of texts that have another label than they say.
        seed: of their order.
    """

    def __init__(self, texts: dict[tuple[str, ...], list[str]], wrong: float, seed: int) -> None:
        self._random = random.Random(seed)
        self._texts = {key: self._random.sample(found, len(found)) for key, found in texts.items()}
        self._wrong = wrong

    def __call__(self, request: Request) -> str:
        """The reply to a request; fewer texts than it asks for where there are no more."""
        asked = request.messages[1].content.split("with these labels:")[1]
        sets = [tuple(json.loads(s)) for s in re.findall(r"^\d+\. (\[.*\])$", asked, re.M)]
        [(about, _)] = Counter(label for labels in sets for label in labels).most_common(1)
        samples = []
        for labels in sets:
            key = labels if self._texts.get(labels) else (about,)
            source = key
            if self._random.random() < self._wrong:
                source = self._random.choice([k for k in sorted(self._texts) if k != key])
            if self._texts.get(source):
                samples.append({"labels": list(key), "text": self._texts[source].pop()})
        return json.dumps({"samples": samples})


def read_texts(args: argparse.Namespace, left: list[MultiLabelText]) -> dict[Any, list[str]]:
    """The bank's texts, or for the oracle the rows that the run does not have."""
    texts: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    if left:
        for row in left:
            texts[row.labels].append(row.text)
    else:
        with gzip.open(args.bank, "rt", encoding="utf-8", newline="") as file:
            for line in csv.DictReader(file):
                texts[line["label"],].append(line["text"])
    return texts


def logistic_regression(
    strength: float, texts: list[str], gold: NDArray[np.bool_], judged: list[str]
) -> list[list[float]]:
    """The probabilities of scikit-learn's one-vs-rest, on frozen features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    encoder = load_encoder(ENCODER, 128)
    model = OneVsRestClassifier(LogisticRegression(C=strength, max_iter=2000))
    model.fit(encoder.features(texts), gold)
    found: list[list[float]] = model.predict_proba(encoder.features(judged)).tolist()
    return found


def measure(args: argparse.Namespace, seed: int, arm: str) -> dict[str, Any]:
    """One cell: the figures on the test rows."""
    task, config = MultiLabel(), MultiLabel.config()
    pool = task.read(args.data / "train.jsonl.gz", config)
    test = task.read(args.data / "test.jsonl.gz", config)[: args.test]
    order = np.random.default_rng(seed).permutation(len(pool)).tolist()
    rows, left = ([pool[i] for i in part] for part in (order[: args.rows], order[args.rows :]))
    labels = sorted({label for row in pool for label in row.labels})
    texts = [row.text for row in test]
    if arm.startswith(("lr-", "setfit")):
        own, gold = [row.text for row in rows], indicators([row.labels for row in rows], labels)
        if arm == "setfit":
            found = ask_setfit(args.setfit_python, {
                "texts": own, "labels": gold.astype(int).tolist(), "judged": texts,
                "encoder": str(ensure(ENCODER)), "max_length": 128, "seed": seed,
                "iterations": 20, "threads": 1,
            })["probabilities"]  # fmt: skip
        else:
            found = logistic_regression(float(arm[3:]), own, gold, texts)
        answers: list[Any] = [
            {
                "probabilities": dict(zip(labels, p, strict=True)),
                "labels": [name for name, q in zip(labels, p, strict=True) if q >= 0.5],
            }
            for p in found
        ]
        return {name: round(value, 4) for name, value in multilabel_figures(answers, test).items()}
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "task": "multilabel", "seed": seed, "out": Path(folder) / "run",
            "rounds": 0 if arm == "alone" else 3, "texts": args.texts,
            "student": {"encoder": ENCODER, "recipe": args.recipe},
            "guidance": {"allocation": "even" if arm == "even" else "guided"},
        }  # fmt: skip
        oracle = left if arm == "oracle" else []
        teacher = FakeTeacher(Writer(read_texts(args, oracle), args.wrong, seed))
        distiller = Distiller(Config.parse(settings), teacher=teacher)
        distiller.fit([r.text for r in rows], [list(r.labels) for r in rows], classes=labels)
        run = distiller.run_
        figures = multilabel_figures(run.student("best").answers(texts), test)
        result = run.read_json("result.json")
        last = result["rounds"][-1]
        return {
            **{name: round(value, 4) for name, value in figures.items()},
            "best": result["best"],
            "rounds": len(result["rounds"]) - 1,
            "synthetic": last["synthetic"],
            "weight": last["synthetic_weight"],
            "macro_f1_last": round(
                multilabel_figures(run.student("last").answers(texts), test)["macro_f1"], 4
            ),
        }


def show(path: Path) -> None:
    """Print a table of means and standard deviations over seeds."""
    cells = defaultdict(list)
    for line in path.read_text(encoding="utf-8").splitlines():
        cell = json.loads(line)
        cells[tuple(cell[k] for k in ("rows", "recipe", "wrong", "arm", "test"))].append(cell)
    print("| rows | recipe | wrong | arm | seeds |", " | ".join(FIGURES), "|")
    print("|---" * (5 + len(FIGURES)) + "|")
    for (rows, recipe, wrong, arm, _), found in cells.items():
        means = [
            f"{np.mean([c[f] for c in found]):.3f} ± {np.std([c[f] for c in found]):.3f}"
            for f in FIGURES
        ]
        print(f"| {rows} | {recipe} | {wrong} | {arm} | {len(found)} |", " | ".join(means), "|")


def main() -> None:
    """Measure the cells that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("data/goemotions_multi"))
    parser.add_argument("--bank", type=Path, default=Path("data/goemotions.csv.gz"))
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--arms", nargs="+", default=["alone", "even", "guided", "oracle"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--texts", type=int, default=320)
    parser.add_argument("--wrong", type=float, default=0.0)
    parser.add_argument("--recipe", default="frozen")
    parser.add_argument("--test", type=int, default=3000, help="test rows that are used")
    parser.add_argument("--setfit-python", help="Python of a virtual environment with setfit")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="one seed, 300 test rows")
    parser.add_argument("--show", action="store_true", help="print the table, measure nothing")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.test, args.texts = [0], 300, 80
    args.results.parent.mkdir(exist_ok=True)
    args.results.touch()
    if not args.show:
        done = [json.loads(line) for line in args.results.read_text().splitlines()]
        for seed in args.seeds:
            for arm in args.arms:
                cell = {
                    "rows": args.rows, "recipe": args.recipe, "wrong": args.wrong, "arm": arm,
                    "seed": seed, "test": args.test, "texts": args.texts,
                }  # fmt: skip
                if any(cell.items() <= each.items() for each in done):
                    continue
                line = json.dumps({**cell, **measure(args, seed, arm)})
                with args.results.open("a") as file:
                    file.write(line + "\n")
                print(line, flush=True)
    show(args.results)


if __name__ == "__main__":
    main()
