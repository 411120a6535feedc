"""Performance-guided LLM knowledge distillation for text classification.

The public names, loaded when first used: importing pgkd is light and touches no network.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd.config import Config
    from pgkd.distiller import Distiller
    from pgkd.errors import PgkdError
    from pgkd.events import Hooks
    from pgkd.export.predictor import load
    from pgkd.integrations.sklearn import PGKDClassifier
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Task
    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.exporting import Predictor
    from pgkd.tasks.classification.students import load_student
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Reply, Request, Teacher
    from pgkd.teachers.fake import FakeTeacher, RecordedTeacher

__version__ = "0.1.0"

_HOMES = {
    "Config": "pgkd.config",
    "Distiller": "pgkd.distiller",
    "LabelledText": "pgkd.tasks.classification.data.examples",
    "FakeTeacher": "pgkd.teachers",
    "Hooks": "pgkd.events",
    "PGKDClassifier": "pgkd.integrations.sklearn",
    "PgkdError": "pgkd.errors",
    "Predictor": "pgkd.tasks.classification.exporting",
    "RecordedTeacher": "pgkd.teachers",
    "Reply": "pgkd.teachers",
    "Request": "pgkd.teachers",
    "RunFolder": "pgkd.runs",
    "Student": "pgkd.tasks.classification.students",
    "TextDataset": "pgkd.tasks.classification.data.dataset",
    "Task": "pgkd.task",
    "Taxonomy": "pgkd.tasks.classification.data.examples",
    "Teacher": "pgkd.teachers",
    "load": "pgkd.export",
    "load_student": "pgkd.tasks.classification.students",
}

__all__ = [
    "Config",
    "Distiller",
    "FakeTeacher",
    "Hooks",
    "LabelledText",
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
    "TextDataset",
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
