"""Multinomial logistic regression over all classes of a task, seen or not.

The linear head of both students. scikit-learn fits it; what is kept are two arrays, which predict
without it and are saved without a pickle.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from pgkd.student.calibration import Calibration, fit_calibration, log_losses
from pgkd.task.columns import columns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
            "fine_tuned": Calibration(**data.get("fine_tuned", {})),  # absent before 0.4
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
) -> Head:
    """Fit multinomial logistic regression (lbfgs), and calibrate it as the settings say.

    Args:
        features: shape (n, n_features), dense or sparse.
        labels: n class names.
        classes: class names in column order.
        settings: hyper-parameters.
        sample_weight: shape (n,), or None.
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
    prior = log_prior(gold, len(classes), sample_weight)
    return Head(weights, bias).calibrated(settings.calibration, prior)


def log_prior(
    gold: NDArray[np.int64], n_classes: int, sample_weight: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Log share of each class in the rows, shape (n_classes,); 0 where it has none.

    Zero, for such a class has a logit of -inf, which nothing may be added to.
    """
    mass = np.bincount(gold, weights=sample_weight, minlength=n_classes)
    return np.log(np.where(mass > 0, mass / mass.sum(), 1.0))


def tune_head(
    strengths: Sequence[float],
    features_of: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Any, Any]],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
) -> HeadSettings:
    """Choose C by stratified cross-validation, and calibrate by the same held-out rows.

    Log losses after calibration, for they use all of a prediction and compare candidates at their
    best: before it, a C that is too large wins because it is surer. Accuracy on a few hundred rows
    cannot tell the candidates apart. Classes are balanced, which costs no accuracy where the
    calibration knows how common they are.

    Args:
        strengths: values of C to choose from, in rising order.
        features_of: gives the features of training rows and of held-out rows, by their indices.
            Whatever is fitted to make them has to be fitted on the training rows alone.
        labels: n class names.
        classes: class names in column order.
        seed: of the folds.

    Returns:
        The settings with the lowest loss. With nothing to judge by, the C in the middle and no
        calibration.
    """
    from pgkd.task.splitting import stratified_folds

    candidates = [HeadSettings(C, "balanced") for C in strengths]
    gold = columns_of(labels, classes)
    folds = stratified_folds(labels, min(_FOLDS, len(labels)), seed)
    rows: list[NDArray[np.int64]] = []
    priors: list[NDArray[np.float64]] = []
    logits: list[list[NDArray[np.float64]]] = [[] for _ in candidates]
    for fold in np.unique(folds):
        training, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        held = held[np.isin(gold[held], gold[training])]  # an unseen class says nothing here
        if len(set(gold[training])) < 2 or not len(held):
            continue
        known = [labels[i] for i in training.tolist()]
        seen, unseen = features_of(training, held)
        rows.append(gold[held])
        priors.append(np.tile(log_prior(gold[training], len(classes)), (len(held), 1)))
        # As strong a penalty a row as with all rows: else the full head is surer than those judged.
        share = len(labels) / len(training)
        for candidate, found in zip(candidates, logits, strict=True):
            settings = replace(candidate, C=candidate.C * share)
            found.append(fit_head(seen, known, classes, settings).logits(unseen))
    if not rows:
        return candidates[len(candidates) // 2]
    judged, prior = np.concatenate(rows), np.concatenate(priors)
    tried: list[tuple[float, HeadSettings]] = []
    for candidate, found in zip(candidates, logits, strict=True):
        raw = np.concatenate(found)
        calibration = fit_calibration(raw, prior, judged)
        loss = float(log_losses(calibration(raw, prior), judged).mean())
        tried.append((loss, replace(candidate, calibration=calibration)))
    return min(tried, key=lambda pair: pair[0])[1]
