"""The first step of a benchmark: every cell is distilled. No test file is opened."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgkd.distiller import Distiller
from pgkd.errors import RunError
from pgkd.runs.folder import RunFolder
from pgkd.runs.provenance import environment
from pgkd.tasks.classification.data.dataset import limit_rows
from pgkd.tasks.classification.data.pool import Pool, PoolText, without_rows
from pgkd.usage.ledger import summed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.apps.bench.plan import Cell, CellFolder
    from pgkd.apps.bench.sets import DataSet
    from pgkd.apps.bench.teachers import Teachers
    from pgkd.events import Hooks
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.usage.ledger import Call


def distil_cell(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    teachers: Teachers,
    *,
    pool_rows: int,
    hooks: Sequence[Hooks] = (),
) -> None:
    """Run a cell to its end, or what is left of it.

    Args:
        cell: the cell.
        folder: where it lies.
        data: its rows.
        teachers: who may be asked.
        pool_rows: rows of the pool of an arm that has one.
        hooks: told what the run does.

    Raises:
        RunError: the cell was begun with other settings, or the teacher failed.
        KeyboardInterrupt: Ctrl-C; the cell goes on where it was.
    """
    begun = folder.run.is_dir()
    start = time.perf_counter()
    found = {} if cell.arm.labels else _distil(cell, folder, data, teachers, pool_rows, hooks)
    folder.write_done(
        cell,
        {
            **found,
            "seconds": round(time.perf_counter() - start, 1),
            "resumed": begun,
            "environment": environment(),
        },
    )


def _distil(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    teachers: Teachers,
    pool_rows: int,
    hooks: Sequence[Hooks],
) -> dict[str, Any]:
    config = cell.config(data.train, folder.run)
    task = Distiller(config).load()
    pool = () if cell.arm.asks == "nobody" else data.pool(config, task)
    teacher = teachers.writer(cell, config, data, pool, folder.run / "ledger.sqlite")
    if cell.arm.pool:
        drawn = limit_rows(pool, pool_rows, cell.seed)
        unlabelled = Pool(tuple(PoolText(row.text, row.id) for row in drawn))
        near = config.curation.near_duplicate
        task = replace(task, pool=without_rows(unlabelled, task, near_duplicate=near))
    outcome = Distiller(config, teacher=teacher, hooks=hooks).fit_dataset(task).outcome_
    if outcome.stopped_by == "interrupted":
        raise KeyboardInterrupt
    if outcome.stopped_by == "teacher failed":
        raise RunError(f"{cell.name}: the teacher failed: {outcome.detail} Run again to go on.")
    return _told(cell, RunFolder.open(folder.run))


def _told(cell: Cell, run: RunFolder) -> dict[str, Any]:
    """What a finished run is, in figures."""
    result = run.read_json("result.json")
    rounds = result["rounds"]
    judged = result["best"] if cell.arm.judged == "best" else rounds[-1]["round"]
    texts = texts_by(run, judged)
    with run.ledger() as ledger:
        calls = list(ledger.calls())
    return {
        "judged_round": judged,
        "rounds": rounds[-1]["round"],
        "stopped_by": result["stopped_by"],
        "texts": len(texts),
        "classes_written_for": len({text.label for text in texts}),
        "asked": sum(done["asked"] for done in rounds),
        "text_weights": [done["synthetic_weight"] for done in rounds[1:]],
        "rejected": result["rejected"],
        "cost": sum_cost(calls) if cell.arm.asks == "teacher" else None,
    }


def texts_by(run: RunFolder, round_: int) -> list[LabelledText]:
    """The texts that the student of a round was trained on."""
    return [text for text in run.synthetic() if text.origin and text.origin.round <= round_]


def sum_cost(calls: Sequence[Call]) -> dict[str, Any]:
    """What calls cost: their number, tokens, dollars, and the teacher's time."""
    sums = summed(calls)
    kept = ("calls", "failed", "input_tokens", "output_tokens", "unpriced", "usd")
    seconds = sum(call.reply.seconds for call in calls if call.reply is not None)
    return {**{name: sums[name] for name in kept}, "teacher_seconds": round(seconds, 1)}
