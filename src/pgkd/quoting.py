"""How something from outside stands in a message."""

from __future__ import annotations


def shown(value: object, width: int = 60) -> str:
    """Something from a file as a message shows it: one short line, what cannot be seen escaped."""
    text = str(value)
    cut = "…" if len(text) > width else ""
    return "".join(_escaped(c) for c in text[:width]) + cut


def _escaped(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape").decode("ascii")
