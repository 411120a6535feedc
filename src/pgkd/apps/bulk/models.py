"""The classifier at a path: the student of a run, an export, or a student saved alone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from pgkd import export as serving
from pgkd.export import manifest
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.students.registry import load_student

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Classifier(Protocol):
    """What students and exports have in common."""

    classes: tuple[str, ...]

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Class probabilities, shape (n, n_classes)."""


def find_model(path: Path, which: str = "best") -> Path:
    """The folder of the classifier that a path means.

    Args:
        path: an export, the folder of a saved student, or a run.
        which: student of the run.

    Raises:
        RunError: it is none of the three, or the run has no such student.
    """
    if (path / manifest.FILE).is_file() or (path / "student.json").is_file():
        return path
    return RunFolder.open(path).student_folder(which)


def load_model(folder: Path, *, threads: int | None = None) -> Classifier:
    """Load what `find_model` found.

    Args:
        folder: of an export or a student.
        threads: CPU threads of an export; None takes all cores.

    Raises:
        ExportError: an export is damaged, or is for other libraries.
        StudentError: a student is damaged.
        MissingExtraError: it needs an extra.
    """
    if (folder / manifest.FILE).is_file():
        return serving.load(folder, threads=threads)
    return load_student(folder)


def digest(folder: Path) -> str:
    """SHA-256 of all files of a classifier and their names."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()
