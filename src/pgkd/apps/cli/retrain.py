"""`pgkd retrain`: train a student again with what people decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pgkd.runs.retraining import Retrained

Option = typer.Option


def retrain(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    as_json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train a student again on what people left of the rows and texts; the old one stays.

    The decisions are those of `pgkd ui`. No teacher is asked.
    """
    from pgkd.apps.cli.console import console, print_json
    from pgkd.apps.cli.options import check_writable
    from pgkd.runs.folder import RunFolder
    from pgkd.runs.retraining import retrain as train

    folder = RunFolder.open(run)
    check_writable(run / "students")
    with console(stderr=True).status("training again"):
        found = train(folder)
    if as_json:
        print_json({"run": str(run), **found.to_json()})
    else:
        _print(run, found)


def _print(run: Path, found: Retrained) -> None:
    from pgkd.apps.cli.console import console, print_rows
    from pgkd.apps.cli.progress import figure_name, judged_on

    shell = console()
    told = ", ".join(f"{count} {kind}" for kind, count in found.decisions.items())
    weight = found.after.synthetic_weight
    others = "" if weight is None else f", the others {weight:.0%}"
    shell.print(
        f"Decisions: {told}. Trained on {found.rows} labelled rows and {found.written} synthetic "
        f"texts; {found.human_verified} of them count as much as a row{others}."
    )
    students = {"the run's best student": found.before, "trained again": found.after}
    print_rows(
        judged_on(found.after.n, held_out=found.after.held_out),
        ("", *map(figure_name, list(found.after.figures)[:3])),
        [
            (name, *(f"{v:.3f}" for v in list(e.figures.values())[:3]))
            for name, e in students.items()
        ],
    )
    change, error = found.verdict.change, found.verdict.standard_error
    says = "would keep it" if found.verdict.keep else "would not keep it: it is worse"
    shell.print(f"Loss {change:+.3f} ± {error:.3f}; the rule that compares rounds {says}.")
    shell.print(f"Both are there: students/best and students/reviewed of {run}.")
    shell.print(f"Next: pgkd export {run} --which reviewed")
