"""What may reach a terminal of a text that anybody may have written."""

from __future__ import annotations

import re

# Control characters drive a terminal; marks of direction make a line say what it does not.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def printable(text: str) -> str:
    """A text in which what could drive a terminal is a replacement character.

    Lines and tabs stay. Half a character, which no encoding has, is replaced, too.
    """
    return _SURROGATE.sub("\ufffd", _CONTROL.sub("\ufffd", text))
