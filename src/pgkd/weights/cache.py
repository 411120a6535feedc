"""The user's cache of weights: ``$PGKD_CACHE``, or the platform's own cache folder.

A file is hashed once. What was found is kept beside it in ``verified.json``, with the file's size
and time; a file that has changed since is hashed again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pgkd.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgkd.weights.pins import Weights, WeightsFile

_VERIFIED = "verified.json"
_BLOCK = 1 << 20


def cache_folder() -> Path:
    """Where pgkd keeps what can be had again: ``$PGKD_CACHE``, or the platform's own place."""
    if configured := os.environ.get("PGKD_CACHE"):
        return Path(configured).expanduser()
    from platformdirs import user_cache_path

    return user_cache_path("pgkd", appauthor=False)


def models_folder() -> Path:
    """Where all models are kept."""
    return cache_folder() / "models"


def folder_of(weights: Weights) -> Path:
    """Where a model is kept, or will be."""
    return models_folder() / weights.folder


def path_of(weights: Weights) -> Path:
    """What a runtime opens: the GGUF file of a teacher, the folder of a student."""
    folder = folder_of(weights)
    return folder / weights.files[0].name if weights.kind == "teacher" else folder


def cached(name: str) -> Path | None:
    """The path of weights that are here and whole, or None."""
    from pgkd.weights.pins import find

    weights = find(name)
    if weights is None or not all(verified(weights, file) for file in weights.files):
        return None
    return path_of(weights)


def verified(weights: Weights, file: WeightsFile) -> bool:
    """Whether a file is here with the pinned content; it is hashed if that is not on record."""
    path = folder_of(weights) / file.name
    try:
        status = path.stat()
    except OSError:
        return False
    if status.st_size != file.size:
        return False
    stamp = [status.st_size, status.st_mtime_ns, file.sha256]
    record = _record(path.parent)
    if record.get(file.name) == stamp:
        return True
    if sha256_of(path) != file.sha256:
        return False
    _write(path.parent, {**record, file.name: stamp})
    return True


def sha256_of(path: Path, progress: Callable[[int], object] = lambda _: None) -> str:
    """SHA-256 of a file; `progress` is told the bytes of every block."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            progress(len(block))
    return digest.hexdigest()


def _record(folder: Path) -> dict[str, list[object]]:
    try:
        record = json.loads((folder / _VERIFIED).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write(folder: Path, record: dict[str, list[object]]) -> None:
    # A cache that cannot be written works too: it is hashed again next time.
    with suppress(OSError):
        write_whole(folder / _VERIFIED, json.dumps(record, indent=2) + "\n", alone=False)
