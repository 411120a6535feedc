"""`pgkd retrain`: train a student again with what people decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from pgkd.runs.review.retraining import Retrained

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
    from pgkd.runs.review.retraining import retrain as train

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
    from pgkd.apps.cli.progress import judged_on
    from pgkd.runs.folder import RunFolder

    shell = console()
    told = ", ".join(f"{count} {kind}" for kind, count in found.decisions.items())
    shell.print(
        f"Decisions: {told}. Trained on {found.rows} labelled rows and {found.written} written "
        f"texts, of which {found.human_verified} weigh as much as a row and the others "
        f"{found.written_weight:g}."
    )
    figures = [
        (name, f"{m.accuracy:.3f}", f"{m.macro_f1:.3f}", f"{m.log_loss:.3f}")
        for name, m in (("the run's best student", found.before), ("trained again", found.after))
    ]
    print_rows(
        judged_on(found.after.n, held_out=bool(RunFolder.open(run).task().validation)),
        ("", "accuracy", "macro F1", "log loss"), figures,
    )  # fmt: skip
    change, error = found.verdict.change, found.verdict.standard_error
    says = "would keep it" if found.verdict.keep else "would not keep it: it is worse"
    shell.print(f"Loss {change:+.3f} ± {error:.3f}; the rule that compares rounds {says}.")
    shell.print(f"Both are there: students/best and students/reviewed of {run}.")
    shell.print(f"Next: pgkd export {run} --which reviewed")
