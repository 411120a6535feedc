"""The small classifiers that are trained. A kind is imported when it is first used."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.errors import StudentError
from pgkd.tasks.classification.students.base import Student
from pgkd.tasks.common.saving import read_description

if TYPE_CHECKING:
    from pgkd.tasks.classification.students.head_student import HeadStudent

__all__ = ["Student", "load_student", "make_student", "student_class"]

_CLASSES = {"encoder": "EncoderStudent", "static": "StaticStudent", "linear": "LinearStudent"}


def make_student(kind: str, classes: Sequence[str], *, seed: int = 0, **settings: Any) -> Student:
    """An unfitted student.

    Args:
        kind: ``"encoder"``, ``"static"`` or ``"linear"``.
        classes: class names in column order.
        seed: of everything random in its training.
        settings: the student's own.

    Raises:
        StudentError: the kind is unknown, or the settings are invalid.
    """
    make: Any = student_class(kind)  # each kind has settings of its own
    student: Student = make(classes, seed=seed, **settings)
    return student


def load_student(folder: Path) -> Student:
    """Read a student of any kind from the folder that its `save` wrote.

    Raises:
        StudentError: the folder is not a saved student.
    """
    return student_class(str(read_description(folder).get("kind"))).load(folder)


def student_class(kind: str) -> type[HeadStudent]:
    """The class of the students of a kind.

    Raises:
        StudentError: the kind is unknown.
    """
    if kind not in _CLASSES:
        raise StudentError(f'Unknown student "{kind}". Choose from: {", ".join(_CLASSES)}.')
    found: type[HeadStudent] = getattr(import_module(f"{__name__}.{kind}"), _CLASSES[kind])
    return found
