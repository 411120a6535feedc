"""`pgkd evaluate`: judge a run on rows that it has never seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.student import Student

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
    seed: Annotated[int, Option(help="Seed of the intervals and of the teacher's rows.")] = 0,
    per_class: Annotated[bool, Option(help="Print the figures of every class.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare the student before, after and at the last round, with 95% intervals."""
    from pgkd.cli.console import console, print_json
    from pgkd.task import read_rows

    students = _students(run)
    classes = next(iter(students.values())).classes
    texts, labels = read_rows(data, text_column, label_column, classes=classes)
    report: dict[str, Any] = {"run": str(run), "data": str(data), "rows": len(texts)}
    with console(stderr=True).status("evaluating"):
        probabilities = {name: s.predict_proba(texts) for name, s in students.items()}
        report["students"] = {
            name: _judge(p, labels, classes, seed) for name, p in probabilities.items()
        }
        for name in ("before", "round_0"):
            if name in probabilities and "after" in probabilities:
                pair = probabilities[name], probabilities["after"]
                report[f"after_minus_{name}"] = _difference(*pair, labels, classes, seed)
    if teacher_rows:
        report["teacher"] = _teacher(run, texts, labels, teacher_rows, seed)
    if as_json:
        print_json(report)
    else:
        _print(report, per_class=per_class)


def _students(path: Path) -> dict[str, Student]:
    """The student of the labelled rows alone, after (best), and others where they differ.

    Those are round 0 where the class list trained it too, and the last round if it is not the best.
    """
    from pgkd.distill import RunFolder
    from pgkd.student import load_student

    if (path / "student.json").is_file():
        return {"after": load_student(path)}
    run = RunFolder.open(path)
    if run.has_student("alone"):
        students = {"before": run.student("alone"), "round_0": run.student("first")}
    else:
        students = {"before": run.student("first")}
    students["after"] = run.student("best")
    result = run.read_json("result.json") if (path / "result.json").is_file() else {"rounds": []}
    if result["rounds"] and result["best"] != result["rounds"][-1]["round"]:
        students["last"] = run.student("last")
    return students


def _judge(
    probabilities: NDArray[np.float64], labels: Sequence[str], classes: Sequence[str], seed: int
) -> dict[str, Any]:
    from pgkd.evaluation import bootstrap_intervals, evaluate

    metrics = evaluate(probabilities, labels, classes).to_json()
    intervals = bootstrap_intervals(probabilities, labels, classes, seed=seed)
    return {**metrics, "intervals": {name: list(pair) for name, pair in intervals.items()}}


def _difference(
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
    seed: int,
) -> dict[str, Any]:
    from pgkd.evaluation import compare

    found = compare(before, after, labels, classes, seed=seed)
    return {
        name: {"difference": d.difference, "interval": [d.low, d.high]} for name, d in found.items()
    }


def _teacher(
    path: Path, texts: Sequence[str], labels: Sequence[str], n: int, seed: int
) -> dict[str, Any]:
    """What the teacher alone gets right of some rows; its replies are kept in the run folder."""
    from rich.progress import Progress

    from pgkd.cli.console import console
    from pgkd.config import Config
    from pgkd.distill import RunFolder
    from pgkd.distill.assembly import employed, teacher_of
    from pgkd.evaluation import draw_rows, score_teacher

    run = RunFolder.open(path)
    config = Config.from_yaml(run.path / "config.yaml")
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
            run.taxonomy(),
            seed=seed,
            on_reply=lambda _: progress.advance(bar),
        )
    return score.to_json()


def _print(report: dict[str, Any], *, per_class: bool) -> None:
    from pgkd.cli.console import console, print_rows

    names = {
        "before": "student before (labelled rows only)",
        "round_0": "with the class list (round 0)",
        "after": "student after (kept as best)",
        "last": "student of the last round",
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
    for key, than in (("before", "before"), ("round_0", "with the class list")):
        for name, found in report.get(f"after_minus_{key}", {}).items():
            low, high = found["interval"]
            shell.print(
                f"{_MEASURES[name]}, after minus {than}: {found['difference']:+.3f} "
                f"[{low:+.3f}, {high:+.3f}] (paired bootstrap)"
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
    from pgkd.cli.console import print_rows

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
