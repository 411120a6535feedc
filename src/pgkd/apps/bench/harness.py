"""A benchmark from its first cell to its results, resumable at every point."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from statistics import mean
from typing import TYPE_CHECKING, Any, Protocol

from pgkd.apps.bench.distilling import distil_cell
from pgkd.apps.bench.judging import CellResult, SetShape, judge_cell, read_results
from pgkd.apps.bench.plan import CellFolder, chosen, list_cells, read_plan
from pgkd.apps.bench.report import markdown, plot
from pgkd.apps.bench.sets import DataSet, HeldOutRows, frequencies, thirds
from pgkd.apps.bench.teachers import Teachers
from pgkd.errors import DataError
from pgkd.events import Hooks
from pgkd.runs.files import as_json
from pgkd.usage.cache import ReplyCache, replies_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pgkd.apps.bench.plan import Cell
    from pgkd.events import Round


class Listener(Protocol):
    """Hears how far a benchmark is."""

    def on_step(self, step: str, cells: int) -> None:
        """A step begins, with so many cells to do."""

    def on_cell(self, cell: Cell) -> None:
        """A cell begins."""

    def on_round(self, cell: Cell, number: int) -> None:
        """A round of it is over."""

    def on_cell_end(self, cell: Cell, told: str) -> None:
        """A cell is through; what came out, in a line."""


class Silent:
    """Hears everything and says nothing."""

    def on_step(self, step: str, cells: int) -> None:
        """See `Listener`."""

    def on_cell(self, cell: Cell) -> None:
        """See `Listener`."""

    def on_round(self, cell: Cell, number: int) -> None:
        """See `Listener`."""

    def on_cell_end(self, cell: Cell, told: str) -> None:
        """See `Listener`."""


@dataclass(frozen=True)
class Outlook:
    """What is there, and what is to come.

    Attributes:
        states: the state of every chosen cell, by its name.
        texts: texts that the open ones will ask a teacher for, at most.
        seconds: that they will take, judged by cells of the same arm and teacher that are done;
            None where there are none for some arm.
        usd: US dollars, judged likewise; None where it is not known.
    """

    states: dict[str, str]
    texts: int
    seconds: float | None
    usd: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "cells": self.states,
            "states": dict(Counter(self.states.values())),
            "texts": self.texts,
            "seconds": self.seconds,
            "usd": self.usd,
        }


class Bench:
    """A benchmark.

    First every cell is distilled; no test file is opened. Then the test files are read and every
    cell is judged, once. What is done is never done again.

    Args:
        path: the file that describes it.
        data: folder of the data sets.
        out: folder of its cells.
        only: which cells, like ``data=trec6,arm=targeted,even``; empty takes all.
        listener: hears how far it is.

    Raises:
        ConfigError: the file is wrong, or `only` names no cell.
        DataError: a data set is not there.
    """

    def __init__(
        self, path: Path, data: Path, out: Path, *, only: str = "", listener: Listener | None = None
    ) -> None:
        self.plan = read_plan(path)
        self.name = path.stem
        self.out = out
        self._all = list_cells(self.plan)
        self.cells = chosen(self._all, only) if only else self._all
        self._data = {cell.data: DataSet(data / cell.data) for cell in self._all}
        self._listener: Listener = listener or Silent()
        for name in dict.fromkeys(cell.data for cell in self.cells):
            if not (train := self._data[name].train).is_file():
                raise DataError(f"{train} does not exist: give the folder of the data sets.")

    @property
    def cells_folder(self) -> Path:
        """Where the cells lie."""
        return self.out / "cells"

    def folder(self, cell: Cell) -> CellFolder:
        """Where a cell lies."""
        return CellFolder(self.cells_folder / cell.name)

    def run(self) -> dict[str, Any]:
        """Distil, judge, and return the results of all cells that have been judged so far.

        Raises:
            RunError: a cell was begun with other settings, a teacher failed, or another process is
                at a cell. What is done is kept.
            KeyboardInterrupt: Ctrl-C. What is done is kept.
        """
        teachers = self._teachers
        try:
            self._distil(teachers)
            self._judge(teachers)
        finally:
            teachers.close()
        return self.results()

    @cached_property
    def _teachers(self) -> Teachers:
        return Teachers(ReplyCache(replies_folder()))

    @property
    def calls(self) -> tuple[int, int]:
        """Calls that left for a real teacher, and replies that were there already."""
        return self._teachers.asked, self._teachers.found

    def _distil(self, teachers: Teachers) -> None:
        todo = [cell for cell in self.cells if not self.folder(cell).done(cell)]
        self._listener.on_step("distilling", len(todo))
        for cell in todo:
            self._listener.on_cell(cell)
            folder = self.folder(cell)
            with folder.locked():
                distil_cell(
                    cell, folder, self._data[cell.data], teachers,
                    pool_rows=self.plan.pool_rows, hooks=[_Rounds(cell, self._listener)],
                )  # fmt: skip
            self._listener.on_cell_end(cell, _told(folder.read_done()))

    def _judge(self, teachers: Teachers) -> None:
        todo = [cell for cell in self.cells if self.folder(cell).state != "tested"]
        self._listener.on_step("judging on the test rows", len(todo))
        rows: dict[str, HeldOutRows] = {}
        for cell in todo:
            self._listener.on_cell(cell)
            data, folder = self._data[cell.data], self.folder(cell)
            shape = self._shape(cell)
            if cell.data not in rows:
                rows = {cell.data: HeldOutRows(data, shape.classes, cell.config())}
            with folder.locked():
                judge_cell(
                    cell, folder, data, rows[cell.data], shape.groups, teachers,
                    label_rows=self.plan.label_rows,
                )  # fmt: skip
            figures = folder.read_test()["all"]
            told = f"accuracy {figures['accuracy']:.3f}, macro F1 {figures['macro_f1']:.3f}"
            self._listener.on_cell_end(cell, told)

    def _shape(self, cell: Cell) -> SetShape:
        labels = [row.label for row in self._data[cell.data].all_rows(cell.config())]
        groups = thirds(labels)
        described = {
            "train_rows": len(labels),
            "thirds": {name: frequencies(labels, classes) for name, classes in groups.items()},
        }
        return SetShape(tuple(sorted(set(labels))), groups, described)

    def results(self) -> dict[str, Any]:
        """The results of all cells that have been judged, of those not chosen too.

        Those of a data set that is not here are left out.
        """
        found = [
            CellResult(cell, folder.read_done(), folder.read_test(), folder)
            for cell in self._all
            if (folder := self.folder(cell)).state == "tested"
        ]
        first = {tested.cell.data: tested.cell for tested in reversed(found)}
        there = {name: cell for name, cell in first.items() if self._data[name].train.is_file()}
        shapes = {name: self._shape(cell) for name, cell in there.items()}
        found = [tested for tested in found if tested.cell.data in shapes]
        return read_results(self.plan, found, len(self._all) - len(found), shapes)

    def write(self, results: dict[str, Any], stem: Path) -> list[Path]:
        """Write results as ``STEM.json``, ``STEM.md`` and ``STEM.png``.

        Raises:
            MissingExtraError: matplotlib is not installed; the other two are written.
        """
        stem.parent.mkdir(parents=True, exist_ok=True)
        paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "md", "png")]
        paths[0].write_text(as_json(results), encoding="utf-8")
        paths[1].write_text(markdown(results, self.name), encoding="utf-8")
        plot(results, paths[2])
        return paths

    def outlook(self) -> Outlook:
        """What is done of the chosen cells, and what the rest will take."""
        states = {cell.name: self.folder(cell).state for cell in self.cells}
        todo = [cell for cell in self.cells if states[cell.name] in ("open", "begun")]
        return Outlook(
            states,
            sum(_texts(cell) for cell in todo),
            _foreseen(todo, self._known("seconds")),
            _foreseen(todo, self._known("usd")),
        )

    def _known(self, figure: str) -> dict[tuple[str, str | None], float]:
        """What a cell of each arm and teacher has taken on average, where one is done."""
        taken: dict[tuple[str, str | None], list[float]] = {}
        for cell in self._all:
            folder = self.folder(cell)
            if folder.state not in ("distilled", "tested"):
                continue
            done = folder.read_done()
            cost = done.get("cost") or {"usd": 0}
            value = done["seconds"] if figure == "seconds" else cost["usd"]
            if not (figure == "seconds" and done["resumed"]):  # it tells its last life alone
                taken.setdefault((cell.arm.name, cell.teacher), []).append(float(value))
        return {key: mean(values) for key, values in taken.items()}


class _Rounds(Hooks):
    """Passes on that a round is over."""

    def __init__(self, cell: Cell, listener: Listener) -> None:
        self._cell = cell
        self._listener = listener

    def on_round_end(self, finished: Round) -> None:
        self._listener.on_round(self._cell, finished.number)


_ROUND = 200  # texts of a round, about, where the number of classes says how many


def _texts(cell: Cell) -> int:
    config = cell.config()
    if cell.arm.asks != "teacher":
        return 0
    return config.rounds * (_ROUND if config.samples == "auto" else config.samples)


def _foreseen(todo: Sequence[Cell], known: dict[tuple[str, str | None], float]) -> float | None:
    def each() -> Iterator[float | None]:
        for cell in todo:
            yield known.get((cell.arm.name, cell.teacher))

    values = list(each())
    return None if None in values else round(sum(v for v in values if v is not None), 4)


def _told(done: dict[str, Any]) -> str:
    if "texts" not in done:
        return "asked in the last step"
    line = f"{done['texts']} texts of {done['classes_written_for']} classes"
    line += f", round {done['judged_round']} of {done['rounds']}, {done['seconds']:.0f} s"
    cost = done["cost"]
    return line + (f", {cost['calls']} calls, ${float(cost['usd']):.4f}" if cost else "")
