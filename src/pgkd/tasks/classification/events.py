"""What a run of a classifier reports, beyond what every run does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from pgkd.events import Event
from pgkd.runs.journal import finite
from pgkd.tasks.classification.data.pool import Pool
from pgkd.tasks.classification.feedback.cross_validation import LabelNamesTrial
from pgkd.tasks.classification.feedback.examination import Exam, Verified
from pgkd.tasks.classification.prompts.glossary import Glossary


@dataclass(frozen=True)
class PoolRead(Event):
    """The unlabelled texts are read, without those that cannot be asked for."""

    name: ClassVar[str] = "pool read"
    pool: Pool

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"texts": len(self.pool.texts), "rejected": dict(self.pool.rejected)}

    def describe(self) -> str:
        """See `Event.describe`."""
        left_out = ", ".join(f"{n} {why}" for why, n in self.pool.rejected.items())
        line = f"pool of {len(self.pool.texts)} unlabelled texts"
        return line + (f"; left out: {left_out}" if left_out else "")


@dataclass(frozen=True)
class StudentTuned(Event):
    """The student's hyper-parameters are chosen; what was chosen and why, in words."""

    name: ClassVar[str] = "student tuned"
    tuning: str

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"tuning": self.tuning}

    def describe(self) -> str:
        """See `Event.describe`."""
        return f"student: {self.tuning}"


@dataclass(frozen=True)
class LabelNamesTried(Event):
    """Cross-validation has shown whether label names help as training data."""

    name: ClassVar[str] = "label names tried"
    trial: LabelNamesTrial

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {
            "used": bool(self.trial.texts),
            "loss_change": round(self.trial.change, 6),
            "loss_change_standard_error": finite(self.trial.standard_error),
        }

    def describe(self) -> str:
        """See `Event.describe`."""
        change, error = self.trial.change, self.trial.standard_error
        used = "used" if self.trial.texts else "not used"
        return f"label names as training data: {used} (log loss {change:+.3f} ± {error:.3f})"


@dataclass(frozen=True)
class DataDescribed(Event):
    """A small teacher has said what the texts are; empty if it could not."""

    name: ClassVar[str] = "task described"
    description: str

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"description": self.description}

    def describe(self) -> str:
        """See `Event.describe`."""
        about = self.description
        return f'LLM\'s summary of your data: "{about}" Wrong? Set --instructions.' if about else ""


@dataclass(frozen=True)
class TeacherExamined(Event):
    """The teacher has labelled rows of the user; and again when it has read its own texts."""

    name: ClassVar[str] = "teacher examined"
    in_result: ClassVar[str] = "teacher"
    exam: Exam

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return self.exam.to_json()

    def describe(self) -> str:
        """See `Event.describe`."""
        rows, own = self.exam.rows, self.exam.own
        part, what = (rows, "labelled rows") if own is None else (own, "own texts")
        if not part.asked:
            return ""
        low, high = part.interval
        return (
            f"teacher: right on {part.right} of {part.asked} {what} "
            f"({part.value:.0%}, 95% interval {low:.0%} to {high:.0%}). {self.exam.verdict}"
        )


@dataclass(frozen=True)
class GlossaryWritten(Event):
    """The teacher has said what the texts are and what each class covers."""

    name: ClassVar[str] = "glossary written"
    glossary: Glossary

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {"about": self.glossary.about, "classes": len(self.glossary.classes)}

    def describe(self) -> str:
        """See `Event.describe`."""
        return (
            f"glossary of {len(self.glossary.classes)} classes by the teacher: glossary.yaml in "
            "the run folder; edit a copy and set guidance.glossary to it. About the texts: "
            f"{self.glossary.about}"
        )


@dataclass(frozen=True)
class TextVerified(Event):
    """The teacher has read one of its texts without the label."""

    name: ClassVar[str] = "read blind"
    progress: ClassVar[str] = "the teacher reads its texts blind"
    verified: Verified

    def to_json(self) -> dict[str, Any]:
        """See `Event.to_json`."""
        return {
            "id": self.verified.text.id,
            "said": self.verified.said,
            "confirmed": round(self.verified.confirmed, 6),
        }
