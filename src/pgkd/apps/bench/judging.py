"""The last step of a benchmark: the test rows are read, and every cell is judged on them once.

Every result is given twice: on all test rows, and without those that a text which the student was
trained on matches or nearly matches. Public test sets are in the memory of large teachers: what one
recites from there flatters the student on that row. The rows are left out, and not the texts with
the student trained anew, because then the student that is judged is the one that was distilled, and
every arm can be compared with every other one row by row.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.apps.bench.distilling import cost_of, texts_by
from pgkd.apps.bench.scores import figures
from pgkd.distiller import Distiller
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.data.dataset import limit_rows
from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.evaluation.metrics import calibration_error, row_log_losses
from pgkd.tasks.classification.evaluation.teacher import draw_rows
from pgkd.tasks.classification.prompts.labelling import label_texts
from pgkd.usage import metered_teacher
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.apps.bench.folders import CellFolder
    from pgkd.apps.bench.plan import Cell
    from pgkd.apps.bench.sets import DataSet, UnseenRows
    from pgkd.apps.bench.teachers import Teachers
    from pgkd.config import Config


def judge_cell(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    rows: UnseenRows,
    groups: Mapping[str, Sequence[str]],
    teachers: Teachers,
    *,
    label_rows: int,
) -> None:
    """Judge a distilled cell on the test rows, and keep what comes out.

    Args:
        cell: the cell.
        folder: where it lies.
        data: its data set.
        rows: the test rows.
        groups: classes of which macro F1 is told apart.
        teachers: who classifies where the arm is a teacher alone.
        label_rows: rows that a teacher alone is asked for, the same ones in every cell.
    """
    classes = tuple(sorted(name for names in groups.values() for name in names))
    gold = columns_of(rows.labels, classes)
    config = cell.config(data.train, folder.run)
    extra: dict[str, Any]
    if cell.arm.labels:
        judged = draw_rows(len(gold), label_rows, seed=0)
        predicted, extra = _labelled(cell, folder, data, rows, judged, classes, config, teachers)
        near = np.zeros(len(judged), dtype=bool)
    else:
        judged = np.arange(len(gold))
        predicted, extra = _predicted(cell, folder, rows, gold)
        near = _near(cell, folder, rows, config)
    truth = gold[judged]
    members = {name: [classes.index(c) for c in names] for name, names in groups.items()}
    folder.write_test(
        {
            "sha256": rows.sha256,
            "rows": len(judged),
            "rows_near_a_text": int(near.sum()),
            "all": figures(truth, predicted, len(classes), members),
            "without_near": figures(truth[~near], predicted[~near], len(classes), members),
            **extra,
        },
        {"rows": judged, "gold": truth, "predicted": predicted, "near": near},
    )  # fmt: skip


def _predicted(
    cell: Cell, folder: CellFolder, rows: UnseenRows, gold: NDArray[np.int64]
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """What the student says of every row."""
    student = RunFolder.open(folder.run).student(cell.arm.judged)
    columns = np.argsort(student.classes)  # those of the figures are in alphabetical order
    probabilities = student.predict_proba(rows.texts)[:, columns]
    predicted = probabilities.argmax(axis=1)
    return predicted, {
        "log_loss": round(float(row_log_losses(probabilities, gold).mean()), 6),
        "ece": round(calibration_error(probabilities.max(axis=1), predicted == gold), 6),
    }


def _near(cell: Cell, folder: CellFolder, rows: UnseenRows, config: Config) -> NDArray[np.bool_]:
    """Which test rows a text of the student is near to."""
    run = RunFolder.open(folder.run)
    texts = texts_by(run, folder.read_done()["judged_round"])
    return rows.near([text.text for text in texts], config.curation.near_duplicate)


def _labelled(
    cell: Cell,
    folder: CellFolder,
    data: DataSet,
    rows: UnseenRows,
    judged: NDArray[np.int64],
    classes: Sequence[str],
    config: Config,
    teachers: Teachers,
) -> tuple[NDArray[np.int64], dict[str, Any]]:
    """What the teacher alone says of some rows; an answer off the list is none of the classes."""
    start = time.perf_counter()
    task = Distiller(config).load()
    shown = limit_rows(task.train, cell.arm.shots, cell.seed) if cell.arm.shots else ()
    with Ledger(folder.ledger) as ledger:
        found = label_texts(
            metered_teacher(config, teachers.classifier(cell, config, data), ledger),
            [rows.texts[i] for i in judged],
            task.taxonomy,
            examples=shown,
        )
        cost = cost_of(list(ledger.calls()))
    index = {name: i for i, name in enumerate(classes)}
    predicted = [len(classes) if a.label is None else index[a.label] for a in found]
    seconds = round(time.perf_counter() - start, 1)
    return np.array(predicted, dtype=np.int64), {"cost": cost, "seconds": seconds}
