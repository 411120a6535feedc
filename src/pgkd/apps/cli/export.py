"""`pgkd export`, `pgkd dataset` and `pgkd serve`: what leaves a run."""

from __future__ import annotations

from pathlib import Path

import typer
from typer import Option

import pgkd
from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, print_json


def export(
    run: options.Run,
    choice: str = Option(
        "auto",
        "--format",
        help="onnx, onnx-int8, huggingface, plain, all; auto takes the smallest possible.",
    ),
    out: Path | None = Option(None, help="Gets a folder per format. Default: RUN/export."),
    which: options.Which = "best",
    as_json: options.Json = False,
) -> None:
    """Export a student, and check that the export answers as the student does."""
    from pgkd.export.export import export as make
    from pgkd.runs.files import fitting_together

    target = out or run / "export"
    options.check_writable(target)
    shell, folder = console(stderr=True), pgkd.RunFolder.open(run)
    with shell.status("exporting") as status, fitting_together(folder):
        exports = make(
            folder,
            choice,  # type: ignore[arg-type]  # checked there
            target,
            which=which,
            on_format=lambda name: status.update(f"exporting {name}"),
        )
    refused = [made for made in exports if made.folder is None]
    for made in refused:
        shell.print(f"{made.format} refused: {'; '.join(made.faults)}")
    if as_json:
        print_json({"run": str(run), "exports": [made.to_json() for made in exports]})
    else:
        for made in exports:
            if made.folder is not None:
                p = made.parity
                console().print(
                    f"{made.format}: {made.size / 1e6:.1f} MB in {made.folder}; {p.same:.2%} of "
                    f"{p.n} texts answered as before, {p.figure} {p.export:.4f} (student "
                    f"{p.student:.4f}), numbers differ by at most {p.difference:.1e}"
                )
    if refused and (choice != "auto" or len(refused) == len(exports)):
        raise typer.Exit(1)


def dataset(
    run: options.Run,
    out: Path = Option(help="Folder to write."),
    format_: str = Option(
        "hf", "--format", help="hf for Hugging Face datasets, argilla for Argilla 2."
    ),
    all_rounds: bool = Option(
        False, "--all-rounds", help="Include texts of rounds after the best one."
    ),
    as_json: options.Json = False,
) -> None:
    """Write the training data of the best student, with review decisions and a data card."""
    from pgkd.integrations.datasets import write_dataset

    written = write_dataset(pgkd.RunFolder.open(run), out, format_, all_rounds=all_rounds).to_json()
    if as_json:
        print_json(written)
        return
    by, shell = written["by_source"], console()
    shell.print(
        f"{out}: {written['train']} training texts ({by['row']} labelled rows, {by['synthetic']} "
        f"written and {by['labelled']} labelled by the teacher) and {written['validation']} "
        "validation rows"
    )
    if n := written["left_out"]:
        shell.print(f"{n} texts of rounds after the best are left out (--all-rounds)")
    advice = "see Licence in its README.md" if format_ == "hf" else "protecting them is up to you"
    shell.print(f"It contains your rows. Before you share them: {advice}.")


def serve(
    path: options.ExportPath,
    host: str = Option(
        "127.0.0.1", help="Address to listen on. Other machines reach any but loopback."
    ),
    port: int = Option(8000, min=0, max=65535, help="Port; 0 takes a free one."),
    workers: int | None = Option(None, min=1, help="Processes. Default: one per usable core."),
    max_body: int = Option(1 << 20, min=1, help="Bytes per request."),
    max_texts: int = Option(256, min=1, help="Texts per request."),
    max_characters: int = Option(20_000, min=1, help="Characters per text."),
    max_waiting: int = Option(
        512, min=1, help="Texts that may wait in a worker; more are answered with 503."
    ),
    abstain_below: options.AbstainBelow = None,
    cascade_below: float | None = Option(
        None, min=0, max=1, help="Ask the teacher where the student's answer is less probable."
    ),
    config: options.CascadeConfig = None,
    ledger: options.CascadeLedger = None,
    budget_usd: options.BudgetUsd = None,
    budget_tokens: options.BudgetTokens = None,
    budget_calls: options.BudgetCalls = None,
    cascade_seconds: float = Option(
        10.0, help="Seconds that a text waits for the teacher at most."
    ),
    cascade_at_once: int = Option(8, min=1, help="Texts per worker that may wait for the teacher."),
) -> None:
    """Serve an export over HTTP, without torch, until it is stopped.

    With --cascade-below, texts that the student is unsure of go to the teacher, within a budget.
    """
    from pgkd.apps.server.cascade import make_cascade
    from pgkd.apps.server.process import Limits
    from pgkd.apps.server.process import serve as run

    cascade = None
    if cascade_below is not None:
        settings = options.load_run_config(
            path, config,
            budget_usd=budget_usd, budget_tokens=budget_tokens, budget_calls=budget_calls,
        )  # fmt: skip
        cascade = make_cascade(
            path, cascade_below, settings, ledger=ledger,
            seconds=cascade_seconds, at_once=cascade_at_once,
        )  # fmt: skip
    run(
        path, host=host, port=port, workers=workers,
        limits=Limits(max_body, max_texts, max_characters, max_waiting),
        abstain_below=abstain_below, cascade=cascade,
    )  # fmt: skip
