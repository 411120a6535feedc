"""A teacher's labels for pool texts: as single labels, or as distributions?

A student of some labelled rows gets 320 texts of a pool with the labels of a teacher of known
quality, a head on other rows of the file: on the student's own features, of few rows (*weak*) or
many (*strong*), or on static embeddings (*other*), which errs elsewhere. Its probabilities are
calibrated. The texts are drawn at random, or guided, as pgkd draws them. Labels are taken

- hard: with weight 1, the audit's weight, the confidence, or both multiplied, as pgkd does;
- soft: a copy of the text for each of the five likeliest classes, weighing by their probability;
- drawn: the same of five draws from the distribution, for teachers that tell no probabilities.

All is judged on other rows of the training file. With `--ledger`, the teacher is a real one: the
books of `benchmarks/labelling.py --split train`, which hold the scores of all classes.

    python benchmarks/soft_targets.py --data banking77 trec6 --rows 100
    python benchmarks/soft_targets.py --data agnews --ledger agnews-train-200-s0.sqlite
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from paired import table
from round0 import Start, cell_arguments, start, with_texts

from pgkd.distill.exam import Exam, Share
from pgkd.distill.provenance import environment
from pgkd.evaluation import evaluate
from pgkd.guidance import GuidedChoice
from pgkd.student import make_student
from pgkd.student.head import fit_head, tune_head
from pgkd.task.columns import columns_of
from pgkd.teacher.account import Ledger
from pgkd.teacher.labelling import label_prompt, read_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.student.frozen import FrozenStudent
    from pgkd.student.head import Head
    from pgkd.task import Example

    Floats = NDArray[np.float64]

HERE = Path(__file__).parent
HELD, KNOWN, LABELLED, AUDITED = 1500, 2000, 320, 32
TOP, DRAWS = 5, 5
WEAK, FEW, MANY = 0.6, (60, 150, 400), (700, 2000)
STRONG = 0.85
MEASURES = ("accuracy", "macro_f1", "log_loss", "ece")
PGKD = "hard, audit x confidence"
ARMS = (
    PGKD, "hard, 1", "hard, audit", "hard, confidence", "soft, 1", "soft, audit", "drawn, 1",
    "drawn, audit", "true labels", "no labels",
)  # fmt: skip


class Labels(NamedTuple):
    """What a teacher says of some texts.

    Attributes:
        rows: the texts, with their true labels.
        told: probabilities of the classes, shape (n, n_classes).
        weight: what an audit makes of the teacher.
    """

    rows: Sequence[Example]
    told: Floats
    weight: float


class Copies(NamedTuple):
    """Texts by their index, each under a class, with a weight; a text may come several times."""

    text: NDArray[np.int64]
    column: NDArray[np.int64]
    weight: Floats


class Teacher(NamedTuple):
    """A head that labels, the features that it sees, and the rows that it was trained on."""

    source: FrozenStudent
    head: Head
    rows: int

    def __call__(self, rows: Sequence[Example]) -> Floats:
        """Probabilities of the classes, shape (n, n_classes)."""
        return self.head.predict_proba(self.source.features([row.text for row in rows]))


def main() -> None:
    """Measure, print the changes against what pgkd does, and write the JSON."""
    parser = cell_arguments(__doc__)
    add = parser.add_argument
    add("--choices", nargs="+", default=["random", "guided"], help="how texts are drawn")
    add("--ledger", type=Path, help="books of a real teacher that labelled training rows")
    add("--out", type=Path, default=HERE / "results" / "soft_targets.json", help="JSON to write")
    args = parser.parse_args()
    lines = []
    for name in args.data:
        for rows in args.rows:
            for seed in args.seeds:
                file = args.data_root / name / "train.csv.gz"
                found = booked(file, rows, seed, args.ledger) if args.ledger else None
                for line in found or known_teachers(file, rows, seed, args.choices):
                    lines.append({"data": name, "rows": rows, "seed": seed, **line})
                report = {"environment": environment(), "cells": lines}
                args.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
                print(name, rows, seed, flush=True)
    for measure in MEASURES:
        print(f"\n{table(lines, ('rows', 'teacher', 'choice'), ARMS, PGKD, measure)}")


def known_teachers(
    file: Path, labelled: int, seed: int, choices: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """One line for every teacher of known quality, way to draw texts and arm."""
    begun = start(file, labelled, seed)
    # From the end, so that they are the same whatever the number of labelled rows is.
    held, known = begun.rest[-HELD:], tuple(begun.rest[-HELD - KNOWN : -HELD])
    pool = begun.rest[: -HELD - KNOWN]
    teachers = teachers_of(known, tuple(held), begun.task.taxonomy.names, seed)
    for choice in choices:
        drawn = draw(begun, pool, choice, seed)
        for name, teacher in teachers.items():
            right = int(is_right(begun.task.train[:AUDITED], teacher, begun).sum())
            asked = min(AUDITED, len(begun.task.train))
            weight = labelled_weight(right, asked, len(begun.task.taxonomy))
            labels = Labels(drawn, teacher(drawn), weight)
            told = {"teacher": name, "teacher_rows": teacher.rows, "choice": choice}
            told["right_of_pool"] = round(float(is_right(pool, teacher, begun).mean()), 4)
            yield from ({**told, **line} for line in measured(begun, labels, held, seed))


def draw(begun: Start, pool: Sequence[Example], choice: str, seed: int) -> list[Example]:
    """The texts of a pool that are labelled."""
    if choice == "random":
        return list(pool[:LABELLED])
    texts, seen = [row.text for row in pool], [row.text for row in begun.task.train]
    nothing: Any = None  # this choice does not look at an assessment
    chosen = GuidedChoice(seed)(begun.student, texts, seen, nothing, LABELLED)
    return [pool[i] for i in chosen]


@cache
def teachers_of(
    known: tuple[Example, ...], held: tuple[Example, ...], classes: tuple[str, ...], seed: int
) -> dict[str, Teacher]:
    """A weak teacher, a strong one, and one as strong as it gets that sees other features.

    How many rows each is trained on is chosen by its accuracy on the rows that judge: that says how
    good a teacher is to be, and nothing of the student.
    """
    gold = columns_of([row.label for row in held], classes)
    source = frozen("encoder", classes, seed)

    def miss(teacher: Teacher, wanted: float) -> float:
        return abs(float((teacher(held).argmax(axis=1) == gold).mean()) - wanted)

    weak = [teacher(source, known[:n], seed) for n in FEW]
    strong = [teacher(source, known[:n], seed) for n in MANY]
    return {
        "weak": min(weak, key=lambda found: miss(found, WEAK)),
        "strong": min(strong, key=lambda found: miss(found, STRONG)),
        "other": teacher(frozen("static", classes, seed), known, seed),
    }


def labelled_weight(right: int, asked: int, n_classes: int) -> float:
    """What a text with the teacher's label weighs, as a run weighs it."""
    return max(0.05, Exam(Share(right, asked), None, packs=True, n_classes=n_classes).worth)


