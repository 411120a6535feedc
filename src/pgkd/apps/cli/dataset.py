"""`pgkd dataset`: the data that a run ends with, for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def dataset(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    out: Annotated[Path, Option(help="Folder to write.")],
    format_: Annotated[
        str, Option("--format", help="hf for Hugging Face datasets, argilla for Argilla 2.")
    ] = "hf",
    all_rounds: Annotated[
        bool, Option("--all-rounds", help="Also texts of rounds after the best one.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print what was written as JSON.")] = False,
) -> None:
    """Write what the best student was trained on, as people left it, with a data card."""
    from pgkd.apps.cli.console import console, print_json
    from pgkd.integrations.datasets.folder import write_dataset
    from pgkd.runs.folder import RunFolder

    written = write_dataset(RunFolder.open(run), out, format_, all_rounds=all_rounds)
    told = written.to_json()
    if as_json:
        print_json(told)
        return
    by = told["by_source"]
    shell = console()
    shell.print(
        f"{out}: {told['train']} training texts ({by['row']} labelled rows, {by['written']} "
        f"written and {by['labelled']} labelled by the teacher) and {told['validation']} "
        "validation rows"
    )
    if told["left_out"]:
        shell.print(
            f"{told['left_out']} texts of rounds after the best are left out (--all-rounds)"
        )
    told_of = "see Licence in its README.md" if format_ == "hf" else "they are yours to protect"
    shell.print(f"It holds your rows. Before you share them: {told_of}.")
