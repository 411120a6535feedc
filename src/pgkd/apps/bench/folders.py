"""Where the cells of a benchmark lie, and what is known of each.

::

    OUT/
      cells/NAME/run/           the run folder, as `pgkd distill` leaves it
      cells/NAME/cell.json      what was distilled, and what it cost: written when that is done
      cells/NAME/test.npz       what was predicted for each test row, as numbers
      cells/NAME/test.json      the figures on the test rows: written last

A file is written beside and then takes its place, so a cell that is cut off is never half done.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import RunError
from pgkd.files import held, write_whole
from pgkd.runs.files import as_json
from pgkd.runs.resume import differences, flat_settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.apps.bench.plan import Cell

_DONE, _PREDICTED, _TESTED = "cell.json", "test.npz", "test.json"


@dataclass(frozen=True)
class CellFolder:
    """The folder of a cell."""

    path: Path

    @property
    def run(self) -> Path:
        """Its run folder."""
        return self.path / "run"

    @property
    def ledger(self) -> Path:
        """The ledger of a cell that only labels."""
        return self.path / "ledger.sqlite"

    @property
    def state(self) -> str:
        """How far it is, in a word."""
        if (self.path / _TESTED).is_file():
            return "tested"
        if (self.path / _DONE).is_file():
            return "distilled"
        return "begun" if self.path.is_dir() else "open"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the cell.

        Raises:
            RunError: another process is at it.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        taken = RunError(
            f"Another process is running {self.path}: wait for it, or choose other cells."
        )
        with held(self.path / ".lock", taken):
            yield

    def done(self, cell: Cell) -> bool:
        """Whether it was distilled.

        Raises:
            RunError: with other settings than the benchmark has now.
        """
        if not (self.path / _DONE).is_file():
            return False
        then, now = self.read_done()["settings"], settings_of(cell)
        if then != now:
            told = "\n".join(f"  - {line}" for line in differences(then, now))
            raise RunError(
                f"{self.path} was run with other settings:\n{told}\n"
                "Give another --out, or remove the folder of the cell."
            )
        return True

    def read_done(self) -> dict[str, Any]:
        """What `write_done` wrote."""
        return self._read(_DONE)

    def write_done(self, cell: Cell, found: dict[str, Any]) -> None:
        """Note that the cell is distilled."""
        self._write(_DONE, {"cell": cell.key, "settings": settings_of(cell), **found})

    def read_test(self) -> dict[str, Any]:
        """The figures on the test rows."""
        return self._read(_TESTED)

    def predictions(self) -> dict[str, NDArray[Any]]:
        """What was predicted: see `write_test`."""
        with np.load(self.path / _PREDICTED, allow_pickle=False) as arrays:
            return dict(arrays)

    def write_test(self, figures: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
        """Keep the figures on the test rows, and what they were made from."""
        partial = self.path / f".partial-{_PREDICTED}"
        np.savez_compressed(partial, allow_pickle=False, **arrays)
        partial.replace(self.path / _PREDICTED)
        self._write(_TESTED, figures)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            data: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name} cannot be read: {error}") from error
        return data

    def _write(self, name: str, data: dict[str, Any]) -> None:
        write_whole(self.path / name, as_json(data))


def settings_of(cell: Cell) -> dict[str, Any]:
    """All that a cell follows from, by dotted names, for comparison."""
    settings = flat_settings(cell.config().model_dump(mode="json", exclude={"track"}))
    return settings | (
        {} if cell.known is None else flat_settings(cell.known.model_dump(), "known.")
    )
