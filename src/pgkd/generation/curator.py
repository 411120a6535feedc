"""Keeps new, honest, bounded texts: no duplicates, no copies, no validation rows, no runaways.

What the student thinks of a text is not asked: keeping only what it agrees with lost about half of
the gain in our prototype.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pgkd.data.length import mostly_characters, units
from pgkd.generation.rejection import Drop, Reason, Sample
from pgkd.generation.similarity import letters, nearest
from pgkd.tasks.classification.prompts.parsing import masks_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.data.example import Example

_LONGEST = 2.0  # times the 99th percentile of real texts' lengths, where no bound is given
_LEAST_BOUND = 24  # words that are always allowed, however short the real texts
_LEAST_CHARACTERS = 100  # the same where characters are the unit
_LONGEST_WORDS = 12  # characters a word that a bound in words leaves room for
_REPEATED_SHARE = 0.3  # of a text's word triples that repeat an earlier one: a runaway


@dataclass(frozen=True)
class Curation:
    """What became of the samples of a reply."""

    kept: tuple[Sample, ...]
    dropped: tuple[Drop, ...]


class Curator:
    """Judges the texts of a run; what it keeps, it remembers.

    Args:
        real: training rows of the user.
        validation: validation rows; a text near one of them would flatter every later round.
        near_duplicate: texts of at least this similarity (1 - normalised edit distance of their
            letters and digits) count as the same.
        max_words: longer texts are dropped; None derives a bound from the real rows.

    Attributes:
        masks: placeholders that the real rows hold, so that texts may hold them too.
    """

    def __init__(
        self,
        real: Sequence[Example],
        validation: Sequence[Example],
        *,
        near_duplicate: float = 0.9,
        max_words: int | None = None,
    ) -> None:
        self.masks = masks_in(row.text for row in real)
        self._near_duplicate = near_duplicate
        texts = [row.text for row in real]
        self._max_words = max_words or _bound([len(text.split()) for text in texts], _LEAST_BOUND)
        self._max_characters = _character_bound(texts, self._max_words)
        self._validation = [letters(row.text) for row in validation]
        self._real = [letters(row.text) for row in real]
        self._kept: list[str] = []

    def curate(self, samples: Sequence[Sample], shown: Sequence[str] = ()) -> Curation:
        """Sort samples into kept and dropped.

        Args:
            samples: valid samples of one reply.
            shown: texts that the prompt showed.
        """
        examples = [letters(text) for text in shown]
        kept, dropped = [], []
        for sample in samples:
            drop = self._fault(sample, examples)
            if drop is None:
                kept.append(sample)
                self._kept.append(letters(sample.text))
            else:
                dropped.append(drop)
        return Curation(tuple(kept), tuple(dropped))

    def remember(self, text: str) -> None:
        """Take a text that came another way for one that was kept: none near it is kept later."""
        self._kept.append(letters(text))

    def _fault(self, sample: Sample, shown: Sequence[str]) -> Drop | None:
        """The first reason to drop a sample, the cheap and the grave ones first."""
        words, characters = sample.text.split(), len("".join(sample.text.split()))
        if share := runaway_share(units(sample.text)):
            return Drop(sample, Reason.RUNAWAY, f"{share:.0%} of its word triples are repeated")
        if len(words) > self._max_words:
            detail = f"{len(words)} words, at most {self._max_words} are kept"
            return Drop(sample, Reason.TOO_LONG, detail)
        if characters > self._max_characters:
            detail = f"{characters} characters, at most {self._max_characters} are kept"
            return Drop(sample, Reason.TOO_LONG, detail)
        given = letters(sample.text)
        against = (
            (Reason.CONTAMINATION, self._validation),
            (Reason.COPY, shown),
            (Reason.REAL_DUPLICATE, self._real),
            (Reason.DUPLICATE, self._kept),
        )
        for reason, texts in against:
            if (like := nearest(given, texts, self._near_duplicate)) is not None:
                twin, similarity = like
                return Drop(sample, reason, f"{similarity:.0f}% like: {twin[:200]}")
        return None


def runaway_share(words: Sequence[str]) -> float:
    """Share of word triples that repeat an earlier one, where that makes a runaway; else 0."""
    triples = [tuple(word.casefold() for word in words[i : i + 3]) for i in range(len(words) - 2)]
    if len(triples) < 6:
        return 0.0
    repeated = sum(count - 1 for count in Counter(triples).values())
    share = repeated / len(triples)
    return share if share >= _REPEATED_SHARE else 0.0


def _bound(lengths: Sequence[int], least: int) -> int:
    usual = float(np.percentile(lengths, 99)) if lengths else 0.0
    return max(least, math.ceil(_LONGEST * usual))


def _character_bound(texts: Sequence[str], max_words: int) -> int:
    """Of a text without its spaces; next to a bound in words it stops words that are none."""
    lengths = [len("".join(text.split())) for text in texts]
    if mostly_characters(texts):
        return _bound(lengths, _LEAST_CHARACTERS)
    return _bound(lengths, _LONGEST_WORDS * max_words)
