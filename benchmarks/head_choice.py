"""How should the head be chosen: by which loss, and with which calibration?

Three ways, each by cross-validation over the same training rows (the features are frozen):

- ``plain``: the C, balanced or not, with the lowest log loss; no calibration
- ``temperature``: balanced, C by log loss after temperature scaling
- ``temperature and prior``: and after a share of the log class frequency is added: `tune_head`

Judged on rows of the training file that were not drawn; the test file is not read. The class list
trains too, as it does in a run where it helps.

    python benchmarks/head_choice.py --data banking77 huffpost41_skew --seeds 0 1 2
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from round0 import undrawn

from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance.class_list import class_texts
from pgkd.student.calibration import Calibration, fit_calibration, log_losses
from pgkd.student.encoders import load_encoder
from pgkd.student.head import HeadSettings, fit_head, log_prior, tune_head
from pgkd.task import load_task, stratified_folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

HERE = Path(__file__).parent
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
ARMS = ("plain", "temperature", "temperature and prior")
MEASURES = ("accuracy", "macro_f1", "log_loss", "ece")


def main() -> None:
    """Measure every data set, size and seed; print a table, and write the JSON."""
    args = arguments()
    encoder = load_encoder(args.encoder, 128)
    runs = []
    for name in args.data:
        for rows in args.rows:
            for seed in args.seeds:
                runs.append({"data": name, "rows": rows, "seed": seed})
                runs[-1] |= measure(args, encoder, name, rows, seed)
                print(json.dumps(runs[-1]), flush=True)
    report = {"judged": args.judged, "environment": environment(), "runs": runs}
    args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(runs))


def arguments() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--data", nargs="+", default=["banking77", "huffpost41_skew", "agnews"])
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--rows", nargs="+", type=int, default=[100, 1000], help="rows drawn, 4/5 to train on")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--judged", type=int, default=2000, help="rows to judge by, at most")
    add("--encoder", default="all-minilm-l6-v2", help="weights by name, hub name, or a folder")
    add("--out", type=Path, default=HERE / "results" / "head_choice.json", help="JSON to write")
    return parser.parse_args()


def measure(
    args: argparse.Namespace, encoder: Any, name: str, rows: int, seed: int
) -> dict[str, Any]:
    """Figures of every arm on the rows that were not drawn."""
    file = args.data_root / name / "train.csv.gz"
    task = load_task(train=file, limit=rows, seed=seed)
    classes = task.taxonomy.names
    others = undrawn(file, task)
    random.Random(seed).shuffle(others)
    texts, gold = zip(*others[: args.judged], strict=True)
    labels = [row.label for row in task.train]
    features = encoder.features([row.text for row in task.train])
    listed = class_texts(task.taxonomy)
    all_features = np.concatenate([features, encoder.features([row.text for row in listed])])
    judged = encoder.features(texts)
    found: dict[str, Any] = {}
    for arm in ARMS:
        settings = choose(arm, features, labels, classes, seed)
        head = fit_head(all_features, [*labels, *(r.label for r in listed)], classes, settings)
        metrics = evaluate(head.predict_proba(judged), gold, classes).to_json()
        found[arm] = {m: round(metrics[m], 4) for m in MEASURES} | {"head": settings.to_json()}
    return found


def choose(
    arm: str, features: NDArray[Any], labels: Sequence[str], classes: Sequence[str], seed: int
) -> HeadSettings:
    """The hyper-parameters that an arm chooses."""
    if arm == "temperature and prior":
        numbers = list(map(str, range(len(labels))))  # a text for each row of the features
        return tune_head(
            STRENGTHS,
            lambda rows, held: (features[list(map(int, rows))], features[list(map(int, held))]),
            numbers, labels, classes, seed=seed,
        )[0]  # fmt: skip
    if arm == "plain":
        candidates = [HeadSettings(C, w) for C in STRENGTHS for w in (None, "balanced")]
    else:
        candidates = [HeadSettings(C, "balanced") for C in STRENGTHS]
    tried = []
    for candidate in candidates:
        logits, prior, gold = held_out(candidate, features, labels, classes, seed)
        calibration = Calibration()
        if arm == "temperature":
            calibration = fit_calibration(logits, np.zeros_like(prior), gold)
        loss = log_losses(calibration(logits, prior), gold).mean()
        tried.append((loss, HeadSettings(candidate.C, candidate.class_weight, calibration)))
    return min(tried, key=lambda pair: pair[0])[1]


def held_out(
    settings: HeadSettings,
    features: NDArray[Any],
    labels: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Logits, log priors and classes of the rows, each from a head that did not see it."""
    index = {name: i for i, name in enumerate(classes)}
    gold = np.array([index[label] for label in labels])
    folds = stratified_folds(labels, 5, seed)
    parts = []
    for fold in range(5):
        seen = np.flatnonzero(folds != fold)
        held = np.flatnonzero((folds == fold) & np.isin(gold, gold[seen]))
        head = fit_head(features[seen], [labels[i] for i in seen.tolist()], classes, settings)
        prior = np.tile(log_prior(gold[seen], len(classes)), (len(held), 1))
        parts.append((head.logits(features[held]), prior, gold[held]))
    logits, priors, golds = (np.concatenate(part) for part in zip(*parts, strict=True))
    return logits, priors, golds


def table(runs: Sequence[dict[str, Any]]) -> str:
    """Mean and standard deviation over the seeds, as Markdown."""
    lines = ["| data, rows | head | " + " | ".join(MEASURES) + " |", "|---" * 6 + "|"]
    for data, rows in dict.fromkeys((run["data"], run["rows"]) for run in runs):
        group = [run for run in runs if (run["data"], run["rows"]) == (data, rows)]
        for arm in ARMS:
            cells = []
            for measure_ in MEASURES:
                values = [run[arm][measure_] for run in group]
                sd = np.std(values, ddof=1) if len(values) > 1 else 0.0
                cells.append(f"{np.mean(values):.3f} ± {sd:.3f}")
            lines.append(f"| {data}, {rows} | {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
