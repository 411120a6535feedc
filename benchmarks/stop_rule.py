"""Which round's student should a run keep? Rules are compared on the same runs.

A known teacher writes real rows of the training file, some of them under a wrong class; every run
goes through all its rounds. After each, its student is judged on rows that the run never draws, and
each rule says, from what a run can see, which round it would have kept.

    python benchmarks/stop_rule.py --data banking77 trec6 --rows 100 --errors 0 0.3
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections import defaultdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from lines import Lines
from round0 import SETS, cell_arguments, undrawn

from pgkd.bench.oracle import OracleTeacher
from pgkd.config import Config
from pgkd.distill import Distiller, Hooks, RunFolder
from pgkd.distill.provenance import environment
from pgkd.distill.stopping import StopRule
from pgkd.evaluation import evaluate
from pgkd.task import Example

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.distill.events import Round

    Line = dict[str, Any]
    Rule = Callable[[Sequence[Line]], int]

HERE = Path(__file__).parent
HELD, POOL = 1500, 7500
ROUNDS, SAMPLES = 5, 32
KEY = ("data", "rows", "errors", "weight", "seed")


class Watch(Hooks):
    """Notes after every round what the run can see, and how its student does on other rows.

    Args:
        run: folder of the run.
        held: texts and labels that judge.
        validation: its validation rows.
    """

    def __init__(
        self, run: Path, held: Sequence[tuple[str, str]], validation: Sequence[Example]
    ) -> None:
        self._run = run
        self._texts, self._labels = zip(*held, strict=True)
        self._validation = validation
        self.lines: list[Line] = []

    def on_round_end(self, finished: Round) -> None:
        """Judge the round's student."""
        student = RunFolder.open(self._run).student("last")
        found = evaluate(student.predict_proba(self._texts), self._labels, student.classes)
        answers = student.predict([row.text for row in self._validation])
        losses = finished.assessment.losses
        count = len(self._validation)
        self.lines.append(
            {
                "round": finished.number,
                "written": finished.written,
                "weight": finished.assessment.written_weight,
                "accuracy": round(found.accuracy, 4),
                "macro_f1": round(found.macro_f1, 4),
                "log_loss": round(found.log_loss, 4),
                "validation_losses": _rounded(losses[:count]),
                "out_of_fold_losses": _rounded(losses[count:]),
                "validation_errors": [
                    int(answer != row.label)
                    for answer, row in zip(answers, self._validation, strict=True)
                ],
            }
        )


def _rounded(losses: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(loss) else round(float(loss), 4) for loss in losses]


