"""Saved students: ``student.json`` beside safetensors. Nothing of it can run code."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pgkd import files
from pgkd.errors import StudentError
from pgkd.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.files import Refuse

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
    except (OSError, SafetensorError, ValueError, KeyError) as error:  # of a type unknown to NumPy
        raise StudentError(f"{folder / _WEIGHTS} cannot be read: {files.reason(error)}.") from error


def read_description(folder: Path) -> dict[str, Any]:
    """What ``student.json`` says.

    Raises:
        StudentError: there is none, it is damaged, or a later version of pgkd wrote it.
    """
    check_files(folder, StudentError)
    description = files.read_json(
        folder / _DESCRIPTION, lambda why: StudentError(f"{folder} is not a saved student: {why}")
    )
    written = description.get("format")
    if written != _FORMAT:
        raise StudentError(f"{folder} has format {written!r}; this pgkd reads format {_FORMAT}.")
    return description


def check_files(folder: Path, refuse: Refuse, *, within: Path | None = None) -> None:
    """See that a folder holds files and folders only: whoever waits at a pipe waits for ever.

    Args:
        folder: of a student.
        refuse: makes the error.
        within: a folder; a link that leads out of it is refused.
    """
    if not folder.is_dir():
        raise refuse(f"{folder} is no folder.")
    for path in (folder, *folder.rglob("*")):
        files.check_kind(path, refuse, within=within, folders=True)
