"""`pgkd report`: a run as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def report(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path | None, Option(help="File to write; default: RUN/report.html.")] = None,
    open_: Annotated[bool, Option("--open", help="Open it in the browser.")] = False,
    as_json: Annotated[
        bool, Option("--json", help="Print what the report shows as JSON, and write no file.")
    ] = False,
) -> None:
    """Write one HTML file that shows what a run was told, wrote, cost and gained."""
    from pgkd.apps.cli.console import console, print_json
    from pgkd.apps.report import gather, write_report
    from pgkd.runs.folder import RunFolder

    folder = RunFolder.open(run)
    if as_json:
        print_json(gather(folder).to_json())
        return
    with console(stderr=True).status("looking into the run"):
        written = write_report(folder, out)
    console().print(f"Report: {written}")
    if open_:
        import webbrowser

        webbrowser.open(written.resolve().as_uri())
