"""The baseline: TF-IDF of words and character n-grams with logistic regression."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from pgkd.errors import StudentError
from pgkd.tasks.classification.students import saving
from pgkd.tasks.classification.students.base import Student
from pgkd.tasks.classification.students.checks import check_classes, check_texts, usable_rows
from pgkd.tasks.classification.students.head import (
    Head,
    HeadSettings,
    fit_head,
    log_prior,
    tune_head,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.head import Synthetic

_STRENGTHS = (3.0, 30.0, 300.0)  # of C
_DEFAULT = HeadSettings(C=30.0)
_MANY_CLASSES = 32  # with fewer, terms are no burden
_MOST_TURNED = 8_000  # rows: their Gram matrix takes 512 MB
_JITTER = 1e-9  # of a row's squared length of about 2
_WORDS = {"analyzer": "word", "ngram_range": (1, 2)}
_CHARACTERS = {"analyzer": "char_wb", "ngram_range": (2, 4)}


class LinearStudent(Student):
    """Fits in a second, needs no weights, and is hard to beat on long texts.

    Args:
        classes: class names in column order.
        seed: unused; here because every student takes one.
        head: hyper-parameters of the head; `tune` chooses them.
    """

    kind: ClassVar[str] = "linear"

    def __init__(
        self, classes: Sequence[str], *, seed: int = 0, head: HeadSettings = _DEFAULT
    ) -> None:
        self.classes = check_classes(classes)
        self._seed = seed
        self._settings = head
        self._features: list[_TfIdf] = []
        self._head: Head | None = None

    def fit(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        sample_weight: NDArray[np.float64] | None = None,
        class_counts: NDArray[np.float64] | None = None,
    ) -> Self:
        """See `Student.fit`."""
        texts, labels, weights = usable_rows(texts, labels, self.classes, sample_weight)
        self._features = _fitted(texts)
        features = _transform(self._features, texts)
        prior = None
        if class_counts is not None:
            prior = log_prior(np.arange(len(self.classes)), len(self.classes), class_counts)
        turned = _turned(features, len(self.classes))
        rows = features if turned is None else turned.rows
        head = fit_head(rows, labels, self.classes, self._settings, weights, prior)
        self._head = head if turned is None else Head(turned.back(head.weights), head.bias)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.predict_proba`."""
        if self._head is None:
            raise StudentError("The student is not fitted yet: call fit first.")
        check_texts(texts)
        if not len(texts):
            return np.empty((0, len(self.classes)))
        return self._head.predict_proba(_transform(self._features, texts))

    def tune(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        seed: int,
        synthetic: Synthetic | None = None,
    ) -> Self:
        """Choose the head's hyper-parameters by cross-validation."""
        texts, labels, _ = usable_rows(texts, labels, self.classes)

        def features_of(seen: Sequence[str], held: Sequence[str]) -> tuple[Any, Any]:
            parts = _fitted(seen)
            known, unknown = _transform(parts, seen), _transform(parts, held)
            turned = _turned(known, len(self.classes))
            return (known, unknown) if turned is None else (turned.rows, turned.forth(unknown))

        self._settings, self.synthetic_weight = tune_head(
            _STRENGTHS, features_of, texts, labels, self.classes, seed=seed, synthetic=synthetic
        )
        return self

    def logits(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """See `Student.logits`."""
        if self._head is None:
            raise StudentError("The student is not fitted yet: call fit first.")
        return self._head.logits(_transform(self._features, texts))

    @property
    def head_settings(self) -> HeadSettings:
        """The hyper-parameters of the head, as given or as `tune` chose them."""
        return self._settings

    def clone(self) -> Self:
        """See `Student.clone`."""
        return type(self)(self.classes, seed=self._seed, head=self._settings)

    def save(self, folder: Path) -> None:
        """See `Student.save`."""
        if self._head is None:
            raise StudentError("The student is not fitted yet: there is nothing to save.")
        words, characters = self._features
        description = {
            "kind": self.kind,
            "classes": list(self.classes),
            "settings": {"seed": self._seed},
            "head": self._settings.to_json(),
            "vocabularies": [words.terms, characters.terms],
        }
        weights = {"weights": self._head.weights, "bias": self._head.bias}
        idf = {"idf_words": words.idf, "idf_characters": characters.idf}
        saving.write(folder, description, {**weights, **idf})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `Student.load`."""
        description, weights = saving.read(folder, cls.kind)
        try:
            head = HeadSettings.from_json(description["head"])
            student = cls(description["classes"], **description["settings"], head=head)
            terms = description["vocabularies"]
            student._features = [
                _TfIdf(_WORDS, terms[0], weights["idf_words"]),
                _TfIdf(_CHARACTERS, terms[1], weights["idf_characters"]),
            ]
            student._head = Head(weights["weights"], weights["bias"])
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise StudentError(f"{folder} is damaged: {error!r}") from error
        return student


def _fitted(texts: Sequence[str]) -> list[_TfIdf]:
    return [_TfIdf.fitted(settings, texts) for settings in (_WORDS, _CHARACTERS)]


def _transform(parts: Sequence[_TfIdf], texts: Sequence[str]) -> Any:
    from scipy.sparse import hstack

    return hstack([part.transform(texts) for part in parts], format="csr")


def _turned(features: Any, n_classes: int) -> _Turned | None:
    """The rows in axes of their own, where that makes fitting faster; else None."""
    n, width = features.shape
    if n_classes < _MANY_CLASSES or not 2 * n < width or n > _MOST_TURNED:
        return None
    return _Turned(features)


class _Turned:
    """Rows in an orthonormal basis of the space that they span.

    Weights with an L2 penalty lie in the span of the rows. So a head in as many dimensions as there
    are rows, and not as there are terms, is the same head: a rotation changes no product of two
    vectors, and thus neither loss nor penalty nor a step of the solver. With hundreds of classes
    the solver's vectors, classes times terms, are what takes the time and the memory.

    Attributes:
        rows: the training rows in the new axes, shape (n, n): the Cholesky factor of their Gram
            matrix, in single precision, which halves the solver's time.
    """

    def __init__(self, features: Any) -> None:
        from scipy.linalg import cholesky
        from threadpoolctl import threadpool_limits

        self._features = features
        gram = (features @ features.T).toarray()
        # Repeated or empty rows would have no axis of their own.
        gram[np.diag_indices_from(gram)] += _JITTER
        with threadpool_limits(limits=1):  # as in `fit_head`
            self._factor: NDArray[np.float64] = cholesky(gram, lower=True, overwrite_a=True)
        self.rows = self._factor.astype(np.float32)

    def forth(self, features: Any) -> NDArray[np.float64]:
        """Other rows in the new axes; what they have outside of the span meets no weight."""
        return self._solved((self._features @ features.T).toarray(), transposed=False).T

    def back(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Weights of terms, shape (n_classes, n_terms), from those of the new axes."""
        solved = self._solved(weights.T, transposed=True)
        return np.asarray((self._features.T @ solved).T)

    def _solved(self, right: NDArray[np.float64], *, transposed: bool) -> NDArray[np.float64]:
        from scipy.linalg import solve_triangular
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1):
            solved: NDArray[np.float64] = solve_triangular(
                self._factor, right, lower=True, trans=int(transposed)
            )
        return solved


class _TfIdf:
    """A fitted vectorizer, reduced to what JSON and safetensors can hold."""

    def __init__(
        self, settings: dict[str, Any], terms: list[str], idf: NDArray[np.float64]
    ) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.terms, self.idf = terms, idf
        self._vectorizer = TfidfVectorizer(
            **settings, sublinear_tf=True, vocabulary={term: i for i, term in enumerate(terms)}
        )
        self._vectorizer.idf_ = idf

    @classmethod
    def fitted(cls, settings: dict[str, Any], texts: Sequence[str]) -> Self:
        from sklearn.feature_extraction.text import TfidfVectorizer

        vectorizer = TfidfVectorizer(**settings, sublinear_tf=True)
        try:
            vectorizer.fit(texts)
        except ValueError as error:
            raise StudentError(f"The texts hold nothing to learn from: {error}") from error
        return cls(settings, vectorizer.get_feature_names_out().tolist(), vectorizer.idf_)

    def transform(self, texts: Sequence[str]) -> Any:
        return self._vectorizer.transform(texts)
