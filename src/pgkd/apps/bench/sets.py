"""Data sets of a benchmark: ``NAME/train.csv.gz`` and ``NAME/test.csv.gz``, columns text and label.

The training file gives the rows of every run, the rows that a run does not have, and how frequent
the classes are. The test file is opened by `HeldOutRows` alone, which the last step makes.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from pgkd.tasks.classification.data.dataset import load_dataset, read_rows
from pgkd.tasks.classification.prompts.parsing import parse_samples
from pgkd.text import letters, near_any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.config import Config
    from pgkd.tasks.classification.data.dataset import OnConflict, TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText

THIRDS = ("head", "middle", "tail")


@dataclass(frozen=True)
class DataSet:
    """A data set on disk.

    Attributes:
        folder: where its files are.
    """

    folder: Path

    @property
    def train(self) -> Path:
        """The training file."""
        return self.folder / "train.csv.gz"

    @property
    def test(self) -> Path:
        """The test file."""
        return self.folder / "test.csv.gz"

    def all_rows(self, config: Config) -> tuple[LabelledText, ...]:
        """Every usable row of the training file, with the ids that runs give them."""
        data = config.data
        return _all_rows(self.train, data.text_column, data.label_column, data.on_conflict)

    def pool(self, config: Config, task: TextDataset) -> tuple[LabelledText, ...]:
        """The rows of the training file that a run does not have.

        Rows that would be refused from a writer are left out: those with placeholders too, even
        where the run's own rows hold them, so that the pool is the same whatever rows were drawn.
        """
        ours = {row.id for row in (*task.train, *task.validation)}
        rows = [row for row in self.all_rows(config) if row.id not in ours]
        return tuple(row for row in rows if _writable(row))


@lru_cache(maxsize=2)
def _all_rows(
    train: Path, text: str, label: str, on_conflict: OnConflict
) -> tuple[LabelledText, ...]:
    task = load_dataset(train=train, text_column=text, label_column=label, on_conflict=on_conflict)
    return (*task.train, *task.validation)


def _writable(row: LabelledText) -> bool:
    reply = json.dumps({"samples": [{"label": row.label, "text": row.text}]})
    return bool(parse_samples(reply, [row.label]).samples)


def thirds(labels: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The classes in thirds by how often they occur, the most frequent ones first.

    Classes that are equally frequent stand in alphabetical order. Where the number of classes is
    no multiple of three, the first thirds have one more.

    Args:
        labels: the class of every row of the training file.
    """
    counts = Counter(labels)
    order = sorted(counts, key=lambda name: (-counts[name], name))
    parts = np.array_split(np.arange(len(order)), len(THIRDS))
    return {third: tuple(order[i] for i in part) for third, part in zip(THIRDS, parts, strict=True)}


class HeldOutRows:
    """The test rows of a data set. Whoever makes one has read the test file.

    Args:
        data: the data set.
        classes: class names in column order.
        config: the settings of a run on it.

    Attributes:
        texts: n texts.
        labels: their classes.
        sha256: of the file.
    """

    def __init__(self, data: DataSet, classes: Sequence[str], config: Config) -> None:
        columns = config.data.text_column, config.data.label_column
        self.texts, self.labels = read_rows(data.test, *columns, classes=classes)
        self.sha256 = hashlib.sha256(data.test.read_bytes()).hexdigest()

    @cached_property
    def _letters(self) -> list[str]:
        return [letters(text) for text in self.texts]

    def near(self, texts: Sequence[str], near_duplicate: float) -> NDArray[np.bool_]:
        """Which rows one of these texts matches or nearly matches, shape (n,).

        Args:
            texts: texts that a student was trained on.
            near_duplicate: similarity from which on curation takes two texts for the same.
        """
        near = near_any(self._letters, [letters(text) for text in texts], near_duplicate)
        return np.array(near, dtype=bool)


def frequencies(labels: Sequence[str], classes: Sequence[str]) -> Mapping[str, int]:
    """How often the rarest and the most frequent of some classes occur."""
    counts = Counter(labels)
    found = [counts[name] for name in classes]
    return {"classes": len(found), "fewest": min(found, default=0), "most": max(found, default=0)}
