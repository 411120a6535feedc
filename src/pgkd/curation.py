"""Accepts new, bounded texts: no duplicates, copies of shown rows, validation rows or runaways.

What the student thinks of a text is not asked: keeping only what it agrees with lost about half of
the gain in our prototype.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

import numpy as np

from pgkd.task import Example, Rejected
from pgkd.text import letters, mostly_characters, nearest, units

E = TypeVar("E", bound=Example)
Key = tuple[str, ...]

_LONGEST = 2.0  # times the 99th percentile of real texts' lengths, where no bound is given
_LEAST_BOUND = 24  # words that are always allowed, however short the real texts
_LEAST_CHARACTERS = 100  # the same where characters are the unit
_LONGEST_WORDS = 12  # characters a word that a bound in words leaves room for
_REPEATED_SHARE = 0.3  # of a text's word triples that repeat an earlier one: a runaway


class Reason(StrEnum):
    """Why an example was rejected. Disagreement with the student is no reason: it carries the gain.

    A task adds its own.
    """

    TOO_LARGE = "reply too large"
    NO_JSON = "no JSON"
    CUT_OFF = "cut off"
    TOO_MANY = "more than asked for"
    WRONG_TYPE = "wrong type"
    EMPTY = "no text"
    PLACEHOLDER = "placeholder"
    TOO_LONG = "too long"
    RUNAWAY = "runaway repetition"
    CONTAMINATION = "matches a validation row"
    COPY = "copies a shown example"
    REAL_DUPLICATE = "near a training row"
    DUPLICATE = "near an earlier text"


class Curator:
    """Judges the synthetic texts of a run, and remembers what it accepts.

    Args:
        real: training rows of the user.
        validation: validation rows; a text near one of them would flatter every later round.
        near_duplicate: texts of at least this similarity (1 - normalised edit distance of their
            letters and digits) count as the same.
        max_words: longer texts are dropped; None derives a bound from the real rows.
    """

    def __init__(
        self,
        real: Sequence[Example],
        validation: Sequence[Example],
        *,
        near_duplicate: float = 0.9,
        max_words: int | None = None,
    ) -> None:
        self._near_duplicate = near_duplicate
        texts = [text for row in real for text in row.texts]
        self._max_words = max_words or _bound([len(text.split()) for text in texts], _LEAST_BOUND)
        self._max_characters = _character_bound(texts, self._max_words)
        self._validation = [_key(row) for row in validation]
        self._real = [_key(row) for row in real]
        self._accepted: list[Key] = []

    def curate(
        self, examples: Sequence[E], shown: Sequence[str] = ()
    ) -> tuple[list[E], list[Rejected]]:
        """Sort the valid examples of a reply into accepted and rejected ones.

        Args:
            examples: of one reply.
            shown: texts that the prompt showed, where an input is one text.
        """
        prompt = [(letters(text),) for text in shown]
        accepted: list[E] = []
        rejected: list[Rejected] = []
        for example in examples:
            fault = self._fault(example, prompt)
            if fault is None:
                accepted.append(example)
                self._accepted.append(_key(example))
            else:
                reason, detail = fault
                rejected.append(Rejected(reason, detail, example=example))
        return accepted, rejected

    def remember(self, text: str) -> None:
        """Treat a text that came another way as accepted: nothing near it is accepted later."""
        self._accepted.append((letters(text),))

    def _fault(self, example: Example, shown: Sequence[Key]) -> tuple[Reason, str] | None:
        """The first reason to reject an example, cheap and grave ones first."""
        for text in example.texts:
            words, characters = text.split(), len("".join(text.split()))
            if share := runaway_share(units(text)):
                return Reason.RUNAWAY, f"{share:.0%} of its word triples are repeated"
            if len(words) > self._max_words:
                return Reason.TOO_LONG, f"{len(words)} words, at most {self._max_words} are kept"
            if characters > self._max_characters:
                detail = f"{characters} characters, at most {self._max_characters} are kept"
                return Reason.TOO_LONG, detail
        given = _key(example)
        against = (
            (Reason.CONTAMINATION, self._validation),
            (Reason.COPY, shown),
            (Reason.REAL_DUPLICATE, self._real),
            (Reason.DUPLICATE, self._accepted),
        )
        for reason, keys in against:
            if (like := _nearest(given, keys, self._near_duplicate)) is not None:
                twin, similarity = like
                return reason, f"{similarity:.0f}% like: {twin[:200]}"
        return None


def _key(example: Example) -> Key:
    return tuple(letters(text) for text in example.texts)


def _nearest(given: Key, keys: Sequence[Key], near_duplicate: float) -> tuple[str, float] | None:
    """`pgkd.text.nearest` for inputs of several texts: each of them has to be near."""
    first, *others = given
    alike = [key for key in keys if len(key) == len(given)]
    for i, text in enumerate(others, start=1):  # of these few are near: they are looked at first
        alike = [key for key in alike if nearest(text, (key[i],), near_duplicate)]
    return nearest(first, [key[0] for key in alike], near_duplicate)


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
