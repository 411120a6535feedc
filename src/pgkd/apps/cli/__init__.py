"""The command line."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import suppress

import typer

from pgkd.apps.cli import bench, distill, doctor, evaluate, export, import_, label, predict, show
from pgkd.apps.cli.console import clean_log, print_error
from pgkd.errors import PgkdError
from pgkd.files import system_error

app = typer.Typer(
    name="pgkd",
    help="Own a small text classifier, taught by an LLM where it is weak.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("import")(import_.import_logs)
for command in (
    distill.init, distill.distill, evaluate.evaluate, predict.predict, export.export,
    export.dataset, export.serve, evaluate.cascade, label.label, show.show, show.report,
    show.retrain, show.ui, show.cost, doctor.doctor, bench.bench,
):  # fmt: skip
    app.command()(command)
app.add_typer(doctor.models, name="models", help="Find, fetch and locate model weights.")


def main() -> None:
    """Run the command line.

    Errors of pgkd and of the system, such as a full disk, are printed without a traceback.
    """
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows an escape where it lacks a character.
        if stream is not None and hasattr(stream, "reconfigure"):
            with suppress(OSError):  # a stream that cannot be flushed stays as it is
                stream.reconfigure(errors="backslashreplace")
    clean_log()
    try:
        app()
    except PgkdError as error:
        print_error(str(error))
    except OSError as error:
        print_error(system_error(error))
    except sqlite3.OperationalError as error:
        print_error(f"The ledger of the run cannot be read or written: {error}.")
    else:
        return
    sys.exit(1)
