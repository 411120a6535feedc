"""The classifiers that a user owns in the end.

Names are loaded when first used: a server needs a head, and not what trains one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd.tasks.classification.students.base import Student
    from pgkd.tasks.classification.students.registry import (
        load_student,
        make_student,
        student_class,
    )

_HOMES = {
    "Student": "pgkd.tasks.classification.students.base",
    "load_student": "pgkd.tasks.classification.students.registry",
    "make_student": "pgkd.tasks.classification.students.registry",
    "student_class": "pgkd.tasks.classification.students.registry",
}

__all__ = ["Student", "load_student", "make_student", "student_class"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pgkd.tasks.classification.students' has no attribute '{name}'")
