"""What of a run's settings other tools are told: nothing that is a text, a key, or a place."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.config import Config
    from pgkd.integrations.tracking.base import Setting

_KEPT_BACK = ("teacher.api_key_env", "track", "out")
"""The first one names a variable, and now and then somebody puts the key there."""

_TEXTS = ("guidance.instructions",)  # part of every prompt
_URLS = ("teacher.base_url",)
_PLACES = (
    "data.train", "data.validation", "data.unlabelled", "data.classes",
    "student.encoder", "student.embeddings", "teacher.model",
)  # fmt: skip
_CREDENTIALS = re.compile(r"(?<=://)[^\s/@]+@")
_SECRET = re.compile(r"(?i)key|token|secret|password|headers")
_SHORTEST_SECRET = 8  # characters; a shorter one would be found in any sentence


def told_settings(config: Config) -> dict[str, Setting]:
    """The settings of a run by dotted names, as other tools are told them.

    Of a path the last part is told, of a URL the host, of the instructions how long they are.
    Settings without a value are left out.
    """
    return dict(_told(config.model_dump(mode="json"), ""))


def _told(settings: dict[str, Any], above: str) -> Iterator[tuple[str, Setting]]:
    for key, value in settings.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _told(value, f"{name}.")
        elif value is not None and name not in _KEPT_BACK:
            yield name, _harmless(name, value)


def _harmless(name: str, value: Any) -> Setting:
    if name in _TEXTS:
        return f"{len(value)} characters"
    if name in _URLS:
        return urlsplit(value).hostname or ""
    if name in _PLACES:
        return placeless(str(value))
    return value if isinstance(value, int | float | bool) else str(value)


def placeless(name: str) -> str:
    """The name of a file, a folder or a model; of a path its last part."""
    path = Path(name)
    return path.name if path.is_absolute() or path.exists() else name


def without_secrets(text: str) -> str:
    """A message of a tool without what it may have taken from the environment or a URL."""
    for name, value in os.environ.items():
        if _SECRET.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, f"[{name}]")
    return _CREDENTIALS.sub("[user]@", text)
