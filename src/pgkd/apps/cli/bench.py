"""`pgkd bench`: run a benchmark."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from typer import Argument, Option

from pgkd.apps.cli import options
from pgkd.apps.cli.console import console, print_json, print_rows

if TYPE_CHECKING:
    from pgkd.apps.bench.harness import Outlook
    from pgkd.apps.bench.plan import Cell


def bench(
    grid: Path = Argument(help="The benchmark, a YAML file."),
    data: Path = Option(
        envvar="DATA", help="Folder of the data sets: NAME/train.csv.gz, test.csv.gz."
    ),
    out: Path | None = Option(None, help="Folder of the cells; default: runs/bench/NAME-OF-GRID."),
    only: list[str] | None = Option(
        None, help="Run a part: data=…,rows=…,seed=…,arm=…,teacher=…; several of each."
    ),
    results: Path | None = Option(
        None, help="Write RESULTS.json, .md and .png; default: in --out."
    ),
    dry_run: bool = Option(
        False, "--dry-run", help="Show what is done and what is left, and stop."
    ),
    as_json: options.Json = False,
) -> None:
    """Run a grid of data sets, arms, seeds and rows; finished cells are not run again."""
    from pgkd.apps.bench.harness import Bench

    shell = console(stderr=True)
    folder = out or Path("runs") / "bench" / grid.stem
    listener = _Display(shell)
    made = Bench(grid, data, folder, only=",".join(only or ()), listener=listener)
    if dry_run:
        outlook = made.outlook()
        if as_json:
            print_json(outlook.to_json())
        else:
            _print_outlook(outlook)
        return
    with listener.status:
        found = made.run()
    sent, reused = made.calls
    if sent or reused:
        shell.print(f"{sent} calls sent to a teacher; {reused} replies reused.")
    paths = made.write(found, results or folder / "results")
    if as_json:
        print_json(found)
    else:
        console().print("Written: " + ", ".join(map(str, paths)))


class _Display:
    """A line per finished cell; on a terminal also the running one."""

    def __init__(self, shell: Console) -> None:
        self._shell = shell
        self._cells = self._done = 0
        self.status = shell.status("reading the data")

    def on_step(self, step: str, cells: int) -> None:
        self._cells, self._done = cells, 0
        if cells:
            self._shell.print(f"{step}: {cells} cells")

    def on_cell(self, cell: Cell) -> None:
        self.status.update(self._name(cell))

    def on_round(self, cell: Cell, number: int) -> None:
        self.status.update(f"{self._name(cell)}: round {number} is done")

    def on_cell_end(self, cell: Cell, told: str) -> None:
        self._shell.print(f"{self._name(cell)}: {told}")
        self._done += 1

    def _name(self, cell: Cell) -> str:
        return f"[{self._done + 1}/{self._cells}] {cell.name}"


def _print_outlook(outlook: Outlook) -> None:
    print_rows("", ("cell", "state"), list(outlook.states.items()))
    states = ", ".join(f"{n} {state}" for state, n in outlook.to_json()["states"].items())
    shell = console()
    shell.print(f"{len(outlook.states)} cells: {states}.")
    shell.print(f"Left: up to {outlook.texts:,} texts of a teacher.")
    if outlook.seconds is None:
        shell.print("The time is estimated once a cell of every arm and teacher is done.")
    else:
        usd = "" if outlook.usd is None else f" and ${outlook.usd:.4f}"
        shell.print(f"Estimated from the finished cells: about {outlook.seconds:.0f} s{usd}.")
