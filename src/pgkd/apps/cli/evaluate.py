"""`pgkd evaluate`: judge a run on other rows than its own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.students.base import Student

Option = typer.Option

_MEASURES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "weighted_f1": "weighted F1",
    "log_loss": "log loss",
    "ece": "calibration error",
}


def evaluate(
    run: Annotated[Path, typer.Argument(help="Run folder, or the folder of a saved student.")],
    data: Annotated[Path, Option(help="Labelled rows that the run has not seen.")],
    text_column: Annotated[str, Option(help="Column of the text.")] = "text",
    label_column: Annotated[str, Option(help="Column of the class.")] = "label",
    teacher_rows: Annotated[
        int, Option(min=0, help="Let the teacher alone classify so many rows, drawn at random.")
    ] = 0,
    repeats: Annotated[
        int,
        Option(min=0, help="Train fine-tuned students again so often, to tell a gain from chance."),
    ] = 2,
    seed: Annotated[int, Option(help="Seed of the intervals and of the teacher's rows.")] = 0,
    per_class: Annotated[bool, Option(help="Print the figures of every class.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare the student before, after and at the last round, with 95% intervals.

    Rows that are the run's own, to train or to validate, are left out.
    """
    from pgkd.apps.cli.console import console, print_json
    from pgkd.apps.cli.judged_rows import left_to_judge
    from pgkd.runs.files import fitting_together
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.dataset import read_rows
    from pgkd.tasks.classification.evaluation.judging import judge_students
    from pgkd.tasks.classification.evaluation.timing import time_student

    students = _students(run)
    classes = next(iter(students.values())).classes
    texts, labels = read_rows(data, text_column, label_column, classes=classes)
    left, own = left_to_judge(run, data, texts)
    texts, labels = [texts[i] for i in left], [labels[i] for i in left]
    report: dict[str, Any] = {"run": str(run), "data": str(data), "rows": len(texts)}
    if own is not None:
        report["left_out"] = own
    with console(stderr=True).status("evaluating"), fitting_together(RunFolder(run)):
        report["timing"] = time_student(students["after"], texts).to_json()
        probabilities = {name: s.predict_proba(texts) for name, s in students.items()}
    again = _repeated(run, repeats, texts) if "before" in students else {}
    report["repeats"] = min(map(len, again.values()), default=0)
    report |= judge_students(probabilities, labels, classes, repeats=again, seed=seed)
    if teacher_rows:
        report["teacher"] = _teacher(run, texts, labels, teacher_rows, seed)
    _keep(run, report)
    if as_json:
        print_json(report)
    else:
        _print(report, per_class=per_class)


def _students(path: Path) -> dict[str, Student]:
    """The students of a run by their roles; a saved student is the one after."""
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.students.registry import load_student

    if (path / "student.json").is_file():
        return {"after": load_student(path)}
    run = RunFolder.open(path)
    return {role: run.student(name) for role, name in run.compared().items()}


def _repeated(path: Path, times: int, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Probabilities of the students of a run trained again; none where no seed plays a part."""
    from rich.progress import Progress

    from pgkd.apps.cli.console import console
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.assembly import repeated

    run, shell = RunFolder.open(path), console(stderr=True)
    found: dict[str, list[Any]] = {}
    with Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress:
        bar = progress.add_task("training again, to tell a gain from chance", total=2 * times)
        for role, name in (("before", "first"), ("after", "best")):
            for student in repeated(run, name, times):
                found.setdefault(role, []).append(student.predict_proba(texts))
                progress.advance(bar)
    return found


def _keep(path: Path, report: dict[str, Any]) -> None:
    """Keep the last result in the run folder, for `pgkd report`; a saved student has none."""
    from pgkd.apps.cli.console import console
    from pgkd.runs.folder import RunFolder
    from pgkd.usage.ledger import now

    if not (path / "config.yaml").is_file():
        return
    kept = {name: value for name, value in report.items() if name != "run"}
    try:
        RunFolder.open(path).write_json("evaluation.json", {**kept, "time": now()})
    except OSError as error:
        console(stderr=True).print(f"warning: the result is not kept in {path}: {error}")


def _teacher(
    path: Path, texts: Sequence[str], labels: Sequence[str], n: int, seed: int
) -> dict[str, Any]:
    """What the teacher alone gets right of some rows; its replies are kept in the run folder."""
    from rich.progress import Progress

    from pgkd.apps.cli.console import console
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.assembly import employed, teacher_of
    from pgkd.tasks.classification.evaluation.baselines import draw_rows, score_teacher

    run = RunFolder.open(path)
    config = run.config()
    drawn = draw_rows(len(texts), n, seed)
    shell = console(stderr=True)
    with (
        run.ledger() as ledger,
        teacher_of(config) as teacher,
        Progress(console=shell, disable=not shell.is_terminal, transient=True) as progress,
    ):
        bar = progress.add_task("the teacher classifies", total=len(drawn))
        score = score_teacher(
            employed(config, teacher, ledger),
            [texts[i] for i in drawn],
            [labels[i] for i in drawn],
            run.dataset().taxonomy,
            seed=seed,
            on_reply=lambda _: progress.advance(bar),
        )
    return score.to_json()


def _print(report: dict[str, Any], *, per_class: bool) -> None:
    from pgkd.apps.cli.console import console, print_rows

    names = {
        "before": "before the teacher (round 0)",
        "after": "student after (kept as best)",
        "last": "student of the last round",
        "reviewed": "student of pgkd retrain",
    }
    rows = [
        (names[name], *(_cell(figures, measure) for measure in _MEASURES))
        for name, figures in report["students"].items()
    ]
    if teacher := report.get("teacher"):
        label = f"teacher alone ({teacher['n']} rows)"
        rows.append((label, *(_cell(teacher, measure) for measure in _MEASURES)))
    title = f"{report['rows']} rows of {report['data']}, 95% intervals"
    print_rows(title, ("", *_MEASURES.values()), rows)
    shell = console()
    if left_out := sum(report.get("left_out", {}).values()):
        shell.print(f"{left_out} rows of the file are the run's own and are left out.")
    again = report["repeats"]
    trained = f" over the rows and {1 + again} trainings" if again else ""
    for name, found in report.get("after_minus_before", {}).items():
        low, high = found["interval"]
        shell.print(
            f"{_MEASURES[name]}, after minus before: {found['difference']:+.3f} "
            f"[{low:+.3f}, {high:+.3f}] (paired bootstrap{trained})"
        )
    if per_class:
        _print_classes(report["students"])


def _cell(figures: dict[str, Any], measure: str) -> str:
    if measure not in figures:
        return "–"
    text = f"{figures[measure]:.3f}"
    interval = figures["intervals"].get(measure)
    return f"{text} [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else text


def _print_classes(students: dict[str, dict[str, Any]]) -> None:
    from pgkd.apps.cli.console import print_rows

    after = students["after"]["per_class"]
    before = students.get("before", students["after"])["per_class"]
    rows = [
        (
            new["name"],
            f"{old['f1']:.2f}",
            f"{new['f1']:.2f}",
            f"{new['precision']:.2f}",
            f"{new['recall']:.2f}",
            str(new["support"]),
        )
        for old, new in zip(before, after, strict=True)
    ]
    rows.sort(key=lambda row: float(row[1]) - float(row[2]))
    header = ("class", "F1 before", "F1 after", "precision", "recall", "rows")
    print_rows("Per class, largest gain first", header, rows)
