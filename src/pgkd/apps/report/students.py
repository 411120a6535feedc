"""The students of a run compared, and the verdict in plain words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from pgkd.apps.report.content import (
    AFTER,
    BEFORE,
    CellChange,
    Conclusion,
    ConfusionChange,
    Confusions,
    EvaluationSet,
    Money,
    Texts,
    Tone,
)
from pgkd.errors import PgkdError
from pgkd.evaluation import ERRORS, judge_models, titled
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.evaluation.judging import judge_students

if TYPE_CHECKING:
    from pgkd.apps.report.gather import Records  # which imports this module

_PAIRS = 12  # listed of those that shrank, and of those that grew
_OPENINGS: dict[Tone, str] = {
    "better": "The student got better with the teacher's texts",
    "worse": "The student got worse",
    "unclear": "The result is inconclusive",
}
_EARLY = {
    "interrupted": "by Ctrl-C",
    "teacher failed": "because the teacher failed",
    "budget": "because the budget is used up",
}


def evaluation_sets(run: RunFolder, records: Records) -> tuple[EvaluationSet, ...]:
    """The rows that students were evaluated on; test rows come first."""
    found = (_test_rows(records), _rows_of_run(run, records))
    return tuple(rows for rows in found if rows is not None)


def _test_rows(records: Records) -> EvaluationSet | None:
    """The last result of `pgkd evaluate`."""
    saved = records.evaluation
    if saved is None or AFTER not in saved.get("students", {}):
        return None
    return EvaluationSet(
        rows="test",
        # The name alone, also of a path of Windows: a report does not show where files lie.
        source=PurePath(str(saved["data"]).replace("\\", "/")).name,
        judged=str(saved.get("time", "")),
        n=int(saved["rows"]),
        students=saved["students"],
        changes=_changes(saved),
        teacher=saved.get("teacher"),
        trainings=1 + int(saved.get("repeats", 0)),
        left_out=sum(saved["left_out"].values()) if "left_out" in saved else None,
    )


def _rows_of_run(run: RunFolder, records: Records) -> EvaluationSet | None:
    """Metrics of the journal; on validation rows with the intervals that students add."""
    metrics = {line["round"]: line["validation"] for line in records.rounds}
    if records.best is None or not metrics[records.best]["n"]:
        return None
    after, rows = metrics[records.best], records.task["validation"]
    found = EvaluationSet(
        rows="validation" if rows else "cross-validation",
        source="",
        judged="",
        n=after["n"],
        students={BEFORE: metrics.get(0, after), AFTER: after},
        changes={},
        missing="" if rows else "Cross-validation saves its metrics, not its predictions.",
    )
    if not rows:
        return found
    if run.task.name != "classification":
        return _judged(run, found)
    texts, labels = [row["text"] for row in rows], [row["label"] for row in rows]
    try:
        students = {
            role: run.student(name)
            for role, name in run.compared().items()
            if run.has_student(name)
        }
        probabilities = {role: each.predict_proba(texts) for role, each in students.items()}
        judged = judge_students(probabilities, labels, students[AFTER].classes)
    except (PgkdError, KeyError) as error:
        return replace(found, missing=f"The students of this run cannot be loaded: {error}")
    return replace(found, students=judged["students"], changes=_changes(judged))


def _judged(run: RunFolder, found: EvaluationSet) -> EvaluationSet:
    """The same with intervals, by the answers of the run's students to its validation rows."""
    task, rows = run.task, run.dataset().validation
    inputs = [task.input(row) for row in rows]
    try:
        answers = {
            role: run.student(name).answers(inputs)
            for role, name in run.compared().items()
            if run.has_student(name)
        }
    except PgkdError as error:
        return replace(found, missing=f"The students of this run cannot be loaded: {error}")
    judged = judge_models(task.figures, answers, rows)
    students = {
        role: {**found.students.get(role, {}), **figures}
        for role, figures in judged["students"].items()
    }
    return replace(found, students=students, changes=_changes(judged))


def _changes(judged: dict[str, Any]) -> dict[str, dict[str, Any]]:
    start = "after_minus_"
    return {key.removeprefix(start): judged[key] for key in judged if key.startswith(start)}


def compare_cells(bases: Sequence[EvaluationSet], records: Records) -> tuple[CellChange, ...]:
    """Every label, slot or the like of the first rows that have them, the largest gain first."""
    rows = next((rows for rows in bases if rows.after.get("cells")), None)
    if rows is None:
        return ()
    before = {line["name"]: line for line in rows.before.get("cells", ())}
    first = rows.after["cells"][0]
    figure = "f1" if "f1" in first else next(n for n, v in first.items() if isinstance(v, float))
    asked: Counter[str] = Counter()
    for request in records.requests():
        labels = request.get("labels")
        one = labels[0] if isinstance(labels, list) and len(labels) == 1 else request.get("cell")
        if one:
            asked[one] += request["count"]
    accepted = Counter(str(row.get("label")) for row in records.accepted)
    train = Counter(str(row.get("label")) for row in records.task["train"])
    lines = [
        CellChange(
            name=(name := line["name"]),
            figure=figure,
            n=line["n"],
            before=before.get(name, line).get(figure, 0.0),
            after=line.get(figure, 0.0),
            asked=asked[name],
            accepted=accepted[name],
            rows=train[name],
        )
        for line in rows.after["cells"]
    ]
    return tuple(sorted(lines, key=lambda line: (-line.change, line.name)))


