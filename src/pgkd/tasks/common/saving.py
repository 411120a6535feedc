"""Saved students: ``student.json`` and safetensors, which cannot run code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd import files
from pgkd.errors import StudentError
from pgkd.files import write_whole

if TYPE_CHECKING:  # defined for type checking only
    from pgkd.files import Refuse

_FORMAT = 1
_DESCRIPTION = "student.json"
_WEIGHTS = "head.safetensors"


def write(folder: Path, description: dict[str, Any], weights: Mapping[str, NDArray[Any]]) -> None:
    """Write a student; the same content gives the same bytes."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    text = json.dumps({"format": _FORMAT, **description}, indent=2, ensure_ascii=False)
    write_whole(folder / _WEIGHTS, save(arrays))
    write_whole(folder / _DESCRIPTION, (text + "\n").encode())


def read(folder: Path, kind: str) -> tuple[dict[str, Any], dict[str, NDArray[np.float64]]]:
    """Description and weights of a saved student.

    Raises:
        StudentError: the folder is not a saved student of this kind, or it is damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    description = read_description(folder)
    if description.get("kind") != kind:
        raise StudentError(f"{folder} is a student '{description.get('kind')}', not '{kind}'.")
    try:
        return description, load_file(folder / _WEIGHTS)
    except (OSError, SafetensorError, ValueError, KeyError) as error:  # of a type unknown to NumPy
        raise StudentError(f"{folder / _WEIGHTS} cannot be read: {files.reason(error)}.") from error


def read_description(folder: Path) -> dict[str, Any]:
    """The content of ``student.json``.

    Raises:
        StudentError: it is missing or damaged, or a later version of pgkd wrote it.
    """
    check_files(folder, StudentError)
    description = files.read_json(
        folder / _DESCRIPTION, lambda why: StudentError(f"{folder} is not a saved student: {why}")
    )
    found = description.get("format")
    if found != _FORMAT:
        raise StudentError(f"{folder} has format {found!r}; this pgkd reads format {_FORMAT}.")
    return description


def subfolder(folder: Path, name: str) -> str:
    """The path of a folder of weights in a saved student.

    Raises:
        StudentError: it is missing. Without this check its name would be looked up on the hub.
    """
    if not (folder / name).is_dir():
        raise StudentError(f"{folder} is damaged: it has no folder '{name}'.")
    return str(folder / name)


def check_files(folder: Path, refuse: Refuse, *, within: Path | None = None) -> None:
    """Check that a folder has files and folders only: reading a pipe would never end.

    Args:
        folder: of a student.
        refuse: makes the error.
        within: a folder; a link that leads out of it is refused.
    """
    if not folder.is_dir():
        raise refuse(f"{folder} is not a folder.")
    for path in (folder, *folder.rglob("*")):
        files.check_kind(path, refuse, within=within, folders=True)
