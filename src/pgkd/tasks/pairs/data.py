"""Pairs of texts, their labels or scores, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pgkd.data.cells import Problems, is_missing, name_of, parse_number
from pgkd.data.reading import open_table
from pgkd.errors import ConfigError, DataError
from pgkd.task import Example, Origin
from pgkd.tasks.common.rows import Make, Rows, load_rows, rows_from_arrays
from pgkd.tasks.common.shares import Target
from pgkd.tasks.pairs.config import PairsConfig, PairsData
from pgkd.text import shown

_LEAST = 10  # rows: with fewer there is nothing to cross-validate


@dataclass(frozen=True, slots=True)
class Pair(Example):
    """Two texts with a label or a score; see `pgkd.task.Example`."""

    text: str
    text_pair: str
    label: str | None = None
    score: float | None = None
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def texts(self) -> tuple[str, str]:
        """Both texts."""
        return self.text, self.text_pair

    @property
    def output(self) -> str:
        """The label, or the score as a number."""
        return self.label if self.label is not None else f"{self.score:g}"

    def revised(self, text: str | None, output: str | None) -> Pair:
        """See `Example.revised`; `text` replaces the first text.

        Raises:
            DataError: a score is no number. Labels and bounds are checked when it is trained on.
        """
        changes: dict[str, Any] = {"text": text} if text else {}
        if output:
            try:
                changes |= (
                    {"score": parse_number(output)} if self.score is not None else {"label": output}
                )
            except ValueError as error:
                raise DataError(f"{shown(output)} is no score: {error}.") from error
        return replace(self, human_verified=True, **changes)


def make_reader(data: PairsData, column: str) -> Make[Pair]:
    """What makes a pair of a row's cells, with a label or a score as the column says."""

    def make(texts: Sequence[str], cells: Sequence[Any], id_: str) -> Pair:
        [cell] = cells
        if is_missing(cell):
            raise ValueError(f"it has no {'label' if column == data.label_column else 'score'}")
        if not isinstance(cell, str) and hasattr(cell, "__iter__"):
            raise ValueError(f"a value of type {type(cell).__name__} is neither label nor score")
        if column == data.label_column:
            return Pair(texts[0], texts[1], name_of(cell), None, id_)
        score, low, high = parse_number(cell), data.score_min, data.score_max
        if low is not None and score < low:
            raise ValueError(f"the score {score:g} is below {low:g} (data.score_min)")
        if high is not None and score > high:
            raise ValueError(f"the score {score:g} is above {high:g} (data.score_max)")
        return Pair(texts[0], texts[1], None, score, id_)

    return make


def load_pairs(config: PairsConfig) -> Rows[Pair]:
    """See `pgkd.task.Task.load`."""
    data = config.data
    if data.train is None:
        raise ConfigError("No training rows: give --train FILE, or data.train in pgkd.yaml.")
    column = find_column(data, data.train)
    return _with_target(
        config, load_rows(config, data.inputs, (column,), make_reader(data, column))
    )


def pairs_from_arrays(
    config: PairsConfig,
    inputs: Sequence[tuple[str, str]],
    outputs: Sequence[Any],
    *,
    validation: tuple[Sequence[tuple[str, str]], Sequence[Any]] | None = None,
) -> Rows[Pair]:
    """Pairs in memory, and as many labels or scores; see `pgkd.task.Task.from_arrays`.

    Outputs are scores where the settings give bounds, or one of them is a float.
    """
    if any(isinstance(pair, str) or len(pair) != 2 for pair in inputs):
        raise DataError("Give a list of pairs of texts: [(text, text_pair), ...].")
    data, found = config.data, [cell for cell in outputs if not is_missing(cell)]
    scored = data.bounded or any(isinstance(cell, float | np.floating) for cell in found)
    make = make_reader(data, data.score_column if scored else data.label_column)
    pairs = [tuple(pair) for pair in inputs]
    return _with_target(config, rows_from_arrays(config, pairs, outputs, make, validation))


def find_column(data: PairsData, path: Path) -> str:
    """The column of the output: that of the score where there is one."""
    with open_table(path, (data.score_column, data.label_column), Problems()) as table:
        return data.score_column if data.score_column in table.columns else data.label_column


def _with_target(config: PairsConfig, rows: Rows[Pair]) -> Rows[Pair]:
    """The rows, with what is predicted.

    Raises:
        DataError: there are fewer than ten rows, one label alone, or one score alone.
    """
    everyone = [*rows.train, *rows.validation]
    if len(rows.train) < _LEAST:
        raise DataError(f"There are {len(rows.train)} training rows; ten are the least.")
    if everyone[0].score is None:
        if len({row.label for row in rows.train}) < 2:
            raise DataError(f"All training rows have the label '{shown(rows.train[0].label)}'.")
        target = Target(tuple(sorted({str(row.label) for row in everyone})))
    else:
        scores = [row.score for row in everyone if row.score is not None]
        low, high = config.data.score_min, config.data.score_max
        low, high = min(scores) if low is None else low, max(scores) if high is None else high
        if low >= high:
            raise DataError(f"All rows have the score {low:g}. Give data.score_min and score_max.")
        target = Target((), low, high)
    return replace(rows, details=target.to_json())
