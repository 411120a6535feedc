"""The fastest student: static token embeddings under a linear head. It needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.static import StaticEmbeddings, load_embeddings
from pgkd.tasks.classification.students.head import DEFAULT_SETTINGS, HeadSettings
from pgkd.tasks.classification.students.head_student import HeadStudent
from pgkd.tasks.common.saving import subfolder
from pgkd.weights.pins import DEFAULT_EMBEDDINGS

_FOLDER = "embeddings"


class StaticStudent(HeadStudent):
    """Mean token vectors under logistic regression.

    Args:
        classes: class names in column order.
        seed: unused; every student takes one.
        embeddings: a name of `pgkd models list`, or a folder (`load_embeddings`).
        max_length: number of tokens of a text that are read.
        head: hyper-parameters of the head; `tune` chooses them.
    """

    kind: ClassVar[str] = "static"
    strengths = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0)

    def __init__(
        self,
        classes: Sequence[str],
        *,
        seed: int = 0,
        embeddings: str = DEFAULT_EMBEDDINGS,
        max_length: int = 512,
        head: HeadSettings = DEFAULT_SETTINGS,
    ) -> None:
        super().__init__(classes, head, seed=seed, embeddings=embeddings, max_length=max_length)
        self._embeddings: StaticEmbeddings | None = None

    @property
    def embeddings(self) -> StaticEmbeddings:
        """The table of token vectors, loaded when first used."""
        if self._embeddings is None:
            self._embeddings = load_embeddings(self._settings["embeddings"])
        return self._embeddings

    def _features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.embeddings.features(texts, self._settings["max_length"])

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        super().save(folder)
        self.embeddings.save(folder / _FOLDER)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        student = super().load(folder)
        student._embeddings = load_embeddings(subfolder(folder, _FOLDER))
        return student
