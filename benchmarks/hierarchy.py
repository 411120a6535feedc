"""Does it help a classifier to know the tree over its labels, and does a teacher help it?

A set is a folder with `train.jsonl.gz` and `test.jsonl.gz`, rows of `text` and `path`, and
`hierarchy.json`, the tree. Of 1,000 labelled rows, drawn by the seed, two students learn: `flat` is
classification over the leaf names, `hierarchy` knows the paths. Both are the student of
`recipe: frozen`, with hyper-parameters and label names chosen by cross-validation. `inner` is
`hierarchy` with `inner_below: auto`.

Of 300 rows `alone` is `hierarchy` without a teacher. In `even` and `pgkd` a teacher writes three
rounds of texts: rows of the training file that were not drawn stand for them, so it makes no
mistake. `even` asks for as many of each leaf, `pgkd` for more where the student errs. `bank` is
`pgkd` with texts that an LLM wrote: a CSV file of `label,text`, named like the leaves.

    python benchmarks/hierarchy.py FOLDER/clinc_hier FOLDER/naics_hier --seeds 0 1 2
    python benchmarks/hierarchy.py FOLDER/clinc_hier --rows 300 --bank FILE.csv.gz

Every result is a line of `results/hierarchy.jsonl`; what is there is not run again. `--quick` takes
the linear student, 100 rows and 200 test rows.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np

from pgkd import Config, Distiller, FakeTeacher
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.tasks import make_task
from pgkd.tasks.hierarchy.tree import join, measure_paths, split
from pgkd.teachers.base import Request

RESULTS = Path(__file__).parent / "results" / "hierarchy.jsonl"
ARMS = {1000: ("flat", "hierarchy", "inner"), 300: ("alone", "even", "pgkd")}
TEXTS = 4  # a leaf, in all rounds
SHOWN = ("leaf_accuracy", "accuracy_level_1", "hierarchical_f1", "macro_f1", "leaves_answered")

Row = dict[str, Any]
Pool = dict[str, list[str]]


def read(folder: Path, part: str) -> list[Row]:
    """Rows of a set."""
    with gzip.open(folder / f"{part}.jsonl.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def real_texts(rows: list[Row]) -> Pool:
    """Rows that nothing is trained on, by label."""
    pool: Pool = defaultdict(list)
    for row in rows:
        pool[join(row["path"])].append(row["text"])
    return pool


def bank_texts(file: Path, leaves: list[str]) -> Pool:
    """Texts of a bank, by the label whose last name theirs is."""
    label_of = {split(leaf)[-1]: leaf for leaf in leaves}
    pool: Pool = defaultdict(list)
    with gzip.open(file, "rt", encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            pool[label_of[row["label"].replace("_", " ")]].append(row["text"])
    return pool


def answer_from(pool: Pool) -> Callable[[Request], str]:
    """A teacher that has a text of the pool for every one that it is asked for, each once."""
    used = Counter[str]()

    def answer(request: Request) -> str:
        reply: dict[str, Any] = {"doubtful": []}
        for key, value in (request.schema or {})["properties"].items():
            if "properties" not in value:
                continue
            fields = value["properties"]
            [label], n = fields["label"]["enum"], fields["texts"]["minItems"]
            reply[key] = {"label": label, "texts": pool[label][used[label] : used[label] + n]}
            used[label] += n
        return json.dumps(reply)

    return answer


def make_config(task: str, seed: int, quick: bool, out: Path, **more: Any) -> Config:
    """Settings of an arm."""
    student = {"kind": "linear"} if quick else {"recipe": "frozen", "threads": 1}
    guidance = {"glossary": "off", "allocation": more.pop("allocation", "guided")}
    student |= more.pop("student", {})
    settings = {"task": task, "seed": seed, "student": student, "guidance": guidance, "out": out}
    return Config.parse({**settings, "exam": 0, "texts_per_class": TEXTS, "rounds": 0, **more})


def train(arm: str, drawn: list[Row], tree: Any, pool: Pool, seed: int, quick: bool) -> Any:
    """The student of an arm."""
    texts = [row["text"] for row in drawn]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        if arm in ("even", "pgkd", "bank"):
            allocation = "even" if arm == "even" else "guided"
            config = make_config("hierarchy", seed, quick, out, rounds=3, allocation=allocation)
            distiller = Distiller(config, teacher=FakeTeacher(answer_from(pool)))
            return distiller.fit(texts, [row["path"] for row in drawn], classes=tree).student_
        kind = "classification" if arm == "flat" else "hierarchy"
        inner = {"inner_below": "auto"} if arm == "inner" else {}
        task, config = make_task(kind), make_config(kind, seed, quick, out, student=inner)
        labels = [row["path"][-1] if arm == "flat" else row["path"] for row in drawn]
        names = [split(leaf)[-1] for leaf in tree] if arm == "flat" else tree
        # Every row trains: nothing is judged before the test rows.
        validation = ([texts[0]], [labels[0]])
        dataset = task.from_arrays(config, texts[1:], labels[1:], classes=names,
                                   validation=validation)  # fmt: skip
        run, hooks, teacher = RunFolder.create(out), Hooks(), FakeTeacher()
        synthesizer = task.synthesizer(config, dataset, teacher, run, hooks)
        learner = task.learner(config, dataset, synthesizer, run, hooks)
        student = learner.train(())
        learner.evaluate(student, ())  # chooses the threshold
        return student


def judge(student: Any, test: list[Row], leaves: list[str]) -> dict[str, Any]:
    """Figures on test rows, and the share of the answers that agree along their path."""
    path_of = {split(leaf)[-1]: leaf for leaf in leaves}
    answers = student.answers([row["text"] for row in test])
    found = [path_of.get(a["label"], a["label"]) for a in answers]
    leaf = [a.get("leaf", f) for a, f in zip(answers, found, strict=True)]
    counts = Counter(zip((join(row["path"]) for row in test), leaf, found, strict=True))
    consistent = [
        join(a["path"]) == a["label"] and a["leaf"].startswith(a["label"])
        and a["leaf_probability"] <= a["probability"] + 1e-6
        for a in answers if "path" in a
    ]  # fmt: skip
    figures = {name: round(value, 5) for name, value in measure_paths(counts).items()}
    return {
        "leaf_accuracy": figures.pop("accuracy"), **figures,
        "consistent": mean(consistent) if consistent else None,
        "leaves_answered": round(mean(f == x for f, x in zip(found, leaf, strict=True)), 5),
    }  # fmt: skip


def leaves_of(folder: Path) -> list[str]:
    """The paths of the leaves of a set's tree."""

    def below(node: dict[str, Any], path: tuple[str, ...]) -> list[str]:
        found = [leaf for name, child in node.items() for leaf in below(child, (*path, name))]
        return found or [join(path)]

    return below(json.loads((folder / "hierarchy.json").read_text(encoding="utf-8")), ())


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[1000], choices=ARMS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bank", type=Path)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    done = [json.loads(line) for line in RESULTS.open()] if RESULTS.exists() else []
    for rows, seed, folder in [(r, s, f) for r in args.rows for s in args.seeds for f in args.sets]:
        leaves, every, test = leaves_of(folder), read(folder, "train"), read(folder, "test")
        order = np.random.default_rng(seed).permutation(len(every)).tolist()
        n, test = (100, test[:200]) if args.quick else (rows, test)
        drawn, left = [every[i] for i in order[:n]], [every[i] for i in order[n:]]
        for arm in (*ARMS[rows], *(("bank",) if args.bank and rows == 300 else ())):
            key = {"set": folder.name, "rows": n, "arm": arm, "seed": seed}
            if any(key.items() <= line.items() for line in done):
                continue
            pool = bank_texts(args.bank, leaves) if arm == "bank" else real_texts(left)
            student = train(arm, drawn, leaves, pool, seed, args.quick)
            line = {**key, **judge(student, test, leaves), "n": len(test)}
            done.append(line)
            if not args.quick:
                RESULTS.parent.mkdir(exist_ok=True)
                with RESULTS.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    groups: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for line in done:
        groups[line["set"], line["rows"], line["arm"]].append(line)
    for group, lines in groups.items():
        print(*group, f"{len(lines)} seeds", end="")
        for name in SHOWN:
            values = [line[name] for line in lines if name in line] or [0.0]
            print(f"  {name} {mean(values):.3f} ± {stdev(values) if values[1:] else 0:.3f}", end="")
        print()


if __name__ == "__main__":
    main()
