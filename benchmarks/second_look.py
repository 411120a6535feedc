"""What should a text weigh that its teacher has read once more? Ways of weighing on the same texts.

The embedded teacher writes for a hundred labelled rows, as a run has it, and reads its texts blind.
Students on frozen features are then trained with the same texts, in each way, and judged on rows of
the training file that were not drawn. A cell that is in the results is not run again, and one that
was stopped goes on.

    python benchmarks/second_look.py --data banking77 trec6 --seeds 0
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from paired import table
from round0 import cell_arguments, trained, undrawn, with_texts

from pgkd.config import Config
from pgkd.curation import Look, SecondLook
from pgkd.distill import Distiller, RunFolder
from pgkd.evaluation import evaluate
from pgkd.student import make_student
from pgkd.task import Example
from pgkd.teacher import make_teacher

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.student import Student
    from pgkd.task import Task

    Line = dict[str, Any]

HERE = Path(__file__).parent
SETS = ("banking77", "stackoverflow20", "trec6", "huffpost41_skew")
HELD = 2000
LIGHT, HEAVY = 0.05, 0.3
LOOKS = "looks.jsonl"


def main() -> None:
    """Run the cells that the results do not hold yet; then print the table of all."""
    parser = cell_arguments(__doc__, data=SETS, rows=(100,))
    parser.add_argument("--rounds", type=int, default=5, help="of 32 texts")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the teacher")
    parser.add_argument("--runs", type=Path, default=Path("runs/second-look"))
    parser.add_argument("--out", type=Path, default=HERE / "results" / "second_look.json")
    args = parser.parse_args()
    lines: list[Line] = json.loads(args.out.read_text()) if args.out.exists() else []
    done = {(line["data"], line["rows"], line["seed"]) for line in lines}
    for seed in args.seeds:
        for name in args.data:
            for rows in args.rows:
                if (name, rows, seed) in done:
                    continue
                out = args.runs / f"{name}-{rows}-s{seed}"
                config = Config.model_validate(
                    {
                        "data": {
                            "train": args.data_root / name / "train.csv.gz",
                            "limit": rows,
                            "on_conflict": "drop",
                        },
                        "student": {"recipe": "frozen", "threads": 1},
                        "teacher": {"threads": args.threads},
                        "rounds": args.rounds,
                        "patience": args.rounds + 1,
                        "seed": seed,
                        "out": out,
                    }
                )
                found = judged(config)
                lines += [{"data": name, "rows": rows, "seed": seed, **line} for line in found]
                args.out.write_text(json.dumps(lines, indent=1), encoding="utf-8")
                print(name, rows, seed, *(f"{x['arm']} {x['accuracy']}" for x in found), flush=True)
    arms = list(dict.fromkeys(line["arm"] for line in lines))
    for measure in ("accuracy", "macro_f1"):
        print(table(lines, ("rows", "data"), arms, "all .05", measure))


def judged(config: Config) -> list[Line]:
    """A line for each way of weighing a run's texts."""
    task = Distiller(config).load_task()
    student = make_student(
        "encoder", task.taxonomy.names, seed=config.seed, recipe="frozen", threads=1
    )
    rows = [*task.train, *trained(student, task, config.seed)]
    assert config.data.train is not None
    rest = undrawn(config.data.train, task)
    order = np.random.default_rng(config.seed).permutation(len(rest))[:HELD]
    texts, labels = zip(*(rest[i] for i in order), strict=True)
    lines = []
    looks = looked(config, task, student)
    for arm, ways in weighed(looks).items():
        made = with_texts(student, rows, *ways)  # type: ignore[arg-type]
        found = evaluate(made.predict_proba(texts), labels, task.taxonomy.names)
        lines.append(
            {
                "arm": arm,
                "accuracy": round(found.accuracy, 4),
                "macro_f1": round(found.macro_f1, 4),
                "texts": len(looks),
                "confirmed": sum(look.agrees for look in looks),
            }
        )
    return lines


def weighed(looks: Sequence[Look]) -> dict[str, tuple[list[str], list[str], np.ndarray]]:
    """Texts, labels and weights, by the name of the way.

    *p* is the probability of the class that a text was written for, as the teacher tells it.
    """
    texts = [look.text.text for look in looks]
    labels = [look.text.label for look in looks]
    said = [look.said or look.text.label for look in looks]
    p = np.array([max(look.confirmed, 0.01) for look in looks])
    agreed = np.array([1.0 if look.agrees else 1e-9 for look in looks])
    one = np.ones(len(looks))
    return {
        "no texts": ([], [], one[:0]),
        "all .05": (texts, labels, LIGHT * one),
        "all .3": (texts, labels, HEAVY * one),
        ".05 p": (texts, labels, LIGHT * p),
        ".3 p": (texts, labels, HEAVY * p),
        "confirmed .3": (texts, labels, HEAVY * agreed),
        "relabelled .3": (texts, said, HEAVY * one),
    }


def looked(config: Config, task: Task, student: Student) -> list[Look]:
    """What the teacher says of its texts of a run; both are kept on disk."""
    assert config.out is not None
    path = config.out / LOOKS
    if not path.exists():
        Distiller(config).fit_task(task)  # goes on where it was stopped
        written = [text for text in RunFolder.open(config.out).kept() if text.is_written]
        teacher = make_teacher("local", threads=config.teacher.threads)
        second = SecondLook(
            teacher, task.taxonomy, task.train, rule="weigh", offered=5, seed=config.seed
        )
        lines = [
            json.dumps({"text": k.text.to_json(), "said": k.said, "confirmed": k.confirmed})
            for k in second.look(written, student)
        ]
        path.write_text("\n".join(lines), encoding="utf-8")
    found = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Look(Example.from_json(k["text"]), k["said"], k["confirmed"]) for k in found]


if __name__ == "__main__":
    main()
