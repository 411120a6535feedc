"""`pgkd evaluate` and `pgkd cascade`: figures on labelled rows that a run has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from typer import Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, format_interval, print_json, print_rows, progress_bar
from pgkd.errors import DataError
from pgkd.evaluation import titled

_STUDENTS = {
    "before": "before the teacher (round 0)",
    "after": "student after (best round)",
    "last": "student of the last round",
    "reviewed": "student of pgkd retrain",
}


def evaluate(
    run: options.RunOrStudent,
    data: options.TestData,
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    teacher_rows: int = Option(
        0, min=0, help="Let the teacher alone classify so many rows, drawn at random."
    ),
    repeats: int = Option(
        2, min=0, help="Retrain fine-tuned students so often, to tell a gain from chance."
    ),
    seed: int = Option(0, help="Seed of the intervals and of the teacher's rows."),
    per_class: bool = Option(False, help="Print the figures of every class."),
    as_json: options.Json = False,
) -> None:
    """Compare the student before, after and at the last round, with 95% intervals.

    The run's own training and validation rows are left out.
    """
    from pgkd.apps.bulk.predicting import find_task
    from pgkd.evaluation import time_student
    from pgkd.runs.files import fitting_together
    from pgkd.tasks.classification.evaluation.judging import judge_students

    task = find_task(run)
    if task.name != "classification":
        report = _evaluate_any(task, run, data, seed)
        _save(run, report)
        if as_json:
            print_json(report)
        else:
            _print_report(report, per_class=False)
        return
    students: dict[str, Any] = _load_students(task, run)
    classes = next(iter(students.values())).classes
    rows = _read_unseen(run, data, text_column, label_column, classes)
    texts, labels = rows.texts, rows.labels
    report = {"run": str(run), "data": str(data), "rows": len(texts)}
    if rows.left_out is not None:
        report["left_out"] = rows.left_out
    with console(stderr=True).status("evaluating"), fitting_together(pgkd.RunFolder(run)):
        report["timing"] = time_student(students["after"], texts).to_json()
        probabilities = {name: s.predict_proba(texts) for name, s in students.items()}
    again = _predict_repeated(run, repeats, texts) if "before" in students else {}
    report["repeats"] = min(map(len, again.values()), default=0)
    report |= judge_students(probabilities, labels, classes, repeats=again, seed=seed)
    if teacher_rows:
        report["teacher"] = _score_teacher(run, texts, labels, teacher_rows, seed)
    _save(run, report)
    if as_json:
        print_json(report)
    else:
        _print_report(report, per_class=per_class)


def _evaluate_any(task: pgkd.Task, path: Path, data: Path, seed: int) -> dict[str, Any]:
    """Figures of students of any kind of task."""
    from pgkd.evaluation import judge_models, time_student
    from pgkd.runs.own_rows import run_around

    students, folder = _load_students(task, path), run_around(path)
    config = (
        pgkd.RunFolder.open(folder).config() if folder else pgkd.Config.parse({"task": task.name})
    )
    examples = task.read(data, config)
    places, left_out = _places_unseen(path, data, [example.text for example in examples])
    examples = [examples[i] for i in places]
    inputs = [task.input(example) for example in examples]
    report: dict[str, Any] = {"run": str(path), "data": str(data), "rows": len(examples)}
    if left_out is not None:
        report["left_out"] = left_out
    with console(stderr=True).status("evaluating"):
        report["timing"] = time_student(students["after"], inputs).to_json()
        answers = {name: student.answers(inputs) for name, student in students.items()}
        report |= {"repeats": 0, **judge_models(task.figures, answers, examples, seed=seed)}
    return report


class _Unseen(NamedTuple):
    """The rows of a file that are none of a run's own."""

    texts: list[str]
    labels: list[str]
    places: list[int]  # in the file
    all_texts: list[str]  # of the file
    left_out: dict[str, int] | None  # how many rows are what in the run; None without a run


def _read_unseen(
    path: Path, data: Path, text_column: str, label_column: str, classes: Sequence[str]
) -> _Unseen:
    """The rows of a file, without those of the run that a path is or is inside of.

    Raises:
        DataError: all are the run's own.
    """
    from pgkd.tasks.classification.data.dataset import read_rows

    texts, labels = read_rows(data, text_column, label_column, classes=classes)
    places, left_out = _places_unseen(path, data, texts)
    return _Unseen([texts[i] for i in places], [labels[i] for i in places], places, texts, left_out)


def _places_unseen(
    path: Path, data: Path, texts: Sequence[str]
) -> tuple[list[int], dict[str, int] | None]:
    """Which texts of a file are none of a run's own, and how many are what in the run."""
    from pgkd.runs.own_rows import counted, own_rows, run_around

    folder = run_around(path)
    if folder is None:
        return list(range(len(texts))), None
    found = own_rows(pgkd.RunFolder.open(folder), texts)
    if left_out := counted(found):
        kinds = " and ".join(f"{count} {kind}" for kind, count in left_out.items())
        what = (
            f"{sum(left_out.values())} of {len(texts)} rows of {data} are the run's own ({kinds})"
        )
        if all(found):
            raise DataError(f"{what}, and none is left: give rows that the run has not seen.")
        console(stderr=True).print(f"warning: {what} and are left out")
    return [i for i, kind in enumerate(found) if kind is None], left_out


