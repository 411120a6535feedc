"""A calibrated linear head: multinomial logistic regression over all classes of a task.

scikit-learn fits it; the result is two arrays, which predict without it and need no pickle.

A head with a strong L2 penalty ranks classes well and is far too unsure; one that was fitted to
balanced classes ignores how common they are. Two numbers correct both: logits are divided by a
temperature (Guo et al., ICML 2017), and a share of the log class frequency is added (the logit
adjustment of Menon et al., ICLR 2021, with a fitted weight). Both are fitted on held-out rows, so
that candidates are compared by log loss at their best, not by how sure they happen to be.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.head import Calibration, Head
from pgkd.tasks.classification.data.examples import label_indices

_MAX_ITER = 2000
_RIDGE = 0.5  # rows' worth of pull towards the start: few rows say little
_BOUND = 5.0  # of the log temperature, and of the prior's weight


def fit_calibration(
    logits: NDArray[np.float64],
    log_prior: NDArray[np.float64],
    gold: NDArray[np.int64],
    *,
    prior_weight: float = 0.0,
) -> Calibration:
    """The calibration with the lowest log loss on held-out rows.

    Args:
        logits: shape (n, n_classes); -inf for a class that had no training row.
        log_prior: of the rows that each row's logits were fitted to; shape (n, n_classes), or
            (n_classes,) where they are the same for all.
        gold: shape (n,), column of each row's class; its logit is finite.
        prior_weight: where the fit of the prior's weight starts.
    """
    from scipy.optimize import minimize

    def loss(values: NDArray[np.float64]) -> float:
        found = Calibration(float(np.exp(values[0])), float(values[1]))
        mean = log_losses(found(logits, log_prior), gold).mean()
        return float(mean + _RIDGE / len(gold) * ((values - start) ** 2).sum())

    start = np.array([0.0, prior_weight])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-_BOUND, _BOUND)] * 2).x
    return Calibration(float(np.exp(found[0])), float(found[1]))


def log_losses(logits: NDArray[np.float64], gold: NDArray[np.int64]) -> NDArray[np.float64]:
    """The log loss of each row, shape (n,), in nats."""
    logits = logits - logits.max(axis=1, keepdims=True)
    losses: NDArray[np.float64] = np.log(np.exp(logits).sum(axis=1))
    return losses - logits[np.arange(len(gold)), gold]


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """Hyper-parameters, by scikit-learn's names.

    Attributes:
        C: inverse strength of the L2 penalty.
        class_weight: ``"balanced"`` weighs a row by the rarity of its class.
        calibration: of the logits, fitted on held-out rows.
        fine_tuned: the same for a head that was trained together with its encoder.
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
            TypeError: there is a value too many, or of the wrong type.
        """
        names = ("calibration", "fine_tuned")
        return cls(**{**data, **{name: Calibration(**data[name]) for name in names}})


DEFAULT_SETTINGS = HeadSettings(C=30.0)


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
        sample_weight: shape (n,).
        prior: shape (n_classes,), the `log_prior` for the calibration; None counts the rows.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    gold = label_indices(labels, classes)
    # One thread: the last digit of a sum over several depends on the number of cores.
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        model = LogisticRegression(
            C=settings.C, class_weight=settings.class_weight, max_iter=_MAX_ITER
        )
        model.fit(features, gold, sample_weight)
    weights = np.zeros((len(classes), features.shape[1]))
    bias = np.full(len(classes), -np.inf)
    if len(model.classes_) == 2:  # scikit-learn has one row of weights for two classes
        signs = np.array([-1.0, 1.0])
        weights[model.classes_] = signs[:, None] * model.coef_ / 2
        bias[model.classes_] = signs * model.intercept_ / 2
    else:
        weights[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
    if prior is None:
        prior = log_prior(np.bincount(gold, sample_weight, minlength=len(classes)))
    return Head(weights, bias).calibrated(settings.calibration, prior)


def log_prior(counts: NDArray[Any]) -> NDArray[np.float64]:
    """Log share of each class, shape (n_classes,), from the number or weight of its rows.

    Half a row is added to each class (Krichevsky & Trofimov, 1981) for the rows that a small sample
    happens to lack.
    """
    mass = counts + 0.5
    prior: NDArray[np.float64] = np.log(mass / mass.sum())
    return prior
