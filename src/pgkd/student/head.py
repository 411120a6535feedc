"""Multinomial logistic regression over all classes of a task, seen or not.

The linear head of both students. scikit-learn fits it; what is kept are two arrays, which predict
without it and are saved without a pickle.
"""

from __future__ import annotations

import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

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
    """

    C: float
    class_weight: Literal["balanced"] | None = None

    def row_weights(
        self, labels: Sequence[str], sample_weight: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What `class_weight` makes of the rows, shape (n,): factors of their weights."""
        if self.class_weight is None:
            return np.ones(len(labels))
        names, column = np.unique(np.array(labels, dtype=object), return_inverse=True)
        of_class = np.bincount(column, weights=sample_weight, minlength=len(names))
        factors: NDArray[np.float64] = sample_weight.sum() / (len(names) * of_class)
        return factors[column]

    def to_json(self) -> dict[str, Any]:
        """Plain data, the keyword arguments of the constructor."""
        return asdict(self)


def grid(*strengths: float) -> tuple[HeadSettings, ...]:
    """Each C, unbalanced before balanced: from simple to complex where C rises."""
    return tuple(HeadSettings(C, weight) for C in strengths for weight in (None, "balanced"))


@dataclass(frozen=True)
class Head:
    """A fitted head.

    Attributes:
        weights: shape (n_classes, n_features).
        bias: shape (n_classes,); -inf where a class had no row.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def predict_proba(self, features: Any) -> NDArray[np.float64]:
        """Class probabilities of features, dense or sparse, shape (n, n_classes)."""
        logits = np.asarray(features @ self.weights.T) + self.bias
        logits -= logits.max(axis=1, keepdims=True)
        probabilities = np.exp(logits)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        unseen = np.isneginf(self.bias)
        if unseen.any():
            probabilities *= 1 - _UNSEEN * unseen.sum()
            probabilities[:, unseen] = _UNSEEN
        return probabilities


def fit_head(
    features: Any,
    labels: Sequence[str],
    classes: Sequence[str],
    settings: HeadSettings,
    sample_weight: NDArray[np.float64] | None = None,
) -> Head:
    """Fit multinomial logistic regression (lbfgs).

    Args:
        features: shape (n, n_features), dense or sparse.
        labels: n class names.
        classes: class names in column order.
        settings: hyper-parameters.
        sample_weight: shape (n,), or None.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    index = {name: i for i, name in enumerate(classes)}
    gold = np.array([index[label] for label in labels])
    # One thread: sums over several depend on how many cores there are, in the last digit.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = LogisticRegression(**settings.to_json(), max_iter=_MAX_ITER)
        model.fit(features, gold, sample_weight)
    weights = np.zeros((len(classes), features.shape[1]))
    bias = np.full(len(classes), -np.inf)
    if len(model.classes_) == 2:  # scikit-learn keeps one row of weights for two classes
        first, second = model.classes_
        weights[first], weights[second] = -model.coef_[0] / 2, model.coef_[0] / 2
        bias[first], bias[second] = -model.intercept_[0] / 2, model.intercept_[0] / 2
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    return Head(weights, bias)


def tune_head(
    candidates: Sequence[HeadSettings],
    features_of: Callable[[NDArray[np.int64], NDArray[np.int64]], tuple[Any, Any]],
    labels: Sequence[str],
    classes: Sequence[str],
    *,
    seed: int,
) -> HeadSettings:
    """Choose hyper-parameters by stratified cross-validation, see `simplest`.

    Args:
        candidates: what to choose from, the simplest first.
        features_of: gives the features of training rows and of held-out rows, by their indices.
            Whatever is fitted to make them has to be fitted on the training rows alone.
        labels: n class names.
        classes: class names in column order.
        seed: of the folds.
    """
    from pgkd.task.splitting import stratified_folds

    index = {name: i for i, name in enumerate(classes)}
    gold = np.array([index[label] for label in labels])
    folds = stratified_folds(labels, min(_FOLDS, len(labels)), seed)
    losses = np.full((len(candidates), len(labels)), np.nan)
    for fold in np.unique(folds):
        training, held = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        held = held[np.isin(gold[held], gold[training])]  # an unseen class says nothing here
        if len(set(gold[training])) < 2 or not len(held):
            continue
        known = [labels[i] for i in training.tolist()]
        seen, unseen = features_of(training, held)
        for i, settings in enumerate(candidates):
            given = fit_head(seen, known, classes, settings).predict_proba(unseen)
            losses[i, held] = -np.log(given[np.arange(len(held)), gold[held]])
    return candidates[simplest(losses[:, ~np.isnan(losses[0])])]


def simplest(losses: NDArray[np.float64], *, margin: float = 1.0) -> int:
    """The simplest candidate that cannot be told from the best (Breiman et al., CART, 1984).

    Log losses, for they use all of a prediction: accuracy on a few hundred rows cannot tell the
    candidates apart. The standard error is that of the paired differences: rows are hard or easy
    for all candidates alike. Without it class balancing wins by a hair where it costs accuracy.

    Args:
        losses: shape (n_candidates, n_rows), candidates from simple to complex.
        margin: standard errors within which a candidate cannot be told from the best.

    Returns:
        Its row. Without two rows to judge by, the candidate in the middle.
    """
    n = losses.shape[1]
    if n < 2:
        return len(losses) // 2
    best = int(losses.mean(axis=1).argmin())
    excess = losses - losses[best]
    error = excess.std(axis=1, ddof=1) / np.sqrt(n)
    return int((excess.mean(axis=1) <= margin * error).argmax())
