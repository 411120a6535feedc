"""`pgkd distill`: run the loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pgkd.tasks.classification.data.dataset import Dataset

Option = typer.Option
_STATUS = {"teacher failed": 1, "nothing usable": 1, "interrupted": 130}
"""Exit status of a run that did not end as it was meant to, so that a script does not go on."""


def distill(
    config: Annotated[Path | None, Option(help="Settings, as `pgkd init` writes them.")] = None,
    train: Annotated[Path | None, Option(help="Labelled rows.")] = None,
    validation: Annotated[Path | None, Option(help="Validation rows, used as they are.")] = None,
    unlabelled: Annotated[Path | None, Option(help="Texts without labels, to label some.")] = None,
    pool_share: Annotated[str | None, Option(help="Share of rounds that label; or auto.")] = None,
    text_column: Annotated[str | None, Option(help="Column of the text.")] = None,
    label_column: Annotated[str | None, Option(help="Column of the class.")] = None,
    classes: Annotated[Path | None, Option(help="YAML list of the classes.")] = None,
    limit: Annotated[int | None, Option(help="Use this many rows, drawn at random.")] = None,
    on_conflict: Annotated[str | None, Option(help="Contradicting rows: error or drop.")] = None,
    student: Annotated[str | None, Option(help="encoder, static or linear.")] = None,
    encoder: Annotated[str | None, Option(help="Encoder: name, hub name or folder.")] = None,
    recipe: Annotated[str | None, Option(help="Encoder: auto, frozen or finetune.")] = None,
    teacher: Annotated[str | None, Option(help="Provider: local, openai, anthropic, ...")] = None,
    teacher_model: Annotated[str | None, Option(help="Model name or GGUF path.")] = None,
    base_url: Annotated[str | None, Option(help="Endpoint of the provider.")] = None,
    mode: Annotated[str | None, Option(help="targeted or paper.")] = None,
    instructions: Annotated[
        str | None, Option(help="What else the teacher should know, e.g. who writes the texts.")
    ] = None,
    class_list: Annotated[
        bool | None, Option(help="Train on the class names too, where that helps (default).")
    ] = None,
    written_weight: Annotated[
        str | None, Option(help="Weight of a written text, a labelled row's is 1; or auto.")
    ] = None,
    rounds: Annotated[int | None, Option(help="Rounds at most.")] = None,
    exam: Annotated[
        int | None, Option(help="Rows that the teacher labels before it writes; 0: none.")
    ] = None,
    texts_per_class: Annotated[str | None, Option(help="Texts in all, by class; or auto.")] = None,
    samples: Annotated[str | None, Option(help="Texts asked for a round; or auto.")] = None,
    patience: Annotated[int | None, Option(help="Rounds without a better loss.")] = None,
    cache: Annotated[
        str | None, Option(help="Replies that other runs paid for: auto, on, off, read, refresh.")
    ] = None,
    concurrency: Annotated[int | None, Option(help="Calls to the teacher at once.")] = None,
    batch: Annotated[
        bool | None,
        Option(
            "--batch/--no-batch",
            help="Hand each round in as a batch: half the price, up to a day.",
        ),
    ] = None,
    budget_usd: Annotated[str | None, Option(help="US dollars for the teacher at most.")] = None,
    budget_tokens: Annotated[int | None, Option(help="Tokens of the teacher at most.")] = None,
    budget_calls: Annotated[int | None, Option(help="Calls to the teacher at most.")] = None,
    seed: Annotated[int | None, Option(help="Seed of everything random.")] = None,
    threads: Annotated[int | None, Option(help="CPU threads of student and teacher.")] = None,
    track: Annotated[list[str] | None, Option(help="Tell mlflow, wandb, otel, ...")] = None,
    out: Annotated[Path | None, Option(help="Run folder to make.")] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what it will cost, about, and stop.")
    ] = False,
    report: Annotated[bool, Option("--report", help="Write report.html at the end.")] = False,
    as_json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Distil a teacher into a student; an --out that holds a run is resumed."""
    options = locals()  # before any other name is bound
    from pgkd.apps.cli.options import OPTIONS, resolve

    given = {name: options[name] for name in OPTIONS}
    run(resolve(config, threads, **given), dry=dry_run, as_json=as_json, report=report)


def run(settings: Any, *, dry: bool, as_json: bool, report: bool = False) -> None:
    """Run the loop with its display, and tell how it ended."""
    from pgkd.apps.cli.console import console, print_json
    from pgkd.apps.cli.progress import RunDisplay, estimate_line
    from pgkd.distiller import Distiller

    if report:
        from pgkd.apps.report import check_available

        check_available()  # not only after hours
    out = console(stderr=True)
    display = RunDisplay(out)
    distiller = Distiller(settings, hooks=[display])
    task = distiller.load()
    for warning in task.warnings:
        out.print(f"warning: {warning}")
    out.print(
        f"{_rows(task)}, {len(task.taxonomy)} classes; teacher {settings.teacher.provider}, "
        f"student {settings.student.kind}"
    )
    if dry:
        found = distiller.estimate(task)
        if as_json:
            print_json(found.to_json())
        else:
            console().print(estimate_line(found))
        return
    with display:
        distiller.fit_dataset(task)
    if as_json:
        print_json({"run": str(distiller.run_.path), **distiller.run_.read_json("result.json")})
    else:
        display.summary(distiller.run_.path, distiller.outcome_)
    if report:
        from pgkd.apps.report import write_report

        out.print(f"Report: {write_report(distiller.run_)}")
    if code := _STATUS.get(distiller.outcome_.stopped_by):
        raise typer.Exit(code)


def _rows(task: Dataset) -> str:
    if task.validation:
        return f"{len(task.train)} training and {len(task.validation)} validation rows"
    return f"{len(task.train)} labelled rows, cross-validated"
