"""A linear head whose classes are related before a row is seen, as those of one branch are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.encoders.head import Head

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.head import HeadSettings

_SOLVER = {"maxiter": 2000, "maxfun": 4000, "gtol": 1e-4, "ftol": 1e-12}  # scikit-learn's


def fit_correlated_head(
    features: Any,
    gold: NDArray[np.int64],
    covariance: NDArray[np.float64],
    settings: HeadSettings,
    sample_weight: NDArray[np.float64],
) -> Head:
    """Fit multinomial logistic regression whose classes have weights that are alike a priori.

    Args:
        features: shape (n, n_features), dense or sparse.
        gold: shape (n,), column of each row's class.
        covariance: shape (n_classes, n_classes), of the Gaussian prior of the classes' weights; the
            identity is the L2 penalty of `fit_head`.
        settings: hyper-parameters; the calibration is not applied.
        sample_weight: shape (n,).
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    seen, column = np.unique(gold, return_inverse=True)
    mass, rows = np.bincount(column, sample_weight), np.arange(len(gold))
    weights, width = sample_weight, features.shape[1]
    if settings.class_weight == "balanced":
        weights = weights * (mass.sum() / len(seen) / mass)[column]
    total = weights.sum()
    # Weights are this factor times independent ones, which the solver looks for.
    mix = np.linalg.cholesky(covariance[np.ix_(seen, seen)])

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        own, bias = values[: -len(seen)].reshape(len(seen), width), values[-len(seen) :]
        logits = features @ (mix @ own).T.astype(features.dtype) + bias
        logits -= logits.max(axis=1, keepdims=True)
        losses = np.log(np.exp(logits).sum(axis=1)) - logits[rows, column]
        errors = np.exp(logits - (losses + logits[rows, column])[:, None])
        errors[rows, column] -= 1
        errors *= weights[:, None] / total
        slope = mix.T @ (errors.T.astype(features.dtype) @ features) + own / settings.C / total
        value = (weights @ losses + (own**2).sum() / 2 / settings.C) / total
        return float(value), np.concatenate([slope.ravel(), errors.sum(axis=0)])

    start = np.zeros(len(seen) * (width + 1))
    with threadpool_limits(limits=1):  # as in `fit_head`
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options=_SOLVER).x
        own = mix @ found[: -len(seen)].reshape(len(seen), width)
    head = Head(np.zeros((len(covariance), width)), np.full(len(covariance), -np.inf))
    head.weights[seen], head.bias[seen] = own, found[-len(seen) :]
    return head
