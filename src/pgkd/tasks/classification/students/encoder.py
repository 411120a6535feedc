"""The default student: a transformer encoder with a linear head.

Logistic regression on frozen, mean-pooled features retrains in seconds, because the features of a
text are computed once. Where the classes are not what the encoder was pretrained to tell apart,
training all of it is worth its minutes: twelve points on the kinds of questions in trec6, three on
the topics of stackoverflow20 (docs/results.md). Held-out rows decide which of the two a task gets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.devices import Device, Precision, check_device_settings, find_device
from pgkd.encoders.head import Calibration, Head, fine_tune
from pgkd.encoders.transformer import Encoder, load_encoder
from pgkd.errors import StudentError
from pgkd.evaluation import paired_change
from pgkd.extras import require
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.students.base import usable_rows
from pgkd.tasks.classification.students.head import (
    DEFAULT_SETTINGS,
    HeadSettings,
    fit_calibration,
    log_losses,
    log_prior,
)
from pgkd.tasks.classification.students.head_student import HeadStudent
from pgkd.tasks.classification.students.tuning import SyntheticTexts, hold_out
from pgkd.tasks.common.folds import stratified_folds
from pgkd.tasks.common.saving import subfolder
from pgkd.weights.pins import DEFAULT_STUDENT

if TYPE_CHECKING:  # imports torch
    from pgkd.encoders.training import FineTuning

Recipe = Literal["auto", "frozen", "finetune"]

_FOLDER = "encoder"
_RECIPES: tuple[Recipe, ...] = get_args(Recipe)
_TRIAL_FOLDS = 4  # one of them is held out to try fine-tuning on
_FEW_TRIAL_FOLDS = 2  # the same with many synthetic texts, which are enough to train on


class EncoderStudent(HeadStudent):
    """An encoder under logistic regression.

    Args:
        classes: class names in column order.
        seed: of fine-tuning.
        encoder: weights by name, hub name, or a folder.
        recipe: ``"frozen"`` trains a head on frozen features; ``"finetune"`` then trains all;
            ``"auto"`` lets `tune` choose, and is ``"frozen"`` until it has.
        max_length: number of tokens of a text that are read.
        threads: CPU threads of torch, for the whole process; None leaves torch's own choice.
        device: ``"auto"`` takes what Accelerate finds; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or
            ``"mps"``. It is looked for when the encoder is first used.
        precision: of the steps of fine-tuning: ``"fp32"``, ``"bf16"``, or ``"auto"``, which is bf16
            on a CUDA device that supports it. Features are always computed in fp32.
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
        recipe: Recipe = "auto",
        max_length: int = 128,
        threads: int | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        head: HeadSettings = DEFAULT_SETTINGS,
    ) -> None:
        if recipe not in _RECIPES:
            raise StudentError(f'Unknown recipe "{recipe}". Choose from: {", ".join(_RECIPES)}.')
        check_device_settings(device, precision)
        super().__init__(
            classes, head, seed=seed, encoder=encoder, recipe=recipe, max_length=max_length,
            threads=threads, device=device, precision=precision,
        )  # fmt: skip
        self._given_recipe = recipe  # `tune` may set the one in the settings
        self._device: Device | None = None  # found when first used, which imports torch
        self._encoder: Encoder | None = None  # of a fitted student; None is the pretrained one

    def _train(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        weights: NDArray[np.float64],
        prior: NDArray[np.float64],
    ) -> Head:
        self._encoder = self._pretrained()
        if self.recipe != "finetune":
            return super()._train(texts, labels, weights, prior)
        # Training would unlearn the prior, so it is added to the trained head only.
        plain = replace(self._head_settings.calibration, prior_weight=0.0)
        settings = replace(self._head_settings, calibration=plain)
        features = self._training_features(texts)
        head = self._fit_head(features, labels, self.classes, settings, weights, prior)
        gold, seed = label_indices(labels, self.classes), self._settings["seed"]
        self._encoder, head = fine_tune_classes(
            self._encoder, head, texts, gold, weights, seed=seed
        )
        return head.calibrated(self._head_settings.fine_tuned, prior)

    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: SyntheticTexts | None = None,
    ) -> Self:
        """Choose the head's hyper-parameters by cross-validation, and the recipe on one fold.

        Fine-tuning is tried on the other folds. With few synthetic texts it is chosen where it
        lowers the log loss of the held-out rows by more than a standard error: else the student
        that trains in seconds is the better guess. With more synthetic texts than rows fine-tuning
        is the better guess: it won on each of seven data sets (docs/results.md), so it is chosen
        unless the loss is higher. The same rows calibrate it.
        """
        super().tune(texts, labels, seed=seed, synthetic=synthetic)
        if self._given_recipe != "frozen":
            texts, labels, _ = usable_rows(texts, labels, self.classes)
            self._try_fine_tuning(texts, labels, seed, synthetic or SyntheticTexts.none(len(texts)))
        return self

    def _try_fine_tuning(
        self, texts: Sequence[str], labels: Sequence[str], seed: int, synthetic: SyntheticTexts
    ) -> None:
        """Calibrate fine-tuning on a held-out fold, and choose the recipe where none was given."""
        many = len(synthetic.texts) > len(texts)
        n_folds = min(_FEW_TRIAL_FOLDS if many else _TRIAL_FOLDS, len(labels))
        folds = stratified_folds(labels, n_folds, seed)
        split = hold_out(folds == 0, texts, labels, self.classes, synthetic)
        losses = {recipe: np.zeros(0) for recipe in ("frozen", "finetune")}
        if len(split.held_out) >= 2 and len(set(split.labels)) >= 2:
            weights = split.weights(synthetic, self.synthetic_weight)
            prior = log_prior(split.counts)
            held_out = [texts[i] for i in split.held_out.tolist()]
            settings = replace(self._head_settings, fine_tuned=Calibration())
            # Both are calibrated on these rows: else the frozen one would look worse.
            starts = {"frozen": 0.0, "finetune": settings.calibration.prior_weight}
            for recipe, start in starts.items():
                student = self._with(recipe=recipe, head=settings)
                student.fit(split.texts, split.labels, weights, split.counts)
                logits = student.logits(held_out)
                calibration = fit_calibration(logits, prior, split.gold, prior_weight=start)
                losses[recipe] = log_losses(calibration(logits, prior), split.gold)
            self._head_settings = replace(self._head_settings, fine_tuned=calibration)
        change = paired_change(losses["finetune"], losses["frozen"])
        if self._given_recipe == "auto":
            better = change.mean < 0 if many else change.is_improvement
            self._settings["recipe"] = "finetune" if better else "frozen"
        self.tuning = (
            f"{self.recipe}; fine-tuning changes the log loss of {len(split.held_out)} held-out "
            f"rows by {change.mean:+.3f} ± {change.error:.3f}"
        )

    def proxy(self) -> EncoderStudent:
        """The head on frozen features: it judges rows as well, and trains in seconds."""
        return self._with(recipe="frozen")

    def clone(self) -> Self:
        """See `Student.clone`."""
        copy = super().clone()
        copy._given_recipe = self._given_recipe
        return copy

    def reseeded(self, seed: int) -> Self | None:
        """See `Student.reseeded`: the order of rows and dropout are random in fine-tuning."""
        if self.recipe != "finetune":
            return None
        copy = self.clone()
        copy._settings["seed"] = seed
        return copy

    def _with(self, **changes: Any) -> EncoderStudent:
        """An unfitted student with other settings."""
        settings = {**self._settings, "head": self._head_settings, **changes}
        return type(self)(self.classes, **settings)

    @property
    def recipe(self) -> Recipe:
        """How it is trained: as given, or as `tune` chose."""
        recipe: Recipe = self._settings["recipe"]
        return recipe

    @property
    def encoder(self) -> Encoder:
        """The encoder that it predicts with: the fine-tuned one, or the pretrained one."""
        return self._encoder or self._pretrained()

    def forget(self) -> None:
        """See `Student.forget`."""
        self.encoder.forget()

    def _training_features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._pretrained().features(texts)

    def _features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.encoder.features(texts)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        super().save(folder)
        self.encoder.save(folder / _FOLDER)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        student = super().load(folder)
        student._encoder = student._load_encoder(subfolder(folder, _FOLDER))
        return student

    def _pretrained(self) -> Encoder:
        """The pretrained encoder that every training starts from."""
        if self._settings["threads"] is not None:
            torch = require("torch", extra="train", job="The encoder student")
            torch.set_num_threads(self._settings["threads"])
        return self._load_encoder(self._settings["encoder"])

    def _load_encoder(self, source: str) -> Encoder:
        if self._device is None:
            self._device = find_device(self._settings["device"], self._settings["precision"])
        return load_encoder(source, self._settings["max_length"], self._device)


