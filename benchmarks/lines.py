"""Results of a benchmark as lines of JSON, one a cell: what was measured is not measured again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Lines:
    """A file of results that grows by a line as soon as a cell is measured.

    Args:
        path: the file; it may be missing.
        key: fields that tell the cells apart.

    Attributes:
        all: every line, those of earlier runs first.
    """

    def __init__(self, path: Path, key: Sequence[str]) -> None:
        self._path, self._key = path, tuple(key)
        told = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.all: list[dict[str, Any]] = [json.loads(line) for line in told]
        self._cells = {self._cell(line) for line in self.all}

    def __contains__(self, cell: tuple[Any, ...]) -> bool:
        """Has this cell been measured?"""
        return cell in self._cells

    def add(self, line: dict[str, Any]) -> None:
        """Write down what was measured."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.all.append(line)
        self._cells.add(self._cell(line))

    def _cell(self, line: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(line[name] for name in self._key)