def teacher(source: FrozenStudent, rows: Sequence[Example], seed: int) -> Teacher:
    """A calibrated head on what a student sees; C is the middle one of those that it would try."""
    texts, labels = [row.text for row in rows], [row.label for row in rows]
    features = source.features(texts)
    middle = source.strengths[len(source.strengths) // 2]
    settings, _ = tune_head(
        (middle,), lambda a, b: (source.features(a), source.features(b)), texts, labels,
        source.classes, seed=seed,
    )  # fmt: skip
    return Teacher(source, fit_head(features, labels, source.classes, settings), len(rows))


@cache
def frozen(kind: str, classes: tuple[str, ...], seed: int) -> FrozenStudent:
    """A student whose features are used."""
    settings: dict[str, Any] = {"recipe": "frozen", "threads": 1} if kind == "encoder" else {}
    return make_student(kind, classes, seed=seed, **settings)  # type: ignore[return-value]


def is_right(rows: Sequence[Example], teacher: Teacher, begun: Start) -> NDArray[np.bool_]:
    """Whether the likeliest class of a teacher is the true one, shape (n,)."""
    gold = columns_of([row.label for row in rows], begun.task.taxonomy.names)
    return np.asarray(teacher(rows).argmax(axis=1) == gold)


def booked(file: Path, labelled: int, seed: int, books: Path) -> Iterator[dict[str, Any]]:
    """The arms with the labels that a real teacher gave to rows of the file."""
    begun = start(file, labelled, seed)
    taxonomy, rest = begun.task.taxonomy, {label_prompt(row.text): row for row in begun.rest}
    with Ledger(books) as ledger:
        replies = {
            call.request["messages"][-1]["content"]: call.reply
            for call in ledger.calls()
            if call.reply is not None and call.reply.scores is not None
        }
    usable = [prompt for prompt in replies if prompt in rest]
    found = read_labels([replies[prompt] for prompt in usable], taxonomy, scored=True)
    told = np.array([one.probabilities for one in found])
    rows = [rest.pop(prompt) for prompt in usable]
    gold = columns_of([row.label for row in rows], taxonomy.names)
    right = told.argmax(axis=1) == gold
    weight = labelled_weight(int(right[:AUDITED].sum()), AUDITED, len(taxonomy))
    labels = Labels(rows[AUDITED:], told[AUDITED:], weight)
    about = {"teacher": "real", "choice": "random", "right_of_pool": round(float(right.mean()), 4)}
    held = list(rest.values())[:HELD]
    yield from ({**about, **line} for line in measured(begun, labels, held, seed))


def measured(
    begun: Start, labels: Labels, held: Sequence[Example], seed: int
) -> Iterator[dict[str, Any]]:
    """One line an arm: how the student does on the rows that judge."""
    names = begun.task.taxonomy.names
    gold = columns_of([row.label for row in labels.rows], names)
    right = float((labels.told.argmax(axis=1) == gold).mean())
    about = {"right": round(right, 4), "weight": round(labels.weight, 4)}
    truth = [row.label for row in held]
    for arm, copies in targets(labels, gold, seed).items():
        student = with_texts(
            begun.student, begun.rows, [labels.rows[i].text for i in copies.text],
            [names[i] for i in copies.column], copies.weight,
        )  # fmt: skip
        scores = evaluate(student.predict_proba([row.text for row in held]), truth, student.classes)
        figures = {name: round(float(getattr(scores, name)), 4) for name in MEASURES}
        yield {**about, "arm": arm, **figures}


def targets(labels: Labels, gold: NDArray[np.int64], seed: int) -> dict[str, Copies]:
    """What each arm trains on, beside the labelled rows."""
    told, audit = labels.told, labels.weight
    best, sure = told.argmax(axis=1), told.max(axis=1)
    one = np.ones(len(told))
    draws = np.random.default_rng(seed).multinomial(DRAWS, told / told.sum(axis=1, keepdims=True))
    soft, drawn = spread_out(told), spread_out(draws / DRAWS)
    return {
        PGKD: single(best, audit * sure),
        "hard, 1": single(best, one),
        "hard, audit": single(best, audit * one),
        "hard, confidence": single(best, sure),
        "soft, 1": soft,
        "soft, audit": soft._replace(weight=audit * soft.weight),
        "drawn, 1": drawn,
        "drawn, audit": drawn._replace(weight=audit * drawn.weight),
        "true labels": single(gold, one),
        "no labels": single(best[:0], one[:0]),
    }


def single(column: NDArray[np.int64], weight: Floats) -> Copies:
    """Each text once."""
    return Copies(np.arange(len(column)), column, weight)


def spread_out(told: Floats) -> Copies:
    """Each text under its likeliest classes; the copies of a text weigh 1 together."""
    order = np.argsort(-told, axis=1, kind="stable")[:, :TOP]
    shares = np.take_along_axis(told, order, axis=1)
    shares /= shares.sum(axis=1, keepdims=True)
    text, rank = np.nonzero(shares > 0)
    return Copies(text, order[text, rank], shares[text, rank])


if __name__ == "__main__":
    main()