def compare_confusions(rows: EvaluationSet) -> Confusions:
    """Pairs of classes whose confusion shrank or grew."""
    before, after = (
        {(cell["gold"], cell["predicted"]): cell["rows"] for cell in metrics.get("confused", ())}
        for metrics in (rows.before, rows.after)
    )
    pairs = [
        ConfusionChange(*key, before.get(key, 0), after.get(key, 0))
        for key in before.keys() | after
    ]
    pairs.sort(key=lambda p: (-abs(p.after - p.before), -p.before, p.gold, p.predicted))
    shrank = [pair for pair in pairs if pair.after < pair.before]
    grew = [pair for pair in pairs if pair.after > pair.before]
    return Confusions(
        tuple(shrank[:_PAIRS]), tuple(grew[:_PAIRS]), len(shrank[_PAIRS:]), len(grew[_PAIRS:])
    )


def make_verdict(
    records: Records, bases: tuple[EvaluationSet, ...], money: Money, texts: Texts
) -> Conclusion:
    """One plain sentence, and what a careful reader should know."""
    if records.best is None:
        sentence = "This run has no student yet, so there is nothing to evaluate."
        return Conclusion("none", sentence, tuple(_ending(records)))
    if not bases:
        return Conclusion("none", _compare_rounds(records), tuple(_ending(records)))
    tone, sentence = _judge(records, bases[0])
    remarks = (*_changes_in_words(bases[0]), *_costs(money, texts), *_caution(bases[0]))
    return Conclusion(tone, sentence, (*remarks, *_ending(records)))


def _compare_rounds(records: Records) -> str:
    """The best round against round 0, by the figures of its task."""
    first, best = records.rounds[0]["validation"], records.rounds[records.best or 0]["validation"]
    names = [n for n, value in best.items() if isinstance(value, int | float) and n != "n"]
    if not names:
        return "There are no rows to evaluate this run on."
    figures = ", ".join(f"{name} {best[name]:.3f} (round 0: {first[name]:.3f})" for name in names)
    return f"The student of round {records.best} is the best: {figures}."


def _judge(records: Records, rows: EvaluationSet) -> tuple[Tone, str]:
    kind = {
        "test": "test rows",
        "validation": "validation rows",
        "cross-validation": "cross-validated labelled rows",
    }[rows.rows]
    name, title = next(iter(rows.measures.items()))
    before, after = (f"{each[name]:.3f}" for each in (rows.before, rows.after))
    now = f"{title} of the best student is {after} on {rows.n:,} {kind}"
    if name == "accuracy":
        before, after = (f"{each[name]:.0%}" for each in (rows.before, rows.after))
        now = f"the best student gets {after} of {rows.n:,} {kind} right"
    if len(records.rounds) == 1:
        why = "no round has ended yet" if records.config.get("rounds") else "no rounds were planned"
        return "none", f"This is the student without synthetic texts ({why}): {now}."
    then = f"{now}, compared with {before} in round 0"
    if records.best == 0:
        why = "The teacher's texts did not reduce the loss, so the student without them is the best"
        return "unclear", f"{why}: {now}."
    changes = rows.changes.get(BEFORE)
    if not changes:  # nothing shows how much of the change is chance
        return "unclear", f"The student of round {records.best} is the best: {then}."
    tone = _tone(
        [
            [-end for end in reversed(change["interval"])] if name in ERRORS else change["interval"]
            for name, change in list(changes.items())[:2]
        ]
    )
    return tone, f"{_OPENINGS[tone]}: {then}."


def _tone(intervals: list[list[float]]) -> Tone:
    """Which way the first two figures went, where an interval excludes zero."""
    gained = any(low > 0 for low, _ in intervals)
    lost = any(high < 0 for _, high in intervals)
    return "unclear" if gained == lost else "better" if gained else "worse"


def _changes_in_words(rows: EvaluationSet) -> Iterator[str]:
    changes = rows.changes.get(BEFORE)
    if not changes:
        return

    def change(name: str) -> str:
        low, high = changes[name]["interval"]
        return f"{changes[name]['difference']:+.3f} [{low:+.3f}, {high:+.3f}]"

    over = f" over the rows and {rows.trainings} trainings" if rows.trainings > 1 else ""
    told = "; ".join(f"{titled(name)} {change(name)}" for name in list(changes)[:2])
    told = told[:1].upper() + told[1:]
    yield f"{told}: after minus before, with 95% intervals{over}."


def _costs(money: Money, texts: Texts) -> Iterator[str]:
    if not texts.accepted:
        return
    if not money.recorded:
        costs = "the run has no ledger of its calls"
    elif money.free:
        costs = "calls were free (local model)"
    elif money.usd is None:
        costs = "the price of the calls is unknown"
    else:
        least = "at least " if money.total["unpriced"] else ""
        costs = f"all calls cost {least}${float(money.usd):.4f}"
    yield f"{texts.accepted:,} texts of the teacher were accepted; {costs}."


def _caution(rows: EvaluationSet) -> Iterator[str]:
    if rows.rows != "test":
        which = "validation" if rows.rows == "validation" else "cross-validated"
        yield (
            f"The {which} rows were used to choose the best round, so their metrics are slightly "
            "optimistic. Use pgkd evaluate RUN --data FILE with rows that the run has not used."
        )
    elif rows.left_out is None:
        yield (
            "The evaluation did not check whether test rows were used in training. "
            "Run pgkd evaluate RUN --data FILE again: it excludes such rows."
        )
    elif rows.left_out:
        yield f"{rows.left_out:,} other rows of {rows.source} belong to the run and were excluded."


def _ending(records: Records) -> Iterator[str]:
    ended = records.event("run ended")
    if not ended:
        yield "The run has not ended: it is running, or was cut off and can be resumed."
    elif (why := ended["stopped_by"]) in _EARLY:
        detail = str(ended.get("detail") or "")
        reason = "by a person" if detail and why == "interrupted" else _EARLY[why]
        yield f"The run ended early, {reason}" + (f": {detail}" if detail else ".")
