"""How long a text is: in words, or in characters where words are not the unit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
