"""Exports of classifiers: written, and loaded without what trained them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pgkd.data.cells import check_texts
from pgkd.errors import ExportError
from pgkd.tasks.classification.students.base import check_classes, most_probable

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pgkd.task import Answer
    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.students.base import Student


class _Model(Protocol):
    """What a predictor stands on."""

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes)."""


class Predictor:
    """An exported student. Its answers to a text do not depend on the texts beside it.

    Args:
        classes: class names in column order.
        model: what computes the probabilities.
        loaded_from: arguments of the `load_classifier` that made it.

    Attributes:
        classes: class names in column order.
    """

    def __init__(
        self, classes: Sequence[str], model: _Model, loaded_from: tuple[Any, ...] = ()
    ) -> None:
        self.classes = check_classes(classes)
        self._model = model
        self._loaded_from = loaded_from

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies, also in other processes, load the folder again: a session cannot be pickled."""
        if not self._loaded_from:
            return type(self), (self.classes, self._model)
        return load_classifier, self._loaded_from

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

    def answers(self, inputs: Sequence[str]) -> list[Answer]:
        """See `pgkd.task.Answering`: ``label`` and ``probability``."""
        return most_probable(self.predict_proba(inputs), self.classes)


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


def list_formats(student: Student) -> tuple[str, ...]:
    """The formats that a student is exported in, the best for a server first."""
    from pgkd.tasks.classification.students.encoder import EncoderStudent

    if not isinstance(student, EncoderStudent):
        return ("plain",)
    from pgkd.export.huggingface import ARCHITECTURE

    is_bert = student.encoder.model.config.model_type == ARCHITECTURE
    return ("onnx-int8", "onnx", *(("huggingface",) if is_bert else ()))


def export_classifier(
    student: Any, dataset: TextDataset, format: str, folder: Path
) -> dict[str, Any]:
    """Write a student in one of its formats; see `pgkd.task.Task.export`."""
    if format == "plain":
        student.save(folder)
        return {"classes": list(student.classes)}
    if format == "huggingface":
        from pgkd.export.huggingface import save_classifier

        save_classifier(student.encoder, student.head, student.classes, folder)
    else:
        from pgkd.tasks.common.encoders import export_encoder

        texts = [row.text for row in dataset.train]
        export_encoder(student.encoder, student.head, format, texts, folder)
    return {"classes": list(student.classes), "max_length": student.encoder.max_length}


def load_classifier(
    folder: Path, format: str, details: dict[str, Any], threads: int | None
) -> Predictor:
    """Load what `export_classifier` wrote; see `pgkd.task.Task.load_export`."""
    classes = tuple(details["classes"])
    again = (folder.resolve(), format, details, threads)
    return Predictor(classes, _model(folder, format, classes, details, threads), again)


def _model(
    folder: Path, format: str, classes: Sequence[str], details: dict[str, Any], threads: int | None
) -> _Model:
    if format == "plain":
        from pgkd.tasks.classification.students import load_student

        return load_student(folder)
    if format == "huggingface":
        return _Transformers(folder)
    from pgkd.export.predictor import OnnxModel

    model = OnnxModel.load(folder, details["max_length"], threads)
    if model.n_outputs != len(classes):
        raise ExportError(f"{folder} is damaged: its files do not fit each other.")
    return model


class _Transformers:
    """What transformers alone answers from an exported folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        from pgkd.export.huggingface import classifier_probabilities

        return classifier_probabilities(self._folder, texts)
