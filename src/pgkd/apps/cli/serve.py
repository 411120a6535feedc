"""`pgkd serve`: an export behind HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pgkd.apps.cli.cascade import (
    AbstainOption,
    CallsOption,
    DollarsOption,
    MostCallsOption,
    TokensOption,
    config_of,
)

Option = typer.Option


def serve(
    path: Annotated[Path, typer.Argument(help="An export, or a run folder that holds one.")],
    host: Annotated[
        str, Option(help="Address to listen at. Others than loopback can be reached by others.")
    ] = "127.0.0.1",
    port: Annotated[int, Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    workers: Annotated[
        int | None, Option(min=1, help="Processes. Default: one a core that may be used.")
    ] = None,
    max_body: Annotated[int, Option(min=1, help="Bytes of a request.")] = 1 << 20,
    max_texts: Annotated[int, Option(min=1, help="Texts of a request.")] = 256,
    max_characters: Annotated[int, Option(min=1, help="Characters of a text.")] = 20_000,
    max_waiting: Annotated[
        int, Option(min=1, help="Texts that may wait in a worker; more are answered with 503.")
    ] = 512,
    abstain_below: AbstainOption = None,
    cascade_below: Annotated[
        float | None,
        Option(min=0, max=1, help="Ask the teacher where the student's answer is less probable."),
    ] = None,
    config: Annotated[
        Path | None, Option(help="pgkd.yaml of the cascade's teacher; default: the run's.")
    ] = None,
    ledger: CallsOption = None,
    budget_usd: DollarsOption = None,
    budget_tokens: TokensOption = None,
    budget_calls: MostCallsOption = None,
    cascade_seconds: Annotated[
        float, Option(help="Seconds that a text waits for the teacher at most.")
    ] = 10.0,
    cascade_at_once: Annotated[
        int, Option(min=1, help="Texts of a worker that may wait for the teacher.")
    ] = 8,
) -> None:
    """Serve an export over HTTP, without torch, until it is told to stop.

    With --cascade-below, texts that the student is unsure of go to the teacher, within a budget.
    """
    from pgkd.apps.server.cascade import cascade_of
    from pgkd.apps.server.limits import Limits
    from pgkd.apps.server.process import serve as run

    limits = Limits(max_body, max_texts, max_characters, max_waiting)
    cascade = None
    if cascade_below is not None:
        settings = config_of(
            path, config,
            budget_usd=budget_usd, budget_tokens=budget_tokens, budget_calls=budget_calls,
        )  # fmt: skip
        cascade = cascade_of(
            path, cascade_below, settings, ledger=ledger,
            seconds=cascade_seconds, at_once=cascade_at_once,
        )  # fmt: skip
    run(
        path, host=host, port=port, workers=workers, limits=limits,
        abstain_below=abstain_below, cascade=cascade,
    )  # fmt: skip
