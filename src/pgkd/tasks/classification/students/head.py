"""Multinomial logistic regression over all classes of a task, seen or not.

The linear head of both students. scikit-learn fits it; what is kept are two arrays, which predict
without it and are saved without a pickle.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from pgkd.tasks.classification.data.examples import columns_of
from pgkd.tasks.classification.students.calibration import Calibration, fit_calibration, log_losses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

_UNSEEN = 1e-5  # probability of a class without rows: no row of it can be predicted, or divide by 0
_MAX_ITER = 2000
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """Hyper-parameters, by scikit-learn's names.

    Attributes:
        C: inverse strength of the L2 penalty.
        class_weight: ``"balanced"`` weighs a row by the rarity of its class.
        calibration: of the logits, fitted on held-out rows.
        fine_tuned: the same for the logits of a head that was trained on together with its encoder.
    """

    C: float
    class_weight: Literal["balanced"] | None = None
    calibration: Calibration = field(default_factory=Calibration)
    fine_tuned: Calibration = field(default_factory=Calibration)

    def to_json(self) -> dict[str, Any]:
        """Plain data, as `from_json` takes it."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The settings that `to_json` wrote.

        Raises:
            KeyError: a value is missing.
            TypeError: there is a value too many, or not of its type.
        """
        calibrations = {
            "calibration": Calibration(**data["calibration"]),
            "fine_tuned": Calibration(**data["fine_tuned"]),
        }
        return cls(**{**data, **calibrations})


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        weights: shape (n_classes, n_features).
        bias: shape (n_classes,); -inf where a class had no row.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: Any) -> NDArray[np.float64]:
        """Unnormalized log probabilities of features, dense or sparse, shape (n, n_classes)."""
        logits: NDArray[np.float64] = np.asarray(features @ self.weights.T) + self.bias
        return logits

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        """Class probabilities of features, dense or sparse, shape (n, n_classes)."""
        logits = self.logits(features)
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        unseen = np.isneginf(self.bias)
        if unseen.any():
            probabilities *= 1 - _UNSEEN * unseen.sum()
            probabilities[:, unseen] = _UNSEEN
        return probabilities

    def calibrated(self, calibration: Calibration, prior: NDArray[np.float64]) -> Head:
        """The head whose logits are this one's, calibrated.

        Args:
            calibration: what is done to the logits.
            prior: shape (n_classes,), `log_prior` of the rows that it was fitted to.
        """
        return Head(self.weights / calibration.temperature, calibration(self.bias, prior))


def fit_head(
    features: Any,
    labels: Sequence[str],
    classes: Sequence[str],
    settings: HeadSettings,
    sample_weight: NDArray[np.float64] | None = None,
    prior: NDArray[np.float64] | None = None,
) -> Head:
    """Fit multinomial logistic regression (lbfgs), and calibrate it as the settings say.

    Args:
        features: shape (n, n_features), dense or sparse.
        labels: n class names.
        classes: class names in column order.
        settings: hyper-parameters.
        sample_weight: shape (n,), or None.
        prior: shape (n_classes,), the `log_prior` that the calibration adds a share of; None
            counts the rows.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    gold = columns_of(labels, classes)
    # One thread: sums over several depend on how many cores there are, in the last digit.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = LogisticRegression(
            C=settings.C, class_weight=settings.class_weight, max_iter=_MAX_ITER
        )
        model.fit(features, gold, sample_weight)
    weights = np.zeros((len(classes), features.shape[1]))
    bias = np.full(len(classes), -np.inf)
    if len(model.classes_) == 2:  # scikit-learn keeps one row of weights for two classes
        first, second = model.classes_
        weights[first], weights[second] = -model.coef_[0] / 2, model.coef_[0] / 2
        bias[first], bias[second] = -model.intercept_[0] / 2, model.intercept_[0] / 2
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    if prior is None:
        prior = log_prior(gold, len(classes), sample_weight)
    return Head(weights, bias).calibrated(settings.calibration, prior)


