"""The user's rows: read, checked, drawn and split, whatever an output is.

Everything that is wrong is found here, before any teacher is paid, and reported at once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from pgkd.data.cells import Problems, parse_text, place
from pgkd.data.reading import open_table
from pgkd.errors import ConfigError, DataError
from pgkd.task import Example
from pgkd.tasks.common.config import RowsConfig
from pgkd.text import shown, text_key

E = TypeVar("E", bound=Example)
Make = Callable[[Sequence[str], Sequence[Any], str], E]
"""Makes an example of the texts of its input, the cells of its output, and its id. A `ValueError`
says what is wrong with the cells."""

_MANY = 1000  # rows from which on a share of them can be spared for validation


@dataclass(frozen=True)
class Rows(Generic[E]):
    """The user's examples; see `pgkd.task.Dataset`.

    Attributes:
        details: what the task knows beside them, as plain data, such as its label names.
    """

    train: tuple[E, ...]
    validation: tuple[E, ...] = ()
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "details": dict(self.details),
            "train": [row.to_json() for row in self.train],
            "validation": [row.to_json() for row in self.validation],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any], make: Callable[[Any], E]) -> Rows[E]:
        """Rebuild from `to_json`'s data; `make` is `Task.example`."""
        train, validation = (tuple(map(make, data[part])) for part in ("train", "validation"))
        return cls(train, validation, tuple(data["warnings"]), data["details"])


def load_rows(
    config: RowsConfig, inputs: Sequence[str], outputs: Sequence[str], make: Make[E]
) -> Rows[E]:
    """The rows of the files that a config names.

    Args:
        config: the settings of the run.
        inputs: columns of the input's texts.
        outputs: columns of the output.
        make: makes an example of a row's cells.

    Raises:
        ConfigError: no file is named.
        DataError: lists everything that is wrong with the rows.
    """
    data, problems = config.data, Problems()
    if data.train is None:
        raise ConfigError("No training rows: give --train FILE, or data.train in pgkd.yaml.")
    train = read_part(data.train, "train", inputs, outputs, make, problems)
    held = (
        read_part(data.validation, "validation", inputs, outputs, make, problems)
        if data.validation
        else None
    )
    files = " and ".join(str(file) for file in (data.train, data.validation) if file)
    return split_rows(train, held, config, problems, f"The rows of {files}")


def rows_from_arrays(
    config: RowsConfig,
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    make: Make[E],
    validation: tuple[Sequence[Any], Sequence[Any]] | None = None,
) -> Rows[E]:
    """Rows in memory: n inputs, each a text or a tuple of texts, and n outputs.

    Raises:
        DataError: lists everything that is wrong with them.
    """
    problems = Problems()

    def made(part: str, inputs: Sequence[Any], outputs: Sequence[Any]) -> list[E]:
        if len(inputs) != len(outputs):
            raise DataError(f"{len(inputs)} inputs, but {len(outputs)} outputs.")
        cells = (
            (i, texts if isinstance(texts, tuple) else (texts,), (output,))
            for i, (texts, output) in enumerate(zip(inputs, outputs, strict=True), start=1)
        )
        return make_rows(cells, part, make, problems)

    held = None if validation is None else made("validation", *validation)
    return split_rows(made("train", inputs, outputs), held, config, problems, "The rows")


def read_rows(path: Path, inputs: Sequence[str], outputs: Sequence[str], make: Make[E]) -> list[E]:
    """The rows of a file that nothing is trained on, in order; repeated ones stay.

    Raises:
        DataError: lists everything that is wrong with them.
    """
    problems = Problems()
    rows = read_part(path, "", inputs, outputs, make, problems)
    problems.raise_if_any(f"{path} cannot be used as it is:")
    return rows


def read_part(
    path: Path,
    part: str,
    inputs: Sequence[str],
    outputs: Sequence[str],
    make: Make[E],
    problems: Problems,
) -> list[E]:
    """The rows of a part, such as ``"train"``; what is wrong with the others is noted."""
    columns, n = (*inputs, *outputs), len(inputs)
    before, rows = len(problems), list[E]()
    try:
        with open_table(path, columns, problems) as table:
            if table.has(columns, path, problems):
                cells = ((row[0], row[1 : n + 1], row[n + 1 :]) for row in table.cells(*columns))
                rows = make_rows(cells, part, make, problems)
    except DataError as error:
        problems.add_error("files that cannot be read", error)
    if not rows and len(problems) == before:
        problems.add("empty files", f"{path} has no rows")
    return rows


