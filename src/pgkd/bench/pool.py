"""Real rows instead of written texts: the upper lines of a benchmark.

Every round takes rows of the training file that the run does not have, with their true labels, at
random or those of which the present student is least sure: the smallest margin between the two most
probable classes (Scheffer et al., IDA 2001).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pgkd.bench.asking import label_ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.guidance import Ask, Assessment, Guide, Writing
    from pgkd.student import Student
    from pgkd.task import Example


class PoolGuide:
    """Trains and assesses as another guide does, and asks for the labels of rows of a pool.

    Args:
        guide: trains and assesses.
        pool: rows to choose from, their labels unseen.
        classes: class names that an answer may have.
        writing: the sampling of requests.
        samples: rows of a round.
        by_margin: whether the rows of smallest margin are taken; else they are drawn.
    """

    def __init__(
        self,
        guide: Guide,
        pool: Sequence[Example],
        classes: Sequence[str],
        writing: Writing,
        *,
        samples: int,
        by_margin: bool,
    ) -> None:
        self._guide = guide
        self._pool = list(pool)
        self._classes = classes
        self._writing = writing
        self._samples = samples
        self._by_margin = by_margin
        self._student: Student | None = None
        self._rng = np.random.default_rng(writing.seed)

    def train(self, written: Sequence[Example]) -> Student:
        """See `Guide.train`; the student will say which rows it is unsure of."""
        self._student = self._guide.train(written)
        return self._student

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """See `Guide.assess`."""
        return self._guide.assess(student, written)

    def ask(
        self, number: int, assessment: Assessment, written: Sequence[Example]
    ) -> tuple[Ask, ...]:
        """One request for the labels of the rows chosen; none where the pool is empty."""
        chosen = self._choose(min(self._samples, len(self._pool)))
        if not chosen:
            return ()
        rows = [self._pool[i] for i in chosen]
        taken = set(chosen)
        self._pool = [row for i, row in enumerate(self._pool) if i not in taken]
        return (label_ask(self._writing, number, rows, self._classes),)

    def _choose(self, n: int) -> list[int]:
        if not self._by_margin or self._student is None or not n:
            return [int(i) for i in self._rng.permutation(len(self._pool))[:n]]
        probabilities = self._student.predict_proba([row.text for row in self._pool])
        second, first = np.sort(probabilities, axis=1)[:, -2:].T
        return [int(i) for i in np.argsort(first - second, kind="stable")[:n]]
