"""Texts: what of them is shown, how long they are, and when two of them are the same."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


# Control characters drive a terminal; marks of direction make a line say what it does not.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """A text in which what could drive a terminal is a replacement character.

    Lines and tabs stay. Half a character, which no encoding has, is replaced, too.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("\ufffd", text))


def shown(value: object, width: int = 60) -> str:
    """Something from a file as a message shows it: one short line, what cannot be seen escaped."""
    text = str(value)
    cut = "…" if len(text) > width else ""
    return "".join(_escaped(c) for c in text[:width]) + cut


def as_json(value: object) -> str:
    """Plain data as one line of JSON; letters stay as they are."""
    return json.dumps(value, ensure_ascii=False)


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")


# Thai, Lao, Tibetan, Burmese, Khmer, Chinese and Japanese: scripts that put no space between words.
_UNSPACED = re.compile(
    "[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\u2fdf\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff]"
)
_LONG_WORD = 30  # characters a word, on average: no language, but base64, logs or paths
_WIDE = 12  # characters that a word may take with its space; in English it takes 6
_NARROW = 3  # characters that stand for a word where they are the unit


def counts_characters(text: str) -> bool:
    """Whether characters tell the length of a text, and not words."""
    letters = len("".join(text.split()))
    return 2 * len(_UNSPACED.findall(text)) > letters or letters > _LONG_WORD * len(text.split())


def mostly_characters(texts: Iterable[str]) -> bool:
    """Whether that holds for most of the texts."""
    votes = [counts_characters(text) for text in texts]
    return 2 * sum(votes) > len(votes)


def units(text: str) -> Sequence[str]:
    """The words of a text; or its characters, without space, where they are the unit."""
    return "".join(text.split()) if counts_characters(text) else text.split()


def shortened(text: str, words: int) -> str:
    """The beginning of a text in one line: so many words, and no more characters than they take."""
    width = _NARROW if counts_characters(text) else _WIDE
    return " ".join(text.split()[:words])[: words * width]


_VARIATION = re.compile("[\ufe00-\ufe0f\u034f]")  # choose a glyph, or are none
_WHOLE = re.compile(r"([+-]?\d+)\.0+")


def text_key(text: str) -> str:
    """What two texts share that no reader can tell apart, but for upper and lower case.

    Case, Unicode form (NFC, NFD), kinds and numbers of spaces, and characters that cannot be seen
    make no difference: many tokenizers drop them all. Empty where there is nothing to see.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFD", text)
        text = _VARIATION.sub("", "".join(c for c in text if unicodedata.category(c) != "Cf"))
        text = unicodedata.normalize("NFC", text.casefold())
    return " ".join(text.casefold().split())


def label_key(name: str) -> str:
    """`text_key` of a class name, to which ``1.0`` is ``1``, too."""
    key = text_key(name)
    whole = _WHOLE.fullmatch(key)
    return whole[1] if whole else key


def letters(text: str) -> str:
    """A text without case, punctuation and what cannot be seen: what is compared."""
    return " ".join("".join(c if c.isalnum() else " " for c in text_key(text)).split())


def nearest(text: str, others: Sequence[str], near_duplicate: float) -> tuple[str, float] | None:
    """The most similar of other texts with its similarity in percent, if it is near enough.

    Args:
        text: as `letters` gives it.
        others: as `letters` gives them.
        near_duplicate: least similarity (1 - normalised edit distance).
    """
    from rapidfuzz import fuzz, process

    cutoff = 100 * near_duplicate
    found = process.extractOne(text, others, scorer=fuzz.ratio, score_cutoff=cutoff)
    return None if found is None else (found[0], found[1])


def near_any(texts: Sequence[str], others: Sequence[str], near_duplicate: float) -> list[bool]:
    """Which texts are near one of the others; see `nearest`."""
    return [nearest(text, others, near_duplicate) is not None for text in texts]


def chrf(expected: str, text: str) -> float:
    """Similarity of two texts from 0 to 1: chrF2 over 1 to 6 characters (Popovic, WMT 2015)."""
    right, given = ("".join(each.split()) for each in (expected, text))
    shares = []
    for n in range(1, 7):
        one, other = (
            Counter(each[i : i + n] for i in range(len(each) - n + 1)) for each in (given, right)
        )
        if one and other:
            both = (one & other).total()
            shares.append((both / one.total(), both / other.total()))
    precision, recall = (sum(share[i] for share in shares) for i in (0, 1))
    return 5 * precision * recall / (4 * precision + recall) / len(shares) if recall else 0.0
