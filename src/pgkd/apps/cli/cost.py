"""`pgkd cost`: what a run's calls to the teacher have cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

Option = typer.Option
_TITLES = {
    "calls": "calls", "retries": "retries", "failed": "failed", "lost": "lost", "cached": "cached",
    "input_tokens": "tokens in", "cached_tokens": "of them cached", "output_tokens": "tokens out",
}  # fmt: skip
_IF_ANY = ("retries", "cached_tokens")  # columns that are shown where there is something in them


def cost(
    run: Annotated[Path, typer.Argument(help="Run folder, or the ledger of pgkd label.")],
    as_json: Annotated[bool, Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Sum the calls of a run by round and purpose: tokens and US dollars.

    A price that nobody knows stays unknown: `unpriced` counts the replies without one.
    """
    from pgkd.apps.cli.console import print_json
    from pgkd.runs.folder import RunFolder
    from pgkd.usage.ledger import Ledger
    from pgkd.usage.sums import by_round_and_purpose, summed

    folder = run.is_dir() or not run.exists()
    with RunFolder.open(run).ledger_to_read() if folder else Ledger.to_read(run) as ledger:
        calls = list(ledger.calls())
    lines, total = by_round_and_purpose(calls), summed(calls)
    if as_json:
        sources = sorted({call.price_source for call in calls if call.price_source})
        print_json({"run": str(run), "parts": lines, "total": total, "prices": sources})
    else:
        _print(run, lines, total)


def _print(run: Path, lines: list[dict[str, Any]], total: dict[str, Any]) -> None:
    from pgkd.apps.cli.console import console, print_rows

    shown = [name for name in _TITLES if total[name] or name not in _IF_ANY]
    rows = [(str(line["round"]), line["purpose"], *_cells(line, shown)) for line in lines]
    rows.append(("all", "", *_cells(total, shown)))
    header = ("round", "purpose", *(_TITLES[name] for name in shown), "US $")
    print_rows(f"Calls to the teacher, {run}", header, rows)
    if total["unpriced"]:
        console().print(
            f"{total['unpriced']} replies have no known price and are not in the sum: give "
            "teacher.price_input and teacher.price_output."
        )
    if total["lost"]:
        console().print(
            "Lost calls were in flight when the run was cut off, or are out in a batch: perhaps "
            "charged."
        )


def _cells(line: dict[str, Any], shown: Iterable[str]) -> tuple[str, ...]:
    from pgkd.usage.sums import known_usd

    usd = known_usd(line)
    money = "unknown" if usd is None else f"{usd:.4f}"
    return (*(str(line[name]) for name in shown), money)
