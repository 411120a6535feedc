"""The students of a run, held against each other on rows of the run and on test rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pgkd.apps.report.content import Basis, ClassLine, Confusions, Pair
from pgkd.errors import PgkdError
from pgkd.tasks.classification.evaluation.judging import AFTER, judge_students

if TYPE_CHECKING:
    from pgkd.apps.report.records import Records
    from pgkd.runs.folder import RunFolder

BEFORE = "before"
_PAIRS = 12  # listed of those that shrank, and of those that grew


def bases_of(run: RunFolder, records: Records) -> tuple[Basis, ...]:
    """The rows that students were judged on; those that no round has seen come first."""
    found = (_test(records), _of_the_run(run, records))
    return tuple(basis for basis in found if basis is not None)


def _test(records: Records) -> Basis | None:
    """What `pgkd evaluate` has kept."""
    kept = records.evaluation
    if kept is None or AFTER not in kept.get("students", {}):
        return None
    return Basis(
        rows="test",
        # Of a Windows path on Linux, too, only the name: where the file lay concerns nobody.
        source=PurePath(str(kept["data"]).replace("\\", "/")).name,
        judged=str(kept.get("time", "")),
        n=int(kept["rows"]),
        students=kept["students"],
        changes=_changes(kept),
        teacher=kept.get("teacher"),
        trainings=1 + int(kept.get("repeats", 0)),
        left_out=sum(kept["left_out"].values()) if "left_out" in kept else None,
    )


def _of_the_run(run: RunFolder, records: Records) -> Basis | None:
    """The figures of the journal; on validation rows with the intervals that students can tell."""
    noted = _noted(records)
    if noted is None or noted.rows == "cross-validation":
        return noted
    rows = records.task["validation"]
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    roles = {role: name for role, name in run.compared().items() if run.has_student(name)}
    try:
        students = {role: run.student(name) for role, name in roles.items()}
        classes = students[AFTER].classes
        probabilities = {role: each.predict_proba(texts) for role, each in students.items()}
        judged = judge_students(probabilities, labels, classes)
    except (PgkdError, KeyError) as error:
        return replace(noted, missing=f"The students of this run cannot be read here: {error}")
    return replace(noted, students=judged["students"], changes=_changes(judged))


def _noted(records: Records) -> Basis | None:
    """What the journal says of round 0 and of the round that was kept."""
    figures = {line["round"]: line["validation"] for line in records.rounds}
    if records.best is None or not figures[records.best]["n"]:
        return None
    after = figures[records.best]
    held_out = bool(records.task["validation"])
    return Basis(
        rows="validation" if held_out else "cross-validation",
        source="",
        judged="",
        n=after["n"],
        students={BEFORE: figures.get(0, after), AFTER: after},
        changes={},
        missing="" if held_out else "Cross-validation keeps its figures, not its predictions.",
    )


def _changes(judged: dict[str, Any]) -> dict[str, dict[str, Any]]:
    start = "after_minus_"
    return {key.removeprefix(start): judged[key] for key in judged if key.startswith(start)}


def before_of(basis: Basis) -> dict[str, Any]:
    """Figures of the student of round 0; of the one that was kept where nobody judged that."""
    return basis.students.get(BEFORE, basis.students[AFTER])


def class_lines(basis: Basis, records: Records) -> tuple[ClassLine, ...]:
    """Every class, the one that gained most first."""
    after = {line["name"]: line for line in basis.students[AFTER]["per_class"]}
    before = {line["name"]: line for line in before_of(basis)["per_class"]}
    asked: Counter[str] = Counter()
    for ask in records.asks():
        if isinstance(ask.get("labels"), list) and len(ask["labels"]) == 1:
            asked[ask["labels"][0]] += ask["count"]
    kept, rows = (
        Counter(row["label"] for row in part) for part in (records.kept, records.task["train"])
    )
    lines = [
        ClassLine(
            name=name,
            support=line["support"],
            before=before.get(name, line)["f1"],
            after=line["f1"],
            asked=asked[name],
            kept=kept[name],
            rows=rows[name],
        )
        for name, line in after.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-line.change, line.name)))


def confusions_of(basis: Basis) -> Confusions:
    """Pairs of classes whose confusion shrank or grew."""
    before, after = _pairs(before_of(basis)), _pairs(basis.students[AFTER])
    pairs = [
        Pair(gold, predicted, before.get((gold, predicted), 0), after.get((gold, predicted), 0))
        for gold, predicted in before.keys() | after.keys()
    ]
    pairs.sort(key=lambda p: (-abs(p.after - p.before), -p.before, p.gold, p.predicted))
    shrank = [pair for pair in pairs if pair.after < pair.before]
    grew = [pair for pair in pairs if pair.after > pair.before]
    return Confusions(
        tuple(shrank[:_PAIRS]),
        tuple(grew[:_PAIRS]),
        len(shrank[_PAIRS:]),
        len(grew[_PAIRS:]),
    )


def _pairs(figures: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(cell["gold"], cell["predicted"]): cell["rows"] for cell in figures["confused"]}
