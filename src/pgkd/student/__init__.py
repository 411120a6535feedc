"""The classifiers that a user owns in the end.

Names are loaded when first used: a server needs a head, and not what trains one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd.student.base import Student
    from pgkd.student.registry import load_student, make_student, student_class

_HOMES = {
    "Student": "pgkd.student.base",
    "load_student": "pgkd.student.registry",
    "make_student": "pgkd.student.registry",
    "student_class": "pgkd.student.registry",
}

__all__ = ["Student", "load_student", "make_student", "student_class"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pgkd.student' has no attribute '{name}'")
