"""Students by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.errors import StudentError
from pgkd.tasks.classification.students.encoder import EncoderStudent
from pgkd.tasks.classification.students.linear import LinearStudent
from pgkd.tasks.classification.students.saving import read_description
from pgkd.tasks.classification.students.static import StaticStudent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.tasks.classification.students.base import Student

_Class = type[EncoderStudent] | type[StaticStudent] | type[LinearStudent]
_STUDENTS: dict[str, _Class] = {
    EncoderStudent.kind: EncoderStudent,
    StaticStudent.kind: StaticStudent,
    LinearStudent.kind: LinearStudent,
}


def make_student(kind: str, classes: Sequence[str], *, seed: int = 0, **settings: Any) -> Student:
    """An unfitted student.

    Args:
        kind: ``"encoder"``, ``"static"`` or ``"linear"``.
        classes: class names in column order.
        seed: of everything random in its training.
        settings: the student's own.

    Raises:
        StudentError: there is no such student.
    """
    return student_class(kind)(classes, seed=seed, **settings)


def load_student(folder: Path) -> Student:
    """Read a student of any kind from the folder that its `save` wrote.

    Raises:
        StudentError: the folder is no saved student.
    """
    return student_class(str(read_description(folder).get("kind"))).load(folder)


def student_class(kind: str) -> _Class:
    """The class of the students of a kind.

    Raises:
        StudentError: there is no such student.
    """
    if kind not in _STUDENTS:
        raise StudentError(f"There is no student '{kind}'. There are: {', '.join(_STUDENTS)}.")
    return _STUDENTS[kind]
