"""YAML as people write it: read with what YAML itself lets pass refused, written to be read."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

# What YAML has no room for, or takes for the end of a line, unless it is escaped.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping: the first value would be lost in silence."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        found: dict[object, int] = {}
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge" or not isinstance(key, yaml.ScalarNode):
                continue
            line = key.start_mark.line + 1
            if (first := found.setdefault((key.tag, key.value), line)) != line:
                raise yaml.constructor.ConstructorError(
                    None, None, f"'{key.value}' stands twice, in lines {first} and {line}"
                )
        return super().construct_mapping(node, deep=deep)


def read_yaml(text: str) -> Any:
    """Plain data of a YAML text.

    Raises:
        yaml.YAMLError: it is no YAML, or a key stands twice.
    """
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)


def quoted(value: str) -> str:
    """A text as YAML that reads back as the same text, whatever is in it."""
    # A JSON string is a YAML string, but for some characters.
    text = json.dumps(value, ensure_ascii=False)
    return _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
