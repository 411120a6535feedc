"""The baseline: TF-IDF of words and character n-grams with logistic regression."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.head import Head
from pgkd.errors import StudentError
from pgkd.tasks.classification.students.head import (
    DEFAULT_SETTINGS,
    HeadSettings,
)
from pgkd.tasks.classification.students.head_student import HeadStudent

_MANY_CLASSES = 32  # with fewer, fitting in the space of terms is fast enough
_MAX_ROWS = 8_000  # their Gram matrix takes 512 MB
_JITTER = 1e-9  # of a row's squared length of about 2
_VECTORIZERS: dict[str, dict[str, Any]] = {
    "words": {"analyzer": "word", "ngram_range": (1, 2)},
    "characters": {"analyzer": "char_wb", "ngram_range": (2, 4)},
}


class LinearStudent(HeadStudent):
    """Fits in a second, needs no weights, and is hard to beat on long texts.

    Args:
        classes: class names in column order.
        seed: unused; every student takes one.
        head: hyper-parameters of the head; `tune` chooses them.
    """

    kind: ClassVar[str] = "linear"
    strengths = (3.0, 30.0, 300.0)

    def __init__(
        self, classes: Sequence[str], *, seed: int = 0, head: HeadSettings = DEFAULT_SETTINGS
    ) -> None:
        super().__init__(classes, head, seed=seed)
        self._vectorizers: list[Any] = []

    def features(self, texts: Sequence[str]) -> None:
        """None: its features are sparse."""

    def _features(self, texts: Sequence[str]) -> Any:
        return _transform(self._vectorizers, texts)

    def _split_features(self, training: Sequence[str], held_out: Sequence[str]) -> tuple[Any, Any]:
        vectorizers = _fit_vectorizers(training)
        features, others = _transform(vectorizers, training), _transform(vectorizers, held_out)
        if not self._is_wide(features):
            return features, others
        space = _RowSpace(features)
        return space.rows, space.project(others)

    def _train(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        weights: NDArray[np.float64],
        prior: NDArray[np.float64],
    ) -> Head:
        self._vectorizers = _fit_vectorizers(texts)
        features = self._features(texts)
        space = _RowSpace(features) if self._is_wide(features) else None
        rows = features if space is None else space.rows
        head = self._fit_head(rows, labels, self.classes, self._head_settings, weights, prior)
        return head if space is None else Head(space.term_weights(head.weights), head.bias)

    def _is_wide(self, features: Any) -> bool:
        """Whether a head is fitted faster in the space of the rows."""
        n, width = features.shape
        return len(self.classes) >= _MANY_CLASSES and 2 * n < width and n <= _MAX_ROWS

    def _state(self) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        terms = [each.get_feature_names_out().tolist() for each in self._vectorizers]
        idf = {f"idf_{n}": v.idf_ for n, v in zip(_VECTORIZERS, self._vectorizers, strict=True)}
        return {"vocabularies": terms}, idf

    def _restore(self, data: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        for (name, settings), terms in zip(_VECTORIZERS.items(), data["vocabularies"], strict=True):
            vectorizer = TfidfVectorizer(**settings, sublinear_tf=True, vocabulary=terms)
            vectorizer.idf_ = arrays[f"idf_{name}"]
            self._vectorizers.append(vectorizer)


def _fit_vectorizers(texts: Sequence[str]) -> list[Any]:
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        return [
            TfidfVectorizer(**settings, sublinear_tf=True).fit(texts)
            for settings in _VECTORIZERS.values()
        ]
    except ValueError as error:
        raise StudentError(f"The texts have nothing to learn from: {error}") from error


def _transform(vectorizers: Sequence[Any], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([each.transform(texts) for each in vectorizers], format="csr")


class _RowSpace:
    """Rows in an orthonormal basis of the space that they span.

    Weights with an L2 penalty are in the span of the rows. So a head in as many dimensions as there
    are rows, instead of terms, is the same head: a rotation changes no product of two vectors, and
    thus neither loss nor penalty nor a step of the solver. With hundreds of classes the solver's
    vectors, classes times terms, take most of the time and memory.

    Attributes:
        rows: the training rows in the new basis, shape (n, n): the Cholesky factor of their Gram
            matrix, in single precision, which halves the solver's time.
    """

    def __init__(self, features: Any) -> None:
        from scipy.linalg import cholesky
        from threadpoolctl import threadpool_limits

        self._features = features
        gram = (features @ features.T).toarray()
        # Else repeated or empty rows would have no axis of their own.
        gram[np.diag_indices_from(gram)] += _JITTER
        with threadpool_limits(limits=1):  # as in `fit_head`
            self._factor: NDArray[np.float64] = cholesky(gram, lower=True, overwrite_a=True)
        self.rows = self._factor.astype(np.float32)

    def project(self, features: Any) -> NDArray[np.float64]:
        """Other rows in the new basis; weights never meet their part outside of the span."""
        return self._solve((self._features @ features.T).toarray(), transposed=False).T

    def term_weights(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of terms, shape (n_classes, n_terms), from weights in the new basis."""
        solved = self._solve(weights.T, transposed=True)
        return np.asarray((self._features.T @ solved).T)

    def _solve(self, right: NDArray[np.float64], *, transposed: bool) -> NDArray[np.float64]:
        from scipy.linalg import solve_triangular
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            solved: NDArray[np.float64] = solve_triangular(
                self._factor, right, lower=True, trans=int(transposed)
            )
        return solved
