"""`pgkd ui`: the web UI."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Option = typer.Option


def ui(
    path: Annotated[Path, typer.Argument(help="Run folder, or a folder of runs.")] = Path("runs"),
    port: Annotated[int, Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 0,
    host: Annotated[str, Option(help="Address on loopback.")] = "127.0.0.1",
    who: Annotated[
        str, Option(help="Your name in the journal of decisions; default: the user's.")
    ] = "",
) -> None:
    """Open a page to watch runs, review their texts and start new ones, until Ctrl-C.

    It prints an address with a secret in it. Only this machine can reach it.
    """
    from pgkd.apps.ui.process import open_ui

    open_ui(path, host=host, port=port, who=who)
