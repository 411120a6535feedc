"""The command line, one file a command."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress

import typer

from pgkd.apps.cli import (
    bench,
    cascade,
    cost,
    dataset,
    distill,
    doctor,
    evaluate,
    export,
    init,
    label,
    models,
    predict,
    report,
    retrain,
    serve,
    show,
    ui,
)
from pgkd.errors import PgkdError
from pgkd.files import system_error

app = typer.Typer(
    name="pgkd",
    help="Own a small text classifier, taught by an LLM where it is weak.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(init.init)
app.command()(distill.distill)
app.command()(evaluate.evaluate)
app.command()(predict.predict)
app.command()(export.export)
app.command()(dataset.dataset)
app.command()(serve.serve)
app.command()(cascade.cascade)
app.command()(label.label)
app.command()(show.show)
app.command()(report.report)
app.command()(retrain.retrain)
app.command()(ui.ui)
app.command()(cost.cost)
app.command()(doctor.doctor)
app.command()(bench.bench)
app.add_typer(models.app, name="models", help="Find, fetch and locate model weights.")


def main() -> None:
    """Run the command line.

    An error that pgkd raised on purpose, and one of the system such as a full disk, is told
    without a traceback.
    """
    from pgkd.apps.cli.console import clean_log, tell_error

    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows an escape where it lacks a character.
        if stream is not None and hasattr(stream, "reconfigure"):
            with suppress(OSError):  # a stream that cannot be flushed stays as it is
                stream.reconfigure(errors="backslashreplace")
    clean_log()
    try:
        app()
    except PgkdError as error:
        tell_error(str(error))
    except OSError as error:
        tell_error(system_error(error))
    except sqlite3.OperationalError as error:
        tell_error(f"The ledger of the run cannot be read or written: {error}.")
    else:
        return
    sys.exit(1)