def make_rows(cells: Any, part: str, make: Make[E], problems: Problems) -> list[E]:
    """Rows of tuples of a number, texts and cells of the output; what is wrong is noted."""
    rows: list[E] = []
    for number, given, output in cells:
        id_ = f"{part}:{number}"
        texts = [parse_text(cell, place(id_), problems) for cell in given]
        if any(text is None for text in texts):
            continue
        try:
            rows.append(make([text for text in texts if text is not None], output, id_))
        except ValueError as error:
            problems.add("rows with an output that cannot be used", f"{place(id_)}: {error}")
    return rows


def split_rows(
    train: Sequence[E], held: Sequence[E] | None, config: RowsConfig, problems: Problems, what: str
) -> Rows[E]:
    """Rows that agree, drawn and split.

    Args:
        train: the rows.
        held: rows for validation; None splits them off where there are a thousand rows.
        config: says how.
        problems: what was wrong with the rows so far.
        what: the rows, as the subject of the error's message.

    Raises:
        DataError: lists every problem, old and new.
    """
    data, warnings = config.data, list[str]()
    drop = data.on_conflict == "drop"
    rows = _agreeing(train, problems, warnings, drop=drop)
    if held is not None:
        held = _agreeing(held, problems, warnings, drop=drop)
        known = {_key(row) for row in held}
        both = [row for row in rows if _key(row) in known]
        for row in () if drop else both:
            problems.add("rows in both parts", f"{place(row.id)} is a validation row, too")
        if both and drop:
            warnings.append(f"train: rows dropped, as they are validation rows: {len(both)}")
        rows = [row for row in rows if _key(row) not in known]
    if len(rows) < 2 and not problems:
        problems.add("rows", f"there are {len(rows)} training rows; two are the least")
    problems.raise_if_any(f"{what} cannot be used as they are:")
    rng = np.random.default_rng(config.seed)
    if data.limit is not None and data.limit < len(rows):
        chosen = np.sort(rng.choice(len(rows), size=data.limit, replace=False))
        rows = [rows[i] for i in chosen.tolist()]
    fraction = data.validation_fraction
    if fraction == "auto":
        fraction = 0.2 if len(rows) >= _MANY else 0.0
    if held is None and fraction:
        n = min(max(1, round(fraction * len(rows))), len(rows) - 2)
        chosen_set = set(rng.permutation(len(rows))[:n].tolist())
        held = [row for i, row in enumerate(rows) if i in chosen_set]
        rows = [row for i, row in enumerate(rows) if i not in chosen_set]
    return Rows(tuple(rows), tuple(held or ()), tuple(warnings))


def _agreeing(rows: Sequence[E], problems: Problems, warnings: list[str], *, drop: bool) -> list[E]:
    """Each input once, without those that have several outputs.

    What tells an output from others is itself, or the example's `output_key`, if it has one.
    """
    same: defaultdict[str, list[E]] = defaultdict(list)
    for row in rows:
        same[_key(row)].append(row)
    accepted, repeated, contradicting = list[E](), 0, 0
    for group in same.values():
        if len({getattr(row, "output_key", row.output) for row in group}) == 1:
            accepted.append(group[0])
            repeated += len(group) - 1
            continue
        contradicting += len(group)
        if not drop:
            told = ", ".join(f"{place(row.id)} '{shown(row.output)}'" for row in group[:5])
            problems.add("inputs with several outputs", f"the same input has several: {told}")
    if repeated:
        warnings.append(f"repeated rows left out: {repeated}")
    if contradicting and drop:
        warnings.append(f"rows dropped, as their input has several outputs: {contradicting}")
    return accepted


def _key(row: Example) -> str:
    """What tells an input from others."""
    return " [SEP] ".join(map(text_key, row.texts))
