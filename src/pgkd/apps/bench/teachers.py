"""The teachers of a benchmark, each made once and when it is first needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pgkd.apps.bench.labeller import LabellerTeacher
from pgkd.apps.bench.oracle import OracleTeacher
from pgkd.apps.bench.sharing import SharedReplies
from pgkd.tasks.classification.assembly import student_of
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.teachers import teacher_from
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.apps.bench.plan import Cell
    from pgkd.apps.bench.sets import DataSet
    from pgkd.config import Config
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.teachers.base import Teacher
    from pgkd.usage.cache import ReplyCache


class Teachers:
    """Makes teachers for cells, and keeps those that are dear to make.

    Args:
        cache: replies that all cells share.
    """

    def __init__(self, cache: ReplyCache) -> None:
        self._cache = cache
        self._shared: dict[str, SharedReplies] = {}
        self._labellers: dict[str, LabellerTeacher] = {}

    def writer(
        self,
        cell: Cell,
        config: Config,
        data: DataSet,
        pool: Sequence[LabelledText],
        ledger: Path,
    ) -> Teacher:
        """Who answers the requests of a run.

        Args:
            cell: the cell.
            config: its settings.
            data: its data set.
            pool: rows of the training file that the run does not have.
            ledger: the ledger of the run, where an earlier life has left some.
        """
        if cell.arm.asks == "teacher" and cell.known is None:
            return self._real(config)
        if cell.known is not None and cell.known.provider == "labeller":
            return self.classifier(cell, config, data)
        share = cell.known.error_share if cell.known and cell.arm.asks == "teacher" else 0.0
        rows = data.all_rows(config)
        oracle = OracleTeacher(pool, rows, error_share=share, seed=cell.seed)
        if ledger.is_file():
            with Ledger(ledger) as usage:
                oracle.recall(call.reply for call in usage.calls() if call.reply is not None)
        return oracle

    def classifier(self, cell: Cell, config: Config, data: DataSet) -> Teacher:
        """Who tells the class of texts, and writes none."""
        if cell.known is None:
            return self._real(config)
        if cell.data not in self._labellers:
            rows = data.all_rows(config)
            classes = Taxonomy.from_names(sorted({row.label for row in rows})).names
            student = student_of(config, classes).fit(
                [r.text for r in rows], [r.label for r in rows]
            )
            self._labellers[cell.data] = LabellerTeacher(student)
        return self._labellers[cell.data]

    @property
    def asked(self) -> int:
        """Calls that left for a teacher that is no known one."""
        return sum(teacher.asked for teacher in self._shared.values())

    @property
    def found(self) -> int:
        """Replies that another cell, or an earlier benchmark, had asked for."""
        return sum(teacher.found for teacher in self._shared.values())

    def close(self) -> None:
        """Release what the teachers hold."""
        for teacher in self._shared.values():
            teacher.close()

    def _real(self, config: Config) -> Teacher:
        key = config.teacher.model_dump_json()
        if key not in self._shared:
            self._shared[key] = SharedReplies(teacher_from(config), self._cache)
        return self._shared[key]
