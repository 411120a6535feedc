"""Requests by cell: by label, band of scores, or whatever the mistakes of a student tell apart."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from pgkd.task import Example
from pgkd.tasks.common.allocation import allocate, portions, scheduled
from pgkd.tasks.common.samples import SamplesPrompt

E = TypeVar("E", bound=Example)

_SAMPLES = 8  # of a request


class CellPrompts(ABC, Generic[E]):
    """Divides each round's samples over cells, and picks the rows that requests show.

    The rows of a request are of one fold: else what comes of it would be hidden with every fold
    that is held out.

    Args:
        config: the settings of the run, a `RowsConfig`.
        cells: by name, the rows that are in each; a row may be in several.
        rows: all n rows of the user.
        folds: shape (n,).
    """

    def __init__(
        self,
        config: Any,
        cells: Mapping[str, Sequence[E]],
        rows: Sequence[E],
        folds: NDArray[np.int64],
    ) -> None:
        self.config = config
        self.rows = cells
        self._by_fold: dict[int, list[E]] = {}
        for row, fold in zip(rows, folds.tolist(), strict=True):
            self._by_fold.setdefault(fold, []).append(row)
        self._fold = {row.id: fold for fold, those in self._by_fold.items() for row in those}
        self._asked: Counter[str] = Counter()  # samples, by cell
        self._shown: Counter[str] = Counter()  # times, by row
        self._turn = Counter({name: i for i, name in enumerate(cells)})  # not all start alike

    @abstractmethod
    def prompt(
        self, id_: str, cell: str, count: int, mined: Mapping[str, Any], written: Sequence[E]
    ) -> SamplesPrompt:
        """One request for samples of a cell; see `prompts`."""

    def prompts(
        self, number: int, mined: Sequence[Mapping[str, Any]], written: Sequence[E]
    ) -> list[SamplesPrompt]:
        """The requests of a round.

        Args:
            number: of the round.
            mined: the cells of `Evaluation.cells` of the training rows, out of fold, with an
                ``error_rate`` above 0; none where nothing is known.
            written: synthetic examples so far.
        """
        guidance, known = self.config.guidance, {cell["name"]: cell for cell in mined}
        errors = dict.fromkeys(self.rows, 1.0)
        if guidance.allocation == "guided":
            errors |= {name: known[name]["error_rate"] for name in errors if name in known}
        budget = scheduled(self.config.texts, self.config.rounds, number)
        counts = allocate(errors, self._asked, budget)
        self._asked.update(counts)
        most = _SAMPLES if guidance.texts_per_request == "auto" else guidance.texts_per_request
        return [
            self.prompt(f"r{number}-{i:04d}", name, count, known.get(name, {}), written)
            for i, (name, count) in enumerate(portions(counts.items(), most), start=1)
        ]

    def next_fold(self, cell: str) -> list[E]:
        """The rows of a fold, another one with every request for a cell.

        Where all rows of a cell are of one fold, every other request shows none of them: else
        cross-validation would see none of its samples.
        """
        own = sorted({self._fold[row.id] for row in self.rows[cell]})
        folds = (own + sorted(set(self._by_fold).difference(own)))[: max(2, len(own))]
        self._turn[cell] += 1
        return self._by_fold[folds[self._turn[cell] % len(folds)]]

    def pick(self, rows: Sequence[E], n: int) -> list[E]:
        """The n of some rows that were shown least often; they are shown now."""
        chosen = sorted(rows, key=lambda row: self._shown[row.id])[:n]
        self._shown.update(row.id for row in chosen)
        return chosen
