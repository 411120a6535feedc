"""The default student: a transformer encoder with a linear head.

With a few hundred rows, frozen mean-pooled features under logistic regression beat plain
fine-tuning, and retrain in seconds: features of a text are computed once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.student.checks import usable_rows
from pgkd.student.encoders import load_encoder, save_encoder
from pgkd.student.finetune import fine_tune
from pgkd.student.frozen import FrozenStudent
from pgkd.student.head import HeadSettings
from pgkd.weights import DEFAULT_STUDENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.student.features import Encoder

_DEFAULT = HeadSettings(C=30.0)
_FOLDER = "encoder"

Recipe = Literal["frozen", "finetune"]


class EncoderStudent(FrozenStudent):
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
    strengths = (1.0, 3.0, 10.0, 30.0, 100.0)

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
        super().__init__(
            classes, head, seed=seed, encoder=encoder, recipe=recipe, max_length=max_length,
            threads=threads,
        )  # fmt: skip
        self._encoder: Encoder | None = None  # of a fitted student; None takes the pretrained one

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
    ) -> Self:
        """See `Student.fit`."""
        super().fit(texts, labels, sample_weight)
        self._encoder = self._pretrained()
        if self._settings["recipe"] == "finetune":
            texts, labels, weights = usable_rows(texts, labels, self.classes, sample_weight)
            index = {name: i for i, name in enumerate(self.classes)}
            gold = np.array([index[label] for label in labels])
            self._encoder, self._head = fine_tune(
                self._encoder, self._fitted_head(""), texts, gold, weights,
                seed=self._settings["seed"],
            )  # fmt: skip
        return self

    @property
    def encoder(self) -> Encoder:
        """The encoder that it predicts with: the fine-tuned one, or the pretrained one."""
        return self._encoder or self._pretrained()

    def _frozen_features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._pretrained().features(texts)

    def _features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.encoder.features(texts)

    def _save_source(self, folder: Path) -> None:
        save_encoder(self.encoder, folder / _FOLDER)

    def _load_source(self, folder: Path) -> None:
        if not (folder / _FOLDER).is_dir():  # else its path would be looked up on the hub
            raise StudentError(f"{folder} is damaged: it has no folder '{_FOLDER}'.")
        self._encoder = load_encoder(str(folder / _FOLDER), self._settings["max_length"])

    def _pretrained(self) -> Encoder:
        """The pretrained encoder that every training starts from."""
        if self._settings["threads"] is not None:
            torch = require("torch", extra="train", job="The encoder student")
            torch.set_num_threads(self._settings["threads"])
        return load_encoder(self._settings["encoder"], self._settings["max_length"])
