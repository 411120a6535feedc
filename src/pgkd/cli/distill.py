"""`pgkd distill`: run the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Option = typer.Option


def distill(
    config: Annotated[Path | None, Option(help="Settings, as `pgkd init` writes them.")] = None,
    train: Annotated[Path | None, Option(help="Labelled rows.")] = None,
    validation: Annotated[Path | None, Option(help="Validation rows, used as they are.")] = None,
    text_column: Annotated[str | None, Option(help="Column of the text.")] = None,
    label_column: Annotated[str | None, Option(help="Column of the class.")] = None,
    classes: Annotated[Path | None, Option(help="YAML list of the classes.")] = None,
    limit: Annotated[int | None, Option(help="Use this many rows, drawn at random.")] = None,
    on_conflict: Annotated[
        str | None, Option(help="Contradicting rows: 'error' or 'drop'.")
    ] = None,
    student: Annotated[str | None, Option(help="encoder or linear.")] = None,
    encoder: Annotated[str | None, Option(help="Encoder: name, hub name or folder.")] = None,
    recipe: Annotated[str | None, Option(help="Encoder: frozen or finetune.")] = None,
    teacher: Annotated[str | None, Option(help="Provider: local, openai, anthropic, ...")] = None,
    teacher_model: Annotated[str | None, Option(help="Model name or GGUF path.")] = None,
    base_url: Annotated[str | None, Option(help="Endpoint of the provider.")] = None,
    mode: Annotated[str | None, Option(help="targeted or paper.")] = None,
    instructions: Annotated[
        str | None, Option(help="What else the teacher should know, e.g. who writes the texts.")
    ] = None,
    class_list: Annotated[
        bool | None,
        Option(help="Train on the class names too, where that helps (default), or not."),
    ] = None,
    written_weight: Annotated[
        str | None, Option(help="Weight of a written text, a labelled row's is 1; or auto.")
    ] = None,
    rounds: Annotated[int | None, Option(help="Rounds at most.")] = None,
    samples: Annotated[int | None, Option(help="Texts asked for a round.")] = None,
    patience: Annotated[int | None, Option(help="Rounds without a better loss.")] = None,
    seed: Annotated[int | None, Option(help="Seed of everything random.")] = None,
    threads: Annotated[int | None, Option(help="CPU threads of student and teacher.")] = None,
    out: Annotated[Path | None, Option(help="Run folder to make.")] = None,
    as_json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Distil a teacher into a student, and keep everything in a run folder."""
    given: dict[str, Any] = {
        "train": train, "validation": validation, "text_column": text_column,
        "label_column": label_column, "classes": classes, "limit": limit,
        "on_conflict": on_conflict, "student": student, "encoder": encoder, "recipe": recipe,
        "teacher": teacher, "teacher_model": teacher_model, "base_url": base_url, "mode": mode,
        "instructions": instructions, "class_list": class_list,
        "written_weight": written_weight, "rounds": rounds, "samples": samples,
        "patience": patience, "seed": seed, "out": out,
    }  # fmt: skip
    from pgkd.cli.options import resolve

    run(resolve(config, threads, **given), as_json=as_json)


def run(settings: Any, *, as_json: bool) -> None:
    """Run the loop with its display, and tell how it ended."""
    from pgkd.cli.console import console, print_json
    from pgkd.cli.progress import RunDisplay
    from pgkd.distill import Distiller

    out = console(stderr=True)
    display = RunDisplay(out)
    distiller = Distiller(settings, hooks=[display])
    task = distiller.load_task()
    for warning in task.warnings:
        out.print(f"warning: {warning}")
    out.print(
        f"{len(task.train)} training and {len(task.validation)} validation rows, "
        f"{len(task.taxonomy)} classes; teacher {settings.teacher.provider}, "
        f"student {settings.student.kind}"
    )
    with display:
        distiller.fit_task(task)
    if as_json:
        print_json({"run": str(distiller.run_.path), **distiller.run_.read_json("result.json")})
    else:
        display.summary(distiller.run_.path, distiller.outcome_)
    if distiller.outcome_.stopped_by == "teacher failed":
        raise typer.Exit(1)
