"""What may fine-tuning do without, and what else could it do?

Frozen layers cost no backward pass and no optimiser; without dropout no masks are drawn. Lower
layers may learn more slowly (Howard & Ruder, ACL 2018), labels be smoothed (Szegedy et al., CVPR
2016), rare classes weigh more, and matrices move within a low rank only (LoRA, Hu et al., ICLR
2022). Rows and training are those of `recipes.py`: 1,000 rows drawn, of which 800 train, and rows
of the training file that were not drawn judge. The head and the class list are chosen on frozen
features, once for all arms. A cell that is in the results already is not run again.

    python benchmarks/fine_tuning.py without --data trec6 banking77 --seeds 0
    make bench-fine-tuning
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from lines import Lines
from recipes import MAX_LENGTH, cell_of
from round0 import trained
from scipy.stats import sem
from sklearn.utils.class_weight import compute_sample_weight

from pgkd.evaluation import evaluate
from pgkd.student.encoder import EncoderStudent
from pgkd.student.finetune import FineTuning, fine_tune

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from recipes import Cell

    from pgkd.student.features import Encoder

SETS = ("trec6", "stackoverflow20", "banking77", "goemotions", "huffpost41_skew")


class Arm(NamedTuple):
    """A way to fine-tune.

    Attributes:
        recipe: pgkd's own settings.
        class_weight: as scikit-learn's; None weighs every row alike.
        low_rank: matrices move within a low rank only.
    """

    recipe: FineTuning = FineTuning()
    class_weight: str | None = None
    low_rank: bool = False


STUDIES = {  # the first arm of each is the one that changes are counted from
    "without": {
        "all": Arm(FineTuning(cheap_dropout=False, frozen_layers=0)),
        "first-layer-up": Arm(FineTuning(cheap_dropout=False, frozen_layers=1)),
        "second-layer-up": Arm(FineTuning(cheap_dropout=False, frozen_layers=2)),
        "no-attention-dropout": Arm(FineTuning(cheap_dropout=False, dropout="hidden")),
        "no-dropout": Arm(FineTuning(cheap_dropout=False, dropout="none")),
        "default": Arm(),
    },
    "also": {
        "default": Arm(),
        "layer-decay": Arm(FineTuning(layer_decay=0.8)),
        "label-smoothing": Arm(FineTuning(label_smoothing=0.1)),
        "balanced": Arm(class_weight="balanced"),
        "low-rank": Arm(FineTuning(learning_rate=1e-3), low_rank=True),
    },
}
RESULTS = {"without": "fine_tuning.jsonl", "also": "fine_tuning_also.jsonl"}
RANK = 8
HERE = Path(__file__).parent


def main() -> None:
    """Run what is missing, one line of JSON a cell; then print what each arm changes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("study", choices=STUDIES, help="what it may do without, or what else it could do")
    add("--data", nargs="+", default=list(SETS), help="names of data sets")
    add("--data-root", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    add("--seeds", nargs="+", type=int, default=[0, 1, 2])
    add("--arms", nargs="+", help="some of the study's arms; all by default")
    add("--held", type=int, default=1500, help="how many rows judge")
    add("--limit", type=int, default=1000, help="rows drawn, four fifths of them to train on")
    add("--out", type=Path, help="lines of JSON; by default the study's in benchmarks/results")
    args = parser.parse_args()
    args.judge = "held"
    study = STUDIES[args.study]
    if unknown := set(args.arms or ()) - set(study):
        parser.error(f"no arm of the study {args.study!r}: {', '.join(sorted(unknown))}")
    arms = {name: study[name] for name in args.arms or study}
    out = args.out or HERE / "results" / RESULTS[args.study]
    lines = Lines(out, ("data", "seed", "arm"))
    for seed in args.seeds:
        for name in args.data:
            missing = {arm: how for arm, how in arms.items() if (name, seed, arm) not in lines}
            if missing:
                for line in measured(cell_of(args, name, seed), missing):
                    print(json.dumps(line), flush=True)
                    lines.add(line)
    print_changes(lines.all, list(study))


def measured(cell: Cell, arms: Mapping[str, Arm]) -> Iterator[dict[str, Any]]:
    """Fine-tune on a cell's rows in every one of these ways, and judge."""
    classes = cell.task.taxonomy
    probe = EncoderStudent(
        classes.names, seed=cell.seed, recipe="frozen", threads=1, max_length=MAX_LENGTH
    )
    rows = [*cell.task.train, *trained(probe, cell.task, cell.seed)]
    texts, gold = [row.text for row in rows], np.array([classes.index[row.label] for row in rows])
    for name, arm in arms.items():
        started = time.process_time()
        start = low_rank(probe.encoder, cell.seed) if arm.low_rank else probe.encoder
        weights = compute_sample_weight(arm.class_weight, gold)
        encoder, head = fine_tune(
            start, probe.head, texts, gold, weights, seed=cell.seed, recipe=arm.recipe
        )
        seconds = time.process_time() - started
        found = evaluate(
            head.predict_proba(encoder.features(cell.judged)), cell.gold, classes.names
        )
        yield {
            "data": cell.data, "seed": cell.seed, "arm": name,
            "accuracy": round(found.accuracy, 4), "macro_f1": round(found.macro_f1, 4),
            "cpu_s": round(seconds, 1),
        }  # fmt: skip


def low_rank(encoder: Encoder, seed: int) -> Encoder:
    """A copy of an encoder whose matrices move within a low rank when it is trained."""
    model = copy.deepcopy(encoder.model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in list(model.encoder.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, torch.nn.Linear):
                    setattr(module, name, LowRank(child))
    return encoder.trained(model)


class LowRank(torch.nn.Module):  # type: ignore[misc]
    """A linear layer that stays what it is, beside a product of two small matrices that learns.

    As in LoRA: the one is random, the other 0, so that training begins where the layer is.

    Args:
        layer: what is adapted.
    """

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.register_buffer("weight", layer.weight.detach())
        self.register_buffer("bias", layer.bias.detach())
        self.down = torch.nn.Parameter(torch.empty(RANK, layer.in_features))
        self.up = torch.nn.Parameter(torch.zeros(layer.out_features, RANK))
        torch.nn.init.kaiming_uniform_(self.down, a=math.sqrt(5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer gives, and what was learned."""
        linear = torch.nn.functional.linear
        return linear(x, self.weight, self.bias) + linear(linear(x, self.down), self.up)


def print_changes(lines: Sequence[dict[str, Any]], arms: Sequence[str]) -> None:
    """Markdown: what arms change against the first, in points; mean and standard error of pairs."""
    base = {(line["data"], line["seed"]): line for line in lines if line["arm"] == arms[0]}
    print("\n| arm | pairs | accuracy | macro F1 | CPU time |\n|---|---|---|---|---|")
    for arm in arms[1:]:
        found = [r for r in lines if r["arm"] == arm and (r["data"], r["seed"]) in base]
        pairs = [(base[r["data"], r["seed"]], r) for r in found]
        if pairs:
            changes = [change(pairs, measure) for measure in ("accuracy", "macro_f1")]
            time_left = np.mean([new["cpu_s"] / old["cpu_s"] for old, new in pairs])
            print(f"| {arm} | {len(pairs)} | {' | '.join(changes)} | × {time_left:.2f} |")


def change(pairs: Sequence[tuple[dict[str, Any], dict[str, Any]]], measure: str) -> str:
    """Mean change in points and its standard error, which one pair has none of."""
    changes = 100 * np.array([new[measure] - old[measure] for old, new in pairs])
    error = f"{sem(changes):.2f}" if len(pairs) > 1 else "?"
    return f"{changes.mean():+.2f} ± {error}"


if __name__ == "__main__":
    main()
