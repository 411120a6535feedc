"""Sets of labels: in a cell, as a list or separated; or in several columns of 0 and 1."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pgkd.data.cells import Problems, is_broken, is_missing, name_of
from pgkd.data.reading import open_table
from pgkd.errors import DataError
from pgkd.text import shown

_SEPARATED = re.compile(r"[^|;]{1,60}([|;][^|;]{1,60})+")
_LOOKED_AT = 2000  # cells that tell the separator
_FLAGS = {"0": False, "1": True, "false": False, "true": True}


def join_labels(labels: Sequence[str]) -> str:
    """Labels in one string: ``joy, anger``; a JSON list where there is none, or one has a comma."""
    if not labels or any("," in label or label.startswith("[") for label in labels):
        return json.dumps(list(labels), ensure_ascii=False)
    return ", ".join(labels)


def parse_labels(cell: Any, separator: str | None) -> tuple[str, ...]:
    """The labels of a cell: a list, a list as JSON or Python write it, or a separated string.

    Raises:
        ValueError: it is none of these, or missing.
    """
    if isinstance(cell, str):
        if cell.lstrip().startswith("["):
            cell = _parse_list(cell.strip())
        else:
            cell = [part for part in cell.split(separator or "\0") if not is_missing(part)]
    elif hasattr(cell, "tolist"):
        cell = cell.tolist()
    if not isinstance(cell, list | tuple | set | frozenset):
        if is_missing(cell):
            raise ValueError("it has no labels; where none fits, write an empty list, []")
        cell = [cell]
    if any(isinstance(item, list | dict | bytes) or is_missing(item) for item in cell):
        raise ValueError("one of its labels is no name")
    names = {name_of(item) for item in cell}
    if any(map(is_broken, names)):
        raise ValueError("half a character (a lone surrogate) stands in its labels")
    return tuple(sorted(names))


def _parse_list(text: str) -> Any:
    for read in (json.loads, ast.literal_eval):  # pandas writes lists as Python does
        try:
            return list(read(text))
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            continue
    raise ValueError(f"its labels begin with [ and are no list: '{shown(text, 40)}'")


def find_separator(cells: Iterable[Any]) -> str | None:
    """What separates the labels of cells: of | ; and , the first that most divided cells have."""
    texts = [c for c in cells if isinstance(c, str) and not c.lstrip().startswith("[")]
    counts = {mark: sum(mark in text for text in texts) for mark in "|;,"}
    most = max(counts.values())
    return next((mark for mark, n in counts.items() if n and 2 * n >= most), None)


def separator_of_column(path: Path, column: str) -> str | None:
    """`find_separator` of a column of a file; None where it cannot be read."""
    try:
        with open_table(path, (column,), Problems()) as table:
            return find_separator([row[1] for row in islice(table.cells(column), _LOOKED_AT)])
    except DataError:  # whoever reads the whole file says so
        return None


def holds_several(cell: Any) -> bool:
    """Whether a cell looks like a list of labels, or like separated ones."""
    if isinstance(cell, str):
        return cell.startswith("[") or _SEPARATED.fullmatch(cell) is not None
    return isinstance(cell, list)


def is_flag(cell: Any) -> bool:
    """Whether a cell is 0 or 1."""
    return not is_missing(cell) and name_of(cell) in ("0", "1")


def parse_flags(columns: Sequence[str], cells: Sequence[Any]) -> tuple[str, ...]:
    """The labels of a row that has a column of 0 and 1 for each.

    Raises:
        ValueError: a cell is neither.
    """
    flags = ["" if is_missing(cell) else name_of(cell).lower() for cell in cells]
    if wrong := [name for name, flag in zip(columns, flags, strict=True) if flag not in _FLAGS]:
        raise ValueError(f"its '{shown(wrong[0])}' is neither 0 nor 1")
    return tuple(sorted(c for c, flag in zip(columns, flags, strict=True) if _FLAGS[flag]))


def rows_of_matrix(outputs: Any, names: Sequence[str]) -> list[Any]:
    """The sets of an indicator matrix, shape (n, n_labels), dense or sparse; others as they are.

    Raises:
        DataError: the matrix has other numbers, or does not fit the names.
    """
    matrix = outputs.toarray() if hasattr(outputs, "toarray") else outputs
    shape: Any = getattr(matrix, "shape", ())
    if len(shape) != 2:
        return list(outputs)
    if shape[1] != len(names) or not np.isin(matrix, (0, 1)).all():
        raise DataError(
            f"The outputs have the shape {tuple(shape)}: a matrix has a column of 0 and 1 for each "
            "of the classes, which are given beside it."
        )
    return [[names[j] for j in np.flatnonzero(row).tolist()] for row in np.asarray(matrix)]
