"""Saved students: ``student.json`` beside safetensors. Nothing of it can run code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgkd.errors import StudentError
from pgkd.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

_FORMAT = 1
_DESCRIPTION = "student.json"
_WEIGHTS = "head.safetensors"


def write(folder: Path, description: dict[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
    """Write a student; the same content gives the same bytes."""
    import numpy as np
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    text = json.dumps({"format": _FORMAT, **description}, indent=2, ensure_ascii=False)
    write_whole(folder / _WEIGHTS, save(arrays))
    write_whole(folder / _DESCRIPTION, (text + "\n").encode())


def read(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Description and weights of a saved student.

    Raises:
        StudentError: the folder is no saved student of this kind, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    description = read_description(folder)
    if description.get("kind") != kind:
        raise StudentError(f"{folder} holds a student '{description.get('kind')}', not '{kind}'.")
    try:
        return description, load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise StudentError(f"{folder / _WEIGHTS} cannot be read: {error}") from error


def read_description(folder: Path) -> dict[str, Any]:
    """What ``student.json`` says.

    Raises:
        StudentError: there is none, it is damaged, or a later version of pgkd wrote it.
    """
    path = folder / _DESCRIPTION
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
        written = description["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudentError(f"{folder} is not a saved student: {path.name}: {error!r}") from error
    if written != _FORMAT:
        raise StudentError(f"{folder} has format {written}; this pgkd reads format {_FORMAT}.")
    return dict(description)
