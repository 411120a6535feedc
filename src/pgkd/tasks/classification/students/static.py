"""The fastest student: static token embeddings under a linear head. It needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pgkd.errors import StudentError
from pgkd.tasks.classification.students.embeddings import load_embeddings
from pgkd.tasks.classification.students.frozen import FrozenStudent
from pgkd.tasks.classification.students.head import HeadSettings
from pgkd.weights.pins import DEFAULT_EMBEDDINGS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.embeddings import StaticEmbeddings

_DEFAULT = HeadSettings(C=30.0)
_FOLDER = "embeddings"


class StaticStudent(FrozenStudent):
    """Mean token vectors under logistic regression.

    Args:
        classes: class names in column order.
        seed: unused; here because every student takes one.
        embeddings: a name of `pgkd models list`, or a folder (`load_embeddings`).
        max_length: tokens of a text that are read.
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
        head: HeadSettings = _DEFAULT,
    ) -> None:
        super().__init__(classes, head, seed=seed, embeddings=embeddings, max_length=max_length)
        self._embeddings: StaticEmbeddings | None = None

    def _frozen_features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._loaded().features(texts, self._settings["max_length"])

    def _save_source(self, folder: Path) -> None:
        self._loaded().save(folder / _FOLDER)

    def _load_source(self, folder: Path) -> None:
        if not (folder / _FOLDER).is_dir():
            raise StudentError(f"{folder} is damaged: it has no folder '{_FOLDER}'.")
        self._embeddings = load_embeddings(str(folder / _FOLDER))

    def _loaded(self) -> StaticEmbeddings:
        if self._embeddings is None:
            self._embeddings = load_embeddings(self._settings["embeddings"])
        return self._embeddings
