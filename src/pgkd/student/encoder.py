"""The default student: a transformer encoder with a linear head.

With a few hundred rows, frozen mean-pooled features under logistic regression beat plain
fine-tuning, and retrain in seconds: features of a text are computed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.student import saving
from pgkd.student.base import Student
from pgkd.student.checks import check_classes, check_texts, usable_rows
from pgkd.student.encoders import load_encoder, save_encoder
from pgkd.student.finetune import fine_tune
from pgkd.student.head import Head, HeadSettings, fit_head, tune_head
from pgkd.weights import DEFAULT_STUDENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.student.features import Encoder

_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)  # of C, for features of unit length
_DEFAULT = HeadSettings(C=30.0)
_FOLDER = "encoder"

Recipe = Literal["frozen", "finetune"]


class EncoderStudent(Student):
    """An encoder under logistic regression.

    Args:
        classes: class names in column order.
        seed: of fine-tuning.
        encoder: weights by name, hub name, or a folder.
        recipe: ``"frozen"`` trains a head on frozen features, ``"finetune"`` then trains all.
        max_length: tokens of a text that are read.
        threads: CPU threads of torch, for the whole process; None leaves torch's own choice.
        head: hyper-parameters of the head; `tune` chooses them.
    """

    kind: ClassVar[str] = "encoder"

    def __init__(
        self,
        classes: Sequence[str],
        *,
        seed: int = 0,
        encoder: str = DEFAULT_STUDENT,
        recipe: Recipe = "frozen",
        max_length: int = 128,
        threads: int | None = None,
        head: HeadSettings = _DEFAULT,
    ) -> None:
        if recipe not in ("frozen", "finetune"):
            raise StudentError(f"There is no recipe '{recipe}'. There are: frozen, finetune.")
        self.classes = check_classes(classes)
        self._seed = seed
        self._source = encoder
        self._recipe: Recipe = recipe
        self._max_length = max_length
        self._threads = threads
        self._head_settings = head
        self._encoder: Encoder | None = None  # the trained one; None before fit
        self._head: Head | None = None

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
    ) -> Self:
        """See `Student.fit`."""
        texts, labels, weights = usable_rows(texts, labels, self.classes, sample_weight)
        encoder = self._base()
        features = encoder.features(texts)
        head = fit_head(features, labels, self.classes, self._head_settings, weights)
        if self._recipe == "finetune":
            index = {name: i for i, name in enumerate(self.classes)}
            gold = np.array([index[label] for label in labels])
            encoder, head = fine_tune(encoder, head, texts, gold, weights, seed=self._seed)
        self._encoder, self._head = encoder, head
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.predict_proba`."""
        if self._encoder is None or self._head is None:
            raise StudentError("The student is not fitted yet: call fit first.")
        check_texts(texts)
        return self._head.predict_proba(self._encoder.features(texts))

    def tune(self, texts: Sequence[str], labels: Sequence[str], *, seed: int) -> Self:
        """Choose the head's hyper-parameters by cross-validation on frozen features."""
        texts, labels, _ = usable_rows(texts, labels, self.classes)
        features = self._base().features(texts)
        self._head_settings = tune_head(
            _STRENGTHS,
            lambda rows, held: (features[rows], features[held]),
            labels,
            self.classes,
            seed=seed,
        )
        return self

    @property
    def head_settings(self) -> HeadSettings:
        """The hyper-parameters of the head, as given or as `tune` chose them."""
        return self._head_settings

    def clone(self) -> Self:
        """See `Student.clone`; the frozen encoder and its cache are shared."""
        return type(self)(self.classes, **self._settings(), head=self._head_settings)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        if self._encoder is None or self._head is None:
            raise StudentError("The student is not fitted yet: there is nothing to save.")
        description = {
            "kind": self.kind,
            "classes": list(self.classes),
            "settings": {**self._settings(), "threads": None},
            "head": self._head_settings.to_json(),
        }
        weights = {"weights": self._head.weights, "bias": self._head.bias}
        saving.write(folder, description, weights)
        save_encoder(self._encoder, folder / _FOLDER)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        description, weights = saving.read(folder, cls.kind)
        try:
            head = HeadSettings.from_json(description["head"])
            student = cls(description["classes"], **description["settings"], head=head)
            student._head = Head(weights["weights"], weights["bias"])
        except (KeyError, TypeError) as error:
            raise StudentError(f"{folder} is damaged: {error!r}") from error
        if not (folder / _FOLDER).is_dir():  # else its path would be looked up on the hub
            raise StudentError(f"{folder} is damaged: it has no folder '{_FOLDER}'.")
        student._encoder = load_encoder(str(folder / _FOLDER), student._max_length)
        return student

    def _base(self) -> Encoder:
        """The pretrained encoder that every training starts from."""
        if self._threads is not None:
            torch = require("torch", extra="train", job="The encoder student")
            torch.set_num_threads(self._threads)
        return load_encoder(self._source, self._max_length)

    def _settings(self) -> dict[str, Any]:
        return {
            "seed": self._seed,
            "encoder": self._source,
            "recipe": self._recipe,
            "max_length": self._max_length,
            "threads": self._threads,
        }