def fine_tune_classes(
    encoder: Encoder,
    head: Head,
    texts: Sequence[Any],
    gold: NDArray[Any],
    weights: NDArray[np.float64],
    *,
    seed: int,
    recipe: FineTuning | None = None,
) -> tuple[Encoder, Head]:
    """`fine_tune` for classes that exclude each other, by cross-entropy.

    Args:
        encoder: where training starts; it is not changed.
        head: where training starts.
        texts: n texts, or pairs of texts that are read as one.
        gold: shape (n,), class indices; or (n, n_classes), the share of each class.
        weights: shape (n,), of each row's loss.
        seed: of the order of the rows and of dropout.
        recipe: how long and how fast.
    """
    from torch.nn.functional import cross_entropy

    seen = np.flatnonzero(~np.isneginf(head.bias))  # classes without rows have nothing to learn
    column = np.full(len(head.bias), -1)
    column[seen] = np.arange(len(seen))
    targets = column[gold] if gold.ndim == 1 else gold[:, seen].astype(np.float32)
    trained, found = fine_tune(
        encoder,
        Head(head.weights[seen], head.bias[seen]),
        partial(cross_entropy, reduction="none"),
        texts,
        targets,
        weights,
        seed=seed,
        recipe=recipe,
    )
    new, bias = np.zeros_like(head.weights), np.full_like(head.bias, -np.inf)
    new[seen], bias[seen] = found.weights, found.bias
    return trained, Head(new, bias)