def log_prior(
    gold: NDArray[np.int64], n_classes: int, sample_weight: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Log share of each class in the rows, shape (n_classes,), with half a row of each class added.

    The half (Krichevsky & Trofimov, 1981) stands for the rows that a small sample happens to lack.
    """
    mass = np.bincount(gold, weights=sample_weight, minlength=n_classes) + 0.5
    prior: NDArray[np.float64] = np.log(mass / mass.sum())
    return prior


@dataclass(frozen=True)
class Synthetic:
    """Texts that an LLM wrote, as they take part in tuning: they train, and are never judged by.

    Attributes:
        texts: m texts.
        labels: their classes.
        weights: shape (m,), what each weighs against the others.
        scaled: shape (m,), False for texts that weigh `weights`, whatever is chosen.
        candidates: weights to choose from, each a factor of `weights`; the first one is kept unless
            another is better by more than a standard error.
        hidden: shape (n_rows, m); a fold that holds out the row may not train on the text.
    """

    texts: Sequence[str]
    labels: Sequence[str]
    weights: NDArray[np.float64]
    scaled: NDArray[np.bool_]
    candidates: Sequence[float]
    hidden: NDArray[np.bool_]

    def weighted(self, weight: float) -> NDArray[np.float64]:
        """Sample weights at a candidate, shape (m,)."""
        return np.asarray(self.weights * np.where(self.scaled, weight, 1.0))


@dataclass(frozen=True)
class _Fold:
    """One fold: features and columns of what trains and of what is held out."""

    training: Any
    labels: list[str]
    rows: int  # of the user among them, which come first
    visible: NDArray[np.int64]  # of the synthetic texts
    held: Any
    gold: NDArray[np.int64]
    prior: NDArray[np.float64]


def tune_head(
    strengths: Sequence[float],
    features_of: Callable[[Sequence[str], Sequence[str]], tuple[Any, Any]],
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
    synthetic: Synthetic | None = None,
) -> tuple[HeadSettings, float]:
    """Choose C, and the weight of synthetic texts, by stratified cross-validation over the rows.

    Log losses after calibration, for they use all of a prediction and compare candidates at their
    best: before it, a C that is too large wins because it is surer. Accuracy on a few hundred rows
    cannot tell the candidates apart. Classes are balanced, which costs no accuracy where the
    calibration knows how common they are. The weight is chosen first, at the C in the middle.

    Args:
        strengths: values of C to choose from, in rising order.
        features_of: gives the features of texts to train on and of texts held out. Whatever is
            fitted to make them has to be fitted on the former alone.
        texts: n texts of the user.
        labels: their class names.
        classes: class names in column order.
        seed: of the folds.
        synthetic: texts that train beside them.

    Returns:
        The settings with the lowest loss, and the weight of synthetic texts. With nothing to judge
        by, the C in the middle, no calibration and the first weight.
    """
    middle = strengths[len(strengths) // 2]
    weights = synthetic.candidates if synthetic is not None else (1.0,)
    folds = list(_folds(features_of, texts, labels, classes, seed, synthetic))
    if not folds:
        return HeadSettings(middle, "balanced"), weights[0]
    gold = np.concatenate([fold.gold for fold in folds])
    prior = np.concatenate([np.tile(fold.prior, (len(fold.gold), 1)) for fold in folds])

    def judged(strength: float, weight: float) -> tuple[NDArray[np.float64], HeadSettings]:
        settings = HeadSettings(strength, "balanced")
        logits = []
        for fold in folds:
            mass = np.ones(len(fold.labels))
            if synthetic is not None:
                mass[fold.rows :] = synthetic.weighted(weight)[fold.visible]
            # As strong a penalty a row as with all rows: else the full head is surer than these.
            share = (len(texts) + mass[fold.rows :].sum()) / mass.sum()
            scaled = replace(settings, C=strength * share)
            logits.append(
                fit_head(fold.training, fold.labels, classes, scaled, mass).logits(fold.held)
            )
        raw = np.concatenate(logits)
        calibration = fit_calibration(raw, prior, gold)
        losses = log_losses(calibration(raw, prior), gold)
        return losses, replace(settings, calibration=calibration)

    first, weight = judged(middle, weights[0])[0], weights[0]
    for candidate in weights[1:]:
        change = judged(middle, candidate)[0] - first
        if change.mean() < -change.std(ddof=1) / np.sqrt(len(change)):
            first, weight = first + change, candidate
    tried = [judged(strength, weight) for strength in strengths]
    return min(tried, key=lambda pair: float(pair[0].mean()))[1], weight


def _folds(
    features_of: Callable[[Sequence[str], Sequence[str]], tuple[Any, Any]],
    texts: Sequence[str],
    labels: Sequence[str],
    classes: Sequence[str],
    seed: int,
    synthetic: Synthetic | None,
) -> Iterator[_Fold]:
    from pgkd.tasks.classification.data.dataset import stratified_folds

    gold = columns_of(labels, classes)
    folds = stratified_folds(labels, min(_FOLDS, len(labels)), seed)
    extra = len(synthetic.texts) if synthetic is not None else 0
    for number in np.unique(folds):
        training, held = np.flatnonzero(folds != number), np.flatnonzero(folds == number)
        visible = np.arange(extra)
        if synthetic is not None:
            visible = np.flatnonzero(~synthetic.hidden[held].any(axis=0))
        known = [labels[i] for i in training.tolist()]
        seen = [texts[i] for i in training.tolist()]
        if synthetic is not None:
            known += [synthetic.labels[i] for i in visible.tolist()]
            seen += [synthetic.texts[i] for i in visible.tolist()]
        # A class that nothing is left of says nothing here.
        held = held[np.isin(gold[held], columns_of(known, classes))]
        if len(set(known)) < 2 or not len(held):
            continue
        features, unseen = features_of(seen, [texts[i] for i in held.tolist()])
        prior = log_prior(gold[training], len(classes))
        yield _Fold(features, known, len(training), visible, unseen, gold[held], prior)
