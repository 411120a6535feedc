"""Which texts of an unlabelled pool are worth a label.

A label is worth most where the student wavers, and where many texts are like the one that gets it.
Margin alone (Scheffer et al., IDA 2001) picks outliers and near copies of one another, and with few
labels the student does not know yet where it is wrong. *Uncertainty herding* (Bae et al., ICLR
2025) joins both in one sum: every text of the pool counts by how unsure the student is of it, a
labelled text covers those near it, and the next one is that which covers most of what is uncovered.
What the user's rows cover from the start is not bought again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.base import Student

_CANDIDATES = 2000  # the least sure texts, among which is chosen
_SUBSAMPLE = 4000  # texts drawn to stand for the pool: what is to be covered
_BANDWIDTH = 0.2  # how fast a label's worth fades with cosine distance
_CHUNK = 4096  # texts that are looked at at once


class Choice(Protocol):
    """A way to choose among the texts of a pool."""

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """Indices of the n texts to ask for, the best first; all where there are fewer.

        Args:
            student: trained on what is known; its probabilities are calibrated.
            pool: texts without a label.
            known: texts that have one.
            n: how many are wanted.
        """


class RandomChoice:
    """Draws texts: the control.

    Args:
        seed: of the drawing.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """See `Choice`."""
        return [int(i) for i in self._rng.permutation(len(pool))[:n]]


class GuidedChoice:
    """Chooses where the student is unsure and nothing is covered.

    A student without features, such as one on TF-IDF, is asked for its doubt alone.

    Args:
        seed: of the texts that stand for a large pool.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """See `Choice`."""
        doubt = np.concatenate(
            [
                doubts(student.predict_proba(pool[start : start + _CHUNK]))
                for start in range(0, len(pool), _CHUNK)
            ]
        )
        covered = student.features(known)
        if covered is None:
            return most_doubtful(doubt, n)

        def features(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            found = student.features([pool[i] for i in rows.tolist()])
            assert found is not None  # it has some of the known texts
            return found

        return herd(doubt, features, covered, n, self._rng)


def doubts(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unsure a student is of each text, shape (n,), in [0, 1]: one minus the margin.

    The margin is the difference between its two most probable classes.

    Args:
        probabilities: shape (n, n_classes), at least two classes.
    """
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(1.0 - (first - second))


def most_doubtful(doubt: NDArray[np.float64], n: int) -> list[int]:
    """The n texts of most doubt, the most doubtful first; ties in the order of the pool."""
    return [int(i) for i in np.argsort(-doubt, kind="stable")[:n]]


def herd(
    doubt: NDArray[np.float64],
    features: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    known: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    *,
    bandwidth: float = _BANDWIDTH,
) -> list[int]:
    """The n texts that cover most doubt which nothing covers yet, one after the other.

    A text covers another one by a Gaussian of their distance. The sum that grows is submodular, so
    this greedy choice reaches 63% of what the best one would (Nemhauser et al., 1978).

    Args:
        doubt: shape (n_pool,), what each text counts.
        features: of texts by their indices, shape (n_texts, width), of unit length.
        known: shape (n_known, width), features of the texts that have a label.
        n: texts wanted.
        rng: draws the texts that stand for a large pool.
        bandwidth: cosine distance at which a text covers another one by 1/e.
    """
    candidates = np.array(most_doubtful(doubt, max(n, _CANDIDATES)), dtype=np.int64)
    subsample = np.arange(len(doubt))
    if len(subsample) > _SUBSAMPLE:
        subsample = np.sort(rng.choice(len(subsample), size=_SUBSAMPLE, replace=False))
    seen = features(subsample)
    near = _nearness(features(candidates), seen, bandwidth)
    covered = _nearness(seen, known, bandwidth).max(axis=1, initial=0.0)
    weight = doubt[subsample].astype(np.float32)
    # What a text adds can only shrink as others are chosen: so of most texts an old figure is
    # enough (lazy greedy, Minoux 1978).
    gain = np.array([np.maximum(row - covered, 0.0) @ weight for row in near])
    chosen: list[int] = []
    while len(chosen) < min(n, len(candidates)):
        best = int(gain.argmax())
        fresh = np.maximum(near[best] - covered, 0.0) @ weight
        if fresh < gain[best]:
            gain[best] = fresh
            continue
        chosen.append(best)
        covered = np.maximum(covered, near[best])
        gain[best] = -np.inf
    return [int(i) for i in candidates[chosen]]


def _nearness(
    first: NDArray[np.float64], second: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float32]:
    """How much each text of one kind covers each of the other, shape (n_first, n_second)."""
    cosine = first.astype(np.float32) @ second.astype(np.float32).T
    return np.asarray(np.exp((cosine - 1.0) / bandwidth), dtype=np.float32)
