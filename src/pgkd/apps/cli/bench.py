"""`pgkd bench`: run a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from pgkd.apps.bench.harness import Outlook
    from pgkd.apps.bench.plan import Cell

Option = typer.Option


def bench(
    grid: Annotated[Path, typer.Argument(help="The benchmark, a YAML file.")],
    data: Annotated[
        Path, Option(envvar="DATA", help="Folder of the data sets: NAME/train.csv.gz, test.csv.gz.")
    ],
    out: Annotated[
        Path | None, Option(help="Folder of the cells; default: runs/bench/NAME-OF-GRID.")
    ] = None,
    only: Annotated[
        list[str] | None,
        Option(help="Run a part: data=…,rows=…,seed=…,arm=…,teacher=…; several of each."),
    ] = None,
    results: Annotated[
        Path | None, Option(help="Write RESULTS.json, .md and .png; default: in --out.")
    ] = None,
    dry_run: Annotated[
        bool, Option("--dry-run", help="Say what is done and what is to come, and stop.")
    ] = False,
    as_json: Annotated[bool, Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Run a grid of data sets, arms, seeds and rows; what is done is not done again."""
    from pgkd.apps.bench.harness import Bench
    from pgkd.apps.cli.console import console, print_json

    shell = console(stderr=True)
    folder = out or Path("runs") / "bench" / grid.stem
    listener = _Display(shell)
    made = Bench(grid, data, folder, only=",".join(only or ()), listener=listener)
    if dry_run:
        outlook = made.outlook()
        if as_json:
            print_json(outlook.to_json())
        else:
            _print(outlook)
        return
    with listener.status:
        found = made.run()
    asked, there = made.calls
    if asked or there:
        shell.print(f"{asked} calls left for a teacher; {there} replies were there already.")
    paths = made.write(found, results or folder / "results")
    if as_json:
        print_json(found)
    else:
        console().print("Written: " + ", ".join(map(str, paths)))


class _Display:
    """A line a cell; on a terminal also the one that is being run."""

    def __init__(self, shell: Console) -> None:
        self._shell = shell
        self._step, self._cells, self._done = "", 0, 0
        self.status = shell.status("reading the data")

    def on_step(self, step: str, cells: int) -> None:
        self._step, self._cells, self._done = step, cells, 0
        if cells:
            self._shell.print(f"{step}: {cells} cells")

    def on_cell(self, cell: Cell) -> None:
        self.status.update(f"{self._place()} {cell.name}")

    def on_round(self, cell: Cell, number: int) -> None:
        self.status.update(f"{self._place()} {cell.name}: round {number} is over")

    def on_cell_end(self, cell: Cell, told: str) -> None:
        self._shell.print(f"{self._place()} {cell.name}: {told}")
        self._done += 1

    def _place(self) -> str:
        return f"[{self._done + 1}/{self._cells}]"


def _print(outlook: Outlook) -> None:
    from pgkd.apps.cli.console import console, print_rows

    found: dict[str, Any] = outlook.to_json()
    print_rows("", ("cell", "state"), list(outlook.states.items()))
    states = ", ".join(f"{n} {state}" for state, n in found["states"].items())
    shell = console()
    shell.print(f"{len(outlook.states)} cells: {states}.")
    shell.print(f"To come: at most {outlook.texts:,} texts of a teacher.")
    if outlook.seconds is None:
        shell.print("How long it takes is known when a cell of every arm and teacher is done.")
    else:
        usd = "" if outlook.usd is None else f" and ${outlook.usd:.4f}"
        shell.print(f"Judged by the cells that are done, about {outlook.seconds:.0f} s{usd}.")
