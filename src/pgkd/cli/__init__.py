"""The command line, one file a command."""

from __future__ import annotations

import errno
import sqlite3
import sys

import typer

from pgkd.cli import (
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
from pgkd.quoting import shown

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_AGAIN = "Then give the same command again: a run goes on where it was."

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
    """Run the command line; what is wrong with the input or the machine is told in a line."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal of another encoding shows an escape where it lacks a character.
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except PgkdError as error:
        _fail(str(error))
    except OSError as error:
        _fail(_of_machine(error))
    except sqlite3.OperationalError as error:
        _fail(f"A ledger cannot be read or written: {error}. Mend that. {_AGAIN}")


def _of_machine(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    if error.errno in _FULL:
        return f"{where}no room is left on the disk. Make room. {_AGAIN}"
    return f"{where}{error.strerror or error}."


def _fail(message: str) -> None:
    print("pgkd: " + "\n".join(shown(line, 2000) for line in message.split("\n")), file=sys.stderr)
    sys.exit(1)
