"""`pgkd export`: the student of a run, for a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.export.export import Exported

Option = typer.Option


def export(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    choice: Annotated[
        str,
        Option(
            "--format",
            help="onnx, onnx-int8, huggingface, plain, all; auto takes the smallest there is.",
        ),
    ] = "auto",
    out: Annotated[
        Path | None, Option(help="Takes a folder for each format. Default: RUN/export.")
    ] = None,
    which: Annotated[
        str, Option(help="Student of the run: best, reviewed, last or first.")
    ] = "best",
    as_json: Annotated[bool, Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Export a student, and check that what was exported answers as it does."""
    from pgkd.apps.cli.console import console, print_json
    from pgkd.apps.cli.options import check_writable
    from pgkd.export.export import export as make
    from pgkd.runs.files import fitting_together
    from pgkd.runs.folder import RunFolder

    check_writable(out or run / "export")
    shell, folder = console(stderr=True), RunFolder.open(run)
    with shell.status("exporting") as status, fitting_together(folder):
        done = make(
            folder,
            choice,  # type: ignore[arg-type]  # checked there
            out or run / "export",
            which=which,
            on_format=lambda name: status.update(f"exporting {name}"),
        )
    for found in done:
        if found.folder is None:
            shell.print(f"{found.format} refused: {'; '.join(found.faults)}")
    if as_json:
        print_json({"run": str(run), "exports": [found.to_json() for found in done]})
    else:
        for found in done:
            if found.folder is not None:
                console().print(_line(found))
    if _missed(done, choice):
        raise typer.Exit(1)


def _line(found: Exported) -> str:
    p = found.parity
    return (
        f"{found.format}: {found.size / 1e6:.1f} MB in {found.folder}; {p.same:.2%} of {p.n} texts "
        f"answered as before, accuracy {p.accuracy:.4f} (student {p.student_accuracy:.4f}), "
        f"probabilities differ by {p.difference:.1e} at most"
    )


def _missed(done: Sequence[Exported], choice: Any) -> bool:
    """Whether something that was asked for is not there; ``auto`` asks for any format."""
    refused = [found for found in done if found.folder is None]
    return len(refused) == len(done) if choice == "auto" else bool(refused)
