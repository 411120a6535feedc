"""Performance-guided LLM knowledge distillation for text classification.

The public names, loaded when first used: importing pgkd is light and touches no network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd.config import Config
    from pgkd.distill import Distiller, Hooks, RunFolder
    from pgkd.errors import PgkdError
    from pgkd.estimator import PGKDClassifier
    from pgkd.serving import Predictor, load
    from pgkd.student import Student, load_student
    from pgkd.task import Example, Task, Taxonomy
    from pgkd.teacher import FakeTeacher, RecordedTeacher, Reply, Request, Teacher

__version__ = "0.1.0"

_HOMES = {
    "Config": "pgkd.config",
    "Distiller": "pgkd.distill",
    "Example": "pgkd.task",
    "FakeTeacher": "pgkd.teacher",
    "Hooks": "pgkd.distill",
    "PGKDClassifier": "pgkd.estimator",
    "PgkdError": "pgkd.errors",
    "Predictor": "pgkd.serving",
    "RecordedTeacher": "pgkd.teacher",
    "Reply": "pgkd.teacher",
    "Request": "pgkd.teacher",
    "RunFolder": "pgkd.distill",
    "Student": "pgkd.student",
    "Task": "pgkd.task",
    "Taxonomy": "pgkd.task",
    "Teacher": "pgkd.teacher",
    "load": "pgkd.serving",
    "load_student": "pgkd.student",
}

__all__ = [
    "Config",
    "Distiller",
    "Example",
    "FakeTeacher",
    "Hooks",
    "PGKDClassifier",
    "PgkdError",
    "Predictor",
    "RecordedTeacher",
    "Reply",
    "Request",
    "RunFolder",
    "Student",
    "Task",
    "Taxonomy",
    "Teacher",
    "__version__",
    "load",
    "load_student",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'pgkd' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
