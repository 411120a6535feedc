"""The default student: a transformer encoder with a linear head.

Frozen mean-pooled features under logistic regression retrain in seconds, for features of a text are
computed once. Where the classes are not what the encoder was pretrained to tell apart, training all
of it is worth its minutes: twelve points on the kinds of questions in trec6, three on the topics of
stackoverflow20 (docs/results.md). Which of the two a task is, rows that were held out say.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.tasks.classification.data.dataset import stratified_folds
from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.students.calibration import Calibration, fit_calibration, log_losses
from pgkd.tasks.classification.students.checks import usable_rows
from pgkd.tasks.classification.students.devices import Place, Precision, check_names, place_of
from pgkd.tasks.classification.students.encoders import load_encoder, save_encoder
from pgkd.tasks.classification.students.finetune import fine_tune
from pgkd.tasks.classification.students.frozen import FrozenStudent
from pgkd.tasks.classification.students.head import Head, HeadSettings, fit_head, log_prior
from pgkd.weights.pins import DEFAULT_STUDENT

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.features import Encoder
    from pgkd.tasks.classification.students.head import Synthetic

Recipe = Literal["auto", "frozen", "finetune"]

_DEFAULT = HeadSettings(C=30.0)
_FOLDER = "encoder"
_RECIPES = ("auto", "frozen", "finetune")
_TRIED: tuple[Recipe, ...] = ("frozen", "finetune")
_TRIAL_FOLDS = 4  # one of them is held out to try fine-tuning on
_FEWER_FOLDS = 2  # the same beside many texts, which train it whatever is held out


class EncoderStudent(FrozenStudent):
    """An encoder under logistic regression.

    Args:
        classes: class names in column order.
        seed: of fine-tuning.
        encoder: weights by name, hub name, or a folder.
        recipe: ``"frozen"`` trains a head on frozen features; ``"finetune"`` then trains all;
            ``"auto"`` lets `tune` choose, and is ``"frozen"`` until it has.
        max_length: tokens of a text that are read.
        threads: CPU threads of torch, for the whole process; None leaves torch's own choice.
        device: ``"auto"`` takes what Accelerate finds; else ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or
            ``"mps"``. That it is here is looked at when the encoder is first used.
        precision: of the steps of fine-tuning: ``"fp32"``, ``"bf16"``, or ``"auto"``, which is bf16
            on a CUDA device that computes with it. Features are always computed in fp32.
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
        head: HeadSettings = _DEFAULT,
    ) -> None:
        if recipe not in _RECIPES:
            raise StudentError(f"There is no recipe '{recipe}'. There are: {', '.join(_RECIPES)}.")
        check_names(device, precision)
        super().__init__(
            classes, head, seed=seed, encoder=encoder, recipe=recipe, max_length=max_length,
            threads=threads, device=device, precision=precision,
        )  # fmt: skip
        self._wanted = recipe  # as given; the recipe itself is what `tune` made of it
        self._place: Place | None = None  # looked up when first used: that imports torch
        self._encoder: Encoder | None = None  # of a fitted student; None takes the pretrained one

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
        # Without the prior, which training would unlearn: it is added to what comes out.
        plain = replace(self._head_settings.calibration, prior_weight=0.0)
        settings = replace(self._head_settings, calibration=plain)
        features = self._frozen_features(texts)
        head = fit_head(features, labels, self.classes, settings, weights, prior)
        gold = columns_of(labels, self.classes)
        seed = self._settings["seed"]
        self._encoder, head = fine_tune(self._encoder, head, texts, gold, weights, seed=seed)
        return head.calibrated(self._head_settings.fine_tuned, prior)

    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: Synthetic | None = None,
    ) -> Self:
        """Choose the head's hyper-parameters by cross-validation, and the recipe by one fold.

        Fine-tuning is tried on the other folds. On the user's rows alone it is chosen where it
        lowers the log loss of the rows held out by more than a standard error: else the student
        that trains in seconds is the better guess (Breiman et al., CART, 1984). Beside more
        synthetic texts than rows it is the better guess itself: it won on each of seven sets
        (docs/results.md), so it is chosen unless the loss is higher. The same rows calibrate it.
        """
        super().tune(texts, labels, seed=seed, synthetic=synthetic)
        if self._wanted != "frozen":
            texts, labels, _ = usable_rows(texts, labels, self.classes)
            self._try_fine_tuning(texts, labels, seed, synthetic)
        return self

    def _try_fine_tuning(
        self, texts: Sequence[str], labels: Sequence[str], seed: int, synthetic: Synthetic | None
    ) -> None:
        """Calibrate fine-tuning on a held-out fold, and settle the recipe where it is open."""
        gold = columns_of(labels, self.classes)
        many = synthetic is not None and len(synthetic.texts) > len(texts)
        folds = stratified_folds(
            labels, min(_FEWER_FOLDS if many else _TRIAL_FOLDS, len(labels)), seed
        )
        training, held = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
        rows = [texts[i] for i in training.tolist()]
        known = [labels[i] for i in training.tolist()]
        weights = np.ones(len(rows))
        if synthetic is not None:
            visible = np.flatnonzero(~synthetic.hidden[held].any(axis=0)).tolist()
            rows += [synthetic.texts[i] for i in visible]
            known += [synthetic.labels[i] for i in visible]
            texts_weigh = synthetic.weighted(self.synthetic_weight)[visible]
            weights = np.concatenate([weights, texts_weigh])
        held = held[np.isin(gold[held], columns_of(known, self.classes))]
        change, error = 0.0, np.inf
        if len(held) >= 2 and len(set(known)) >= 2:
            counts = np.bincount(gold[training], minlength=len(self.classes)).astype(np.float64)
            prior = log_prior(gold[training], len(self.classes))
            unseen = [texts[i] for i in held.tolist()]
            losses = {}
            settings = replace(self._head_settings, fine_tuned=Calibration())
            for recipe in _TRIED:
                student = self._like(recipe, settings).fit(rows, known, weights, counts)
                logits = student.logits(unseen)
                # Both by these rows, else the one that was calibrated elsewhere looks worse.
                tuned = recipe == "finetune"
                calibration = fit_calibration(
                    logits, prior, gold[held],
                    prior_weight=settings.calibration.prior_weight if tuned else 0.0,
                )  # fmt: skip
                losses[recipe] = log_losses(calibration(logits, prior), gold[held])
            changes = losses["finetune"] - losses["frozen"]
            change, error = changes.mean(), changes.std(ddof=1) / np.sqrt(len(held))
            self._head_settings = replace(self._head_settings, fine_tuned=calibration)
        if self._wanted == "auto":
            better = change < 0 if many else change < -error
            self._settings["recipe"] = "finetune" if better else "frozen"
        self.tuning = (
            f"{self.recipe}; fine-tuning changes the log loss of {len(held)} rows held out by "
            f"{change:+.3f} ± {error:.3f}"
        )

    def probe(self) -> EncoderStudent:
        """The head on frozen features: as good a judge of rows, and trained in seconds."""
        return self._like("frozen", self._head_settings)

    def clone(self) -> Self:
        """See `Student.clone`."""
        copy = super().clone()
        copy._wanted = self._wanted
        return copy

    def reseeded(self, seed: int) -> Self | None:
        """See `Student.reseeded`: fine-tuning draws the order of rows, and dropout."""
        if self.recipe != "finetune":
            return None
        copy = self.clone()
        copy._settings["seed"] = seed
        return copy

    def _like(self, recipe: Recipe, head: HeadSettings) -> EncoderStudent:
        settings: dict[str, Any] = {**self._settings, "recipe": recipe}
        return EncoderStudent(self.classes, **settings, head=head)

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

    def _frozen_features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self._pretrained().features(texts)

    def _features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        return self.encoder.features(texts)

    def _save_source(self, folder: Path) -> None:
        save_encoder(self.encoder, folder / _FOLDER)

    def _load_source(self, folder: Path) -> None:
        if not (folder / _FOLDER).is_dir():  # else its path would be looked up on the hub
            raise StudentError(f"{folder} is damaged: it has no folder '{_FOLDER}'.")
        self._encoder = self._at_its_place(str(folder / _FOLDER))

    def _pretrained(self) -> Encoder:
        """The pretrained encoder that every training starts from."""
        if self._settings["threads"] is not None:
            torch = require("torch", extra="train", job="The encoder student")
            torch.set_num_threads(self._settings["threads"])
        return self._at_its_place(self._settings["encoder"])

    def _at_its_place(self, source: str) -> Encoder:
        if self._place is None:
            self._place = place_of(self._settings["device"], self._settings["precision"])
        return load_encoder(source, self._settings["max_length"], self._place)
