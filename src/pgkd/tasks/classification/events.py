"""What a run of a classifier reports, beyond what every run does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pgkd.events import Event
from pgkd.runs.journal import finite
from pgkd.tasks.classification.feedback.class_list import ClassListTrial
from pgkd.tasks.classification.feedback.exam import Exam
from pgkd.tasks.classification.feedback.self_verification import Verified
from pgkd.tasks.classification.prompts.glossary import Glossary


@dataclass(frozen=True)
class PoolRead(Event):
    """The unlabelled texts are read, without those that cannot be asked for."""

    name: ClassVar[str] = "pool read"
    texts: int
    dropped: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"texts": self.texts, "dropped": dict(self.dropped)}


@dataclass(frozen=True)
class StudentTuned(Event):
    """The student's hyper-parameters are chosen; what was chosen and why, in words."""

    name: ClassVar[str] = "student tuned"
    tuning: str

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"tuning": self.tuning}


@dataclass(frozen=True)
class LabelNamesTried(Event):
    """Cross-validation has shown whether label names help as training data."""

    name: ClassVar[str] = "class list tried"
    trial: ClassListTrial

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {
            "used": bool(self.trial.texts),
            "loss_change": round(self.trial.change, 6),
            "loss_change_standard_error": finite(self.trial.standard_error),
        }


@dataclass(frozen=True)
class DataDescribed(Event):
    """A small teacher has said what the texts are; empty if it could not."""

    name: ClassVar[str] = "task described"
    description: str

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"description": self.description}


@dataclass(frozen=True)
class TeacherExamined(Event):
    """The teacher has labelled rows of the user; and again when it has read its own texts."""

    name: ClassVar[str] = "teacher examined"
    in_result: ClassVar[str] = "teacher"
    exam: Exam

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return self.exam.to_json()


@dataclass(frozen=True)
class GlossaryWritten(Event):
    """The teacher has said what the texts are and what each class covers."""

    name: ClassVar[str] = "glossary written"
    glossary: Glossary

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"about": self.glossary.about, "classes": len(self.glossary.classes)}


@dataclass(frozen=True)
class TextVerified(Event):
    """The teacher has read one of its texts without the label."""

    name: ClassVar[str] = "read blind"
    verified: Verified

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {
            "id": self.verified.text.id,
            "said": self.verified.said,
            "confirmed": round(self.verified.confirmed, 6),
        }
