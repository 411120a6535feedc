"""`pgkd.load`: an export predicts, and nothing of what trained it is imported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pgkd.errors import ExportError, StudentError
from pgkd.export.manifest import Manifest
from pgkd.tasks.classification.students.checks import check_classes, check_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class _Model(Protocol):
    """What a predictor stands on."""

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes)."""


class Predictor:
    """An exported student. Its answers to a text do not depend on the texts beside it.

    Args:
        classes: class names in column order.
        model: what computes the probabilities.

    Attributes:
        classes: class names in column order.
    """

    def __init__(self, classes: Sequence[str], model: _Model) -> None:
        self.classes = check_classes(classes)
        self._model = model
        self._loaded_from: tuple[Path, int | None] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, load the folder again: a session cannot be pickled."""
        if self._loaded_from is None:
            return type(self), (self.classes, self._model)
        return _loaded, self._loaded_from

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes); every row sums to one.

        Raises:
            StudentError: `texts` is no list of texts.
        """
        check_texts(texts)
        if not len(texts):
            return np.empty((0, len(self.classes)))
        return self._model.predict_proba(texts)

    def predict(self, texts: Sequence[str]) -> list[str]:
        """The most probable class of each text.

        Raises:
            StudentError: `texts` is no list of texts.
        """
        return [self.classes[i] for i in self.predict_proba(texts).argmax(axis=1)]


def ranked(row: NDArray[np.float64], classes: Sequence[str], top: int) -> list[tuple[str, float]]:
    """The most probable classes of one text; the first is the one that `predict` says.

    Args:
        row: class probabilities of the text, shape (n_classes,).
        classes: class names in column order.
        top: how many are wanted; where there are fewer classes, all are told.

    Returns:
        Names with their probabilities, the highest first; of equal ones the earlier column.
    """
    return [(classes[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:top]]


def load(path: str | Path, *, threads: int | None = 1) -> Predictor:
    """Load an export for prediction, without torch, transformers or scikit-learn.

    A ``plain`` export of a linear student is the exception: it counts words with scikit-learn.

    Args:
        path: a folder that `pgkd export` wrote: ``onnx``, ``onnx-int8`` or ``plain``.
        threads: CPU threads of one prediction; None takes all cores. A server does best with one
            thread a process, and several processes.

    Raises:
        ExportError: the folder is no export, is damaged, or is for other libraries.
        MissingExtraError: the extra ``serve`` is not installed, and this export needs it.
    """
    folder = Path(path)
    manifest = Manifest.read(folder)
    if manifest.format == "huggingface":
        raise ExportError(
            f"{folder} is for transformers: pipeline('text-classification', '{folder}', "
            "truncation=True). pgkd.load takes the formats onnx, onnx-int8 and plain."
        )
    try:
        predictor = Predictor(manifest.classes, _model(folder, manifest, threads))
    except StudentError as error:
        raise ExportError(f"{folder} is damaged: {error}") from error
    predictor._loaded_from = (folder.resolve(), threads)
    return predictor


def _loaded(folder: Path, threads: int | None) -> Predictor:
    return load(folder, threads=threads)


def _model(folder: Path, manifest: Manifest, threads: int | None) -> _Model:
    if manifest.format == "plain":
        from pgkd.tasks.classification.students.registry import load_student

        return load_student(folder)
    from pgkd.export.onnx_model import OnnxModel

    return OnnxModel.load(folder, manifest, threads)