def watched(
    file: Path, *, rows: int, errors: float, weight: float | Literal["auto"], seed: int
) -> list[Line]:
    """Run the loop through all its rounds; a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        config = Config.model_validate(
            {
                "data": {"train": file, "limit": rows, "on_conflict": "drop"},
                "student": {"recipe": "frozen", "threads": 1},
                "rounds": ROUNDS,
                "samples": SAMPLES,
                "patience": ROUNDS + 1,
                "written_weight": weight,
                "seed": seed,
                "out": Path(folder) / "run",
            }
        )
        task = Distiller(config).load_task()
        rest = undrawn(file, task)
        order = np.random.default_rng(seed).permutation(len(rest))
        held = [rest[i] for i in order[:HELD]]
        drawn = ((i, *rest[i]) for i in order[HELD : HELD + POOL])
        pool = [Example(text, label, f"pool-{i}") for i, text, label in drawn]
        watch = Watch(Path(folder) / "run", held, task.validation)
        teacher = OracleTeacher(pool, error_share=errors, seed=seed)
        Distiller(config, teacher=teacher, hooks=[watch]).fit_task(task)
        return watch.lines


def by_losses(*kinds: str, margin: float) -> Rule:
    """The stop rule of a run, on losses of these kinds."""

    def kept(lines: Sequence[Line]) -> int:
        rule, best = StopRule(len(lines), lambda: margin), 0
        for line in lines:
            losses = [
                np.nan if loss is None else float(loss) for kind in kinds for loss in line[kind]
            ]
            if rule.judge(np.array(losses)).keep:
                best = int(line["round"])
        return best

    return kept


def lowest_validation_loss(lines: Sequence[Line]) -> int:
    """The rule of the paper."""
    return int(np.argmin([np.mean(line["validation_losses"]) for line in lines]))


def last(lines: Sequence[Line]) -> int:
    """Whatever the rows say."""
    return int(lines[-1]["round"])


_BOTH = ("validation_losses", "out_of_fold_losses")
_SEEN = (*_BOTH, "validation_errors")
RULES: dict[str, Rule] = {
    "lowest validation loss": lowest_validation_loss,
    "both kinds, 1 SE": by_losses(*_BOTH, margin=1.0),
    "both kinds, 2 SE": by_losses(*_BOTH, margin=2.0),
    "validation, 1 SE": by_losses("validation_losses", margin=1.0),
    "validation, 2 SE": by_losses("validation_losses", margin=2.0),
    "validation errors, 1 SE": by_losses("validation_errors", margin=1.0),
    "validation errors, 2 SE": by_losses("validation_errors", margin=2.0),
    "last": last,
}


def print_table(cells: Sequence[dict[str, Any]]) -> None:
    """By rows and share of wrong texts: what each rule keeps, and what that is worth."""
    groups: dict[tuple[Any, ...], list[Sequence[Line]]] = defaultdict(list)
    for cell in cells:
        groups[cell["rows"], cell["errors"], str(cell["weight"])].append(cell["rounds"])
    for (rows, errors, weight), runs in sorted(groups.items()):
        print(f"\n{rows} rows, {errors:.0%} of the texts wrong, weight {weight}, {len(runs)} runs")
        print(f"{'rule':26}{'acc':>7}{'F1':>7}{'worse':>7}{'missed':>8}")
        for name, rule in RULES.items():
            kept = [(lines, rule(lines)) for lines in runs]
            gains = [_gain(*each, "accuracy") for each in kept]
            of_f1 = statistics.mean(_gain(*each, "macro_f1") for each in kept)
            print(
                f"{name:26}{statistics.mean(gains):+7.2f}{of_f1:+7.2f}"
                f"{sum(gain < 0 for gain in gains):7}"
                f"{statistics.mean(_missed(*each) for each in kept):8.2f}"
            )


def _gain(lines: Sequence[Line], kept: int, measure: str) -> float:
    """Points that a round is ahead of round 0."""
    return 100 * float(lines[kept][measure] - lines[0][measure])


def _missed(lines: Sequence[Line], kept: int) -> float:
    """Points of accuracy that the best round would have been ahead of the one kept."""
    return 100 * float(max(line["accuracy"] for line in lines) - lines[kept]["accuracy"])


def summary(cell: dict[str, Any]) -> dict[str, Any]:
    """A cell without what it was decided by: that is long."""
    lines = cell["rounds"]
    return {
        **cell,
        "rounds": [{k: v for k, v in line.items() if k not in _SEEN} for line in lines],
        "kept": {name: rule(lines) for name, rule in RULES.items()},
    }


def _weight(given: str) -> float | str:
    return "auto" if given == "auto" else float(given)


def main() -> None:
    """Run what has not been run, and print what each rule would have kept."""
    parser = cell_arguments(__doc__, data=(*SETS, "agnews"), rows=(100, 400, 1000), seeds=(0, 1))
    add = parser.add_argument
    add("--errors", nargs="+", type=float, default=[0.0, 0.3, 0.6], help="shares of wrong texts")
    add("--weights", nargs="+", type=_weight, default=["auto", 1.0], help="of a written text")
    add("--cells", type=Path, default=Path("runs/stop_rule.jsonl"), help="it goes on there")
    add("--out", type=Path, default=HERE / "results" / "stop_rule.json", help="JSON to write")
    args = parser.parse_args()
    cells = Lines(args.cells, KEY)
    for seed, weight, errors, rows, data in product(
        args.seeds, args.weights, args.errors, args.rows, args.data
    ):
        cell = (data, rows, errors, weight, seed)
        if cell not in cells:
            rounds = watched(
                args.data_root / data / "train.csv.gz",
                rows=rows, errors=errors, weight=weight, seed=seed,
            )  # fmt: skip
            print(*cell, [line["accuracy"] for line in rounds], flush=True)
            cells.add({**dict(zip(KEY, cell, strict=True)), "rounds": rounds})
    print_table(cells.all)
    report = {"environment": environment(), "cells": [summary(cell) for cell in cells.all]}
    args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
