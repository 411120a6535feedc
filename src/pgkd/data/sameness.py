"""When two texts, or two names of classes, are the same to a reader."""

from __future__ import annotations

import re
import unicodedata

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
