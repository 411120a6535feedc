"""JSON objects as fields with paths, and what the fields of some objects have in common."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pgkd.text import shown, text_key

_COPIED = 0.95  # share of rows whose value stands in the input, where a field is copied from it


class JSONFields:
    """The fields of the JSON outputs of rows, given as pairs of an input and an output."""

    def __init__(self, rows: Iterable[tuple[str, str]]) -> None:
        self._kinds: defaultdict[str, set[type]] = defaultdict(set)
        self._copied: defaultdict[str, list[bool]] = defaultdict(list)
        for text, output in rows:
            for name, value in read_fields(output).items():
                self._kinds[name].add(type(value))
                self._copied[name].append(_stands_in(value, text))

    def check(self, text: str, output: str) -> None:
        """Refuse what no row has: other fields or types, or a value that is not in the input.

        The last is refused where the rows take the values of a field from the input.

        Raises:
            ValueError: says what is refused.
        """
        for name, value in read_fields(output).items():
            if name not in self._kinds:
                raise ValueError(f"no row has a field '{shown(name)}'")
            if type(value) not in self._kinds[name]:
                raise ValueError(f"the field '{name}' is of another type in the rows")
            copied = self._copied[name]
            if sum(copied) >= _COPIED * len(copied) and not _stands_in(value, text):
                raise ValueError(f"the value of '{name}' does not stand in the input")


def read_fields(output: str) -> dict[str, Any]:
    """The values of a JSON object by their paths, such as ``slots.artist``; a list is a value.

    Raises:
        ValueError: it is none.
    """
    try:
        data = json.loads(output)
        dump(data)  # what is nested too deep for that is refused, too
    except (ValueError, RecursionError):
        raise ValueError("the output is no valid JSON") from None
    if not isinstance(data, dict):
        raise ValueError("the output is no JSON object")
    found: dict[str, Any] = {}
    left: list[tuple[str, Any]] = [("", data)]
    while left:
        path, value = left.pop()
        if isinstance(value, dict) and value:
            left += [(f"{path}.{k}" if path else k, v) for k, v in reversed(value.items())]
        elif path:
            found[path] = value
    return found


def _stands_in(value: Any, text: str) -> bool:
    """Whether a string, or all strings of a list, stand in the input."""
    values = value if isinstance(value, list) else [value]
    return all(isinstance(v, str) and text_key(v) in text_key(text) for v in values)


def dump(value: Any) -> str:
    """JSON of a value; equal values have equal JSON."""
    return json.dumps(value, sort_keys=True)
