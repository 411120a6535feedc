"""`pgkd cost`: what a run's calls to the teacher have cost."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pgkd.teacher.account import Call

Option = typer.Option
_COUNTS = {
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
    from pgkd.cli.console import print_json
    from pgkd.distill import RunFolder
    from pgkd.teacher.account import Ledger

    with Ledger(run) if run.is_file() else RunFolder.open(run).ledger() as ledger:
        calls = list(ledger.calls())
    parts: dict[tuple[int, str], list[Call]] = {}
    for call in calls:
        parts.setdefault((call.round, call.purpose), []).append(call)
    lines = [
        {"round": number, "purpose": purpose, **summed(part)}
        for (number, purpose), part in sorted(parts.items())
    ]
    total = summed(calls)
    if as_json:
        sources = sorted({call.price_source for call in calls if call.price_source})
        print_json({"run": str(run), "parts": lines, "total": total, "prices": sources})
    else:
        _print(run, lines, total)


def summed(calls: Iterable[Call]) -> dict[str, Any]:
    """Calls, tokens and dollars of some calls; dollars as a decimal in words, for JSON."""
    from pgkd.teacher.account.accounted import FROM_CACHE

    counts = dict.fromkeys((*_COUNTS, "unpriced"), 0)
    usd = Decimal(0)
    for call in calls:
        counts["calls"] += 1
        counts["retries"] += call.retries > 0
        counts["failed"] += call.state == "failed"
        counts["lost"] += call.state in ("lost", "in flight")
        cached = call.price_source == FROM_CACHE
        counts["cached"] += cached
        if call.reply is None or cached:
            continue
        counts["input_tokens"] += call.reply.input_tokens or 0
        counts["cached_tokens"] += call.reply.cached_tokens or 0
        counts["output_tokens"] += call.reply.output_tokens or 0
        counts["unpriced"] += call.cost is None
        usd += call.cost or Decimal(0)
    return {**counts, "usd": str(usd)}


def _print(run: Path, lines: list[dict[str, Any]], total: dict[str, Any]) -> None:
    from pgkd.cli.console import console, print_rows

    shown = [name for name in _COUNTS if total[name] or name not in _IF_ANY]
    rows = [(str(line["round"]), line["purpose"], *_cells(line, shown)) for line in lines]
    rows.append(("all", "", *_cells(total, shown)))
    header = ("round", "purpose", *(_COUNTS[name] for name in shown), "US $")
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
    asked = line["calls"] - line["failed"] - line["lost"] - line["cached"]
    unknown = line["unpriced"] == asked > 0
    money = "unknown" if unknown else f"{Decimal(line['usd']):.4f}"
    return (*(str(line[name]) for name in shown), money)