def _print_table(
    title: str, header: Sequence[str], rows: Sequence[Sequence[str]],
    left_out: dict[str, int] | None,
) -> None:  # fmt: skip
    print_rows(f"{title}, 95% intervals", header, rows)
    if n := sum((left_out or {}).values()):
        console().print(f"{n} rows of the file are the run's own and are left out.")


def _load_students(task: pgkd.Task, path: Path) -> dict[str, Any]:
    """The students of a run by their roles; a saved student is the one after."""
    if not (path / "config.yaml").is_file() and (path / "student.json").is_file():
        return {"after": task.load_student(path)}
    run = pgkd.RunFolder.open(path)
    return {role: run.student(name) for role, name in run.compared().items()}


def _predict_repeated(path: Path, times: int, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Probabilities of a run's students retrained; none where no seed plays a part."""
    from pgkd.tasks.classification.assembly import repeated

    run = pgkd.RunFolder.open(path)
    found: dict[str, list[Any]] = {}
    with progress_bar("retraining, to tell a gain from chance", 2 * times) as advance:
        for role, name in (("before", "first"), ("after", "best")):
            for student in repeated(run, name, times):
                found.setdefault(role, []).append(student.predict_proba(texts))
                advance(student)
    return found


def _save(path: Path, report: dict[str, Any]) -> None:
    """Save the last result in the run folder, for `pgkd report`; a saved student has none."""
    from pgkd.usage.ledger import now

    if not (path / "config.yaml").is_file():
        return
    saved = {name: value for name, value in report.items() if name != "run"}
    try:
        pgkd.RunFolder.open(path).write_json("evaluation.json", {**saved, "time": now()})
    except OSError as error:
        console(stderr=True).print(f"warning: the result is not saved in {path}: {error}")


def _score_teacher(
    path: Path, texts: Sequence[str], labels: Sequence[str], n: int, seed: int
) -> dict[str, Any]:
    """What the teacher alone gets right of some rows; its replies are in the run's ledger."""
    from pgkd.tasks.classification.evaluation.teacher import draw_rows, score_teacher
    from pgkd.teachers import teacher_from
    from pgkd.usage import metered_teacher

    run = pgkd.RunFolder.open(path)
    config = run.config()
    drawn = draw_rows(len(texts), n, seed)
    with (
        run.ledger() as ledger,
        teacher_from(config) as teacher,
        progress_bar("the teacher classifies", len(drawn)) as advance,
    ):
        score = score_teacher(
            metered_teacher(config, teacher, ledger),
            [texts[i] for i in drawn],
            [labels[i] for i in drawn],
            run.dataset().taxonomy,
            seed=seed,
            on_reply=advance,
        )
    return score.to_json()


def _print_report(report: dict[str, Any], *, per_class: bool) -> None:
    after = report["students"]["after"]
    measures = {name: titled(name) for name, v in after.items() if isinstance(v, float)}
    figures = {_STUDENTS[role]: student for role, student in report["students"].items()}
    if teacher := report.get("teacher"):
        figures[f"teacher alone ({teacher['n']} rows)"] = teacher
    _print_table(
        f"{report['rows']} rows of {report['data']}",
        ("", *measures.values()),
        [
            (name, *(_format_metric(f, metric) for metric in measures))
            for name, f in figures.items()
        ],
        report.get("left_out"),
    )
    trainings = 1 + report["repeats"]
    over = f" over the rows and {trainings} trainings" if trainings > 1 else ""
    for name, change in report.get("after_minus_before", {}).items():
        difference = format_interval(change["difference"], change["interval"], "+")
        console().print(
            f"{measures[name]}, after minus before: {difference} (paired bootstrap{over})"
        )
    if per_class:
        _print_classes(report["students"])


def _format_metric(figures: dict[str, Any], metric: str) -> str:
    if metric not in figures:
        return "–"
    interval = figures["intervals"].get(metric)
    value = figures[metric]
    return format_interval(value, interval) if interval else f"{value:.3f}"


def _print_classes(students: dict[str, dict[str, Any]]) -> None:
    after = students["after"]["cells"]
    before = students.get("before", students["after"])["cells"]
    rows = []
    for old, new in zip(before, after, strict=True):
        figures = (old["f1"], new["f1"], new["precision"], new["recall"])
        rows.append((new["name"], *(f"{figure:.2f}" for figure in figures), str(new["n"])))
    rows.sort(key=lambda row: float(row[1]) - float(row[2]))
    header = ("class", "F1 before", "F1 after", "precision", "recall", "rows")
    print_rows("Per class, largest gain first", header, rows)


def cascade(
    path: options.ExportPath,
    data: options.TestData,
    answers: Path | None = Option(
        None, help="File of pgkd label on these rows; default: ask the teacher."
    ),
    usd_per_call: float | None = Option(
        None, min=0, help="US dollars per text; default: from the ledger."
    ),
    text_column: options.TextColumn = "text",
    label_column: options.LabelColumn = "label",
    config: options.CascadeConfig = None,
    ledger: options.CascadeLedger = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    budget_calls: options.BudgetCalls = None,
    seed: int = Option(0, help="Seed of the intervals."),
    as_json: options.Json = False,
) -> None:
    """Accuracy and cost of a cascade by its threshold, on labelled rows.

    The teacher is asked as `pgkd serve --cascade-below` asks it, with the same ledger: after an
    interruption, the same command resumes and pays for no answer twice. The run's own training and
    validation rows are left out.
    """
    from pgkd.apps.cli.label import ledger_path
    from pgkd.export.predictor import find_export, load
    from pgkd.tasks.classification.evaluation.teacher import cascade_curve

    student = load(find_export(path), threads=None)
    rows = _read_unseen(path, data, text_column, label_column, student.classes)
    if answers is not None:
        given = _read_answers(answers, rows.all_texts)
        labels, usd = [given[i] for i in rows.places], _mean_usd(ledger_path(answers))
    else:
        settings = options.load_run_config(
            path, config,
            budget_usd=budget_usd, budget_tokens=budget_tokens, budget_calls=budget_calls,
        )  # fmt: skip
        labels, usd = _ask_teacher(path, rows.texts, settings, ledger)
    curve = cascade_curve(
        student.predict_proba(rows.texts), rows.labels, student.classes, labels,
        usd_per_call=usd if usd_per_call is None else usd_per_call, seed=seed,
    )  # fmt: skip
    n = len(rows.labels)
    accuracy = sum(a == label for a, label in zip(labels, rows.labels, strict=True)) / n
    unanswered = labels.count(None)
    if as_json:
        print_json(
            {
                "export": str(path),
                "data": str(data),
                "rows": n,
                **({} if rows.left_out is None else {"left_out": rows.left_out}),
                "teacher": {"accuracy": accuracy, "unanswered": unanswered},
                "curve": [point.to_json() for point in curve],
            }
        )
        return
    _print_table(
        f"Cascade on {n} rows of {data}",
        ("below", "to the teacher", "accuracy", "gain", "student's own", "US $ per 1,000"),
        [
            (
                f"{point.below:.4g}",
                f"{point.sent:.1%}",
                format_interval(point.accuracy, point.interval),
                format_interval(point.gain, point.gain_interval, "+"),
                "–" if point.kept_accuracy is None else f"{point.kept_accuracy:.3f}",
                "unknown" if point.usd_per_1000 is None else f"{point.usd_per_1000:.4f}",
            )
            for point in curve
        ],
        rows.left_out,
    )
    shell = console()
    shell.print(f"The teacher alone: {accuracy:.3f}; {unanswered} rows unanswered.")
    shell.print(
        '"Student\'s own" is its accuracy on the rows that it answers itself, as with '
        "--abstain-below."
    )


def _ask_teacher(
    path: Path, texts: Sequence[str], config: pgkd.Config, ledger: Path | None
) -> tuple[list[str | None], float | None]:
    """The teacher's classes, and the mean price of a call."""
    from pgkd.apps.server.cascade import make_cascade, metered
    from pgkd.tasks.classification.prompts.labelling import label_texts

    made = make_cascade(path, 1.0, config, ledger=ledger, seconds=config.teacher.longest)
    with metered(made) as teacher, progress_bar("the teacher classifies", len(texts)) as advance:
        # No calibration, as in the server: it cannot know the mean over texts still to come.
        found = label_texts(
            teacher, texts, made.taxonomy, calibrate=False, seed=config.seed,
            on_reply=advance, needs_some=True,
        )  # fmt: skip
    return [answer.label for answer in found], _mean_usd(made.ledger)


def _read_answers(path: Path, texts: Sequence[str]) -> list[str | None]:
    """The labels in a file of `pgkd label`, row by row.

    Raises:
        DataError: it is of other rows.
    """
    from pgkd.data.cells import Problems
    from pgkd.data.reading import open_table, raise_unusable

    problems, columns = Problems(), ("text", "label")
    with open_table(path, columns, problems) as table:
        rows = list(table.cells(*columns)) if table.has(columns, path, problems) else []
    raise_unusable(path, problems)
    for (number, text, _), expected in zip(rows, texts, strict=False):
        if str(text).strip() != expected:
            raise DataError(f"{path}, row {number}, has another text than that row of --data.")
    if len(rows) != len(texts):
        raise DataError(f"{path} has {len(rows)} rows, but --data has {len(texts)}.")
    return [str(label) if label else None for _, _, label in rows]


def _mean_usd(path: Path) -> float | None:
    """Mean US dollars of the answered calls with a known price; None if there are none."""
    from pgkd.usage.ledger import Ledger, answered, summed

    if not path.is_file():
        return None
    with Ledger.to_read(path) as ledger:
        total = summed(ledger.calls())
    priced = answered(total) - total["unpriced"]
    return float(Decimal(total["usd"]) / priced) if priced else None
