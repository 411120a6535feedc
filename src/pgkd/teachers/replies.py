"""The JSON of a reply: the one reader for samples, labels and descriptions.

A reply is untrusted, and often more than its JSON: models think aloud first, talk around their
answer, or wrap it in a code fence. JSON inside their thinking is a draft and never used.
"""

from __future__ import annotations

import json
import re
from typing import Any

_DECODER = json.JSONDecoder()
_NAMES = "think|thinking|thought|reasoning|reflection|scratchpad"
_TAG = re.compile(
    rf"(?P<open><(?:{_NAMES})>|\[THINK\]|<\|channel\|>analysis<\|message\|>)"
    rf"|</(?:{_NAMES})>|\[/THINK\]|<\|channel\|>final<\|message\|>",
    re.I,
)
_START = re.compile(r"[{\[]")
_MOST_FAILURES = 200  # brackets that begin no JSON; each may cost a look at all that follows
_LONGEST_TRIES = 4_000_000  # characters of such looks together: what is read stays linear


def without_thinking(reply: str) -> str:
    """A reply without what the model thought aloud.

    An opening tag may be missing, because some chat templates put it into the prompt: then all text
    before the closing tag is thinking. A tag that is never closed means that the reply was cut off.
    """
    parts: list[str] = []
    start, thinking = 0, False
    for tag in _TAG.finditer(reply):
        if tag["open"]:
            if not thinking:
                parts.append(reply[start : tag.start()])
            thinking = True
        else:
            if not thinking:
                parts.clear()
            start, thinking = tag.end(), False
    if not thinking:
        parts.append(reply[start:])
    return "\n".join(parts)


def json_values(reply: str) -> list[Any]:
    """The JSON objects and lists of a reply, in their order, without those inside another one.

    Of damaged JSON these are the parts that are whole. A reply that is JSON from end to end is
    taken as it is, whatever its strings hold; JSON within a JSON string is unpacked once.
    """
    for text in (reply, without_thinking(reply)):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(whole, str):
            return json_values(whole) if whole != reply else []
        return [whole] if isinstance(whole, dict | list) else []
    return _embedded(without_thinking(reply))


def objects(reply: str, *keys: str) -> list[dict[str, Any]]:
    """The JSON objects of a reply, those in a bare list too; with keys, that have one of them."""
    flat: list[Any] = []
    for value in json_values(reply):
        flat += value if isinstance(value, list) else [value]
    found = [each for each in flat if isinstance(each, dict)]
    return [each for each in found if not keys or any(key in each for key in keys)]


def _embedded(text: str) -> list[Any]:
    found: list[Any] = []
    position, failures, looked_at = 0, 0, 0
    while start := _START.search(text, position):
        try:
            value, position = _DECODER.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            position = start.end()
            failures += 1
            looked_at += len(text) - position
            if failures > _MOST_FAILURES or looked_at > _LONGEST_TRIES:
                break
        else:
            found.append(value)
    return found
