"""The settings of a hierarchical classifier, beyond those of classification."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pgkd.tasks.classification.config import ClassificationConfig, StudentConfig, TextData


class PathData(TextData):
    """Which rows, and how their labels name a path."""

    separator: str | None = Field(
        default=None,
        min_length=1,
        description="what stands between the levels of a label; default: ' > ', ' / ' or another "
        "usual one that most labels have",
    )


class HierarchyStudentConfig(StudentConfig):
    """The classifier that is trained."""

    inner_below: Literal["off", "auto"] | Annotated[float, Field(gt=0, lt=1)] = Field(
        default="off",
        description="answer with the node above where a node is less probable; auto: as gives the "
        "best hierarchical F1 out of fold; off: always a leaf",
    )

    @field_validator("inner_below", mode="before")
    @classmethod
    def _off_in_yaml(cls, value: Any) -> Any:
        """YAML reads a bare ``off`` as false."""
        return "off" if value is False else value

    def make(self, classes: Sequence[str], seed: int) -> Any:
        """See `StudentConfig.make`."""
        from pgkd.tasks.classification.students import student_class
        from pgkd.tasks.hierarchy.students import STUDENTS

        settings = self.arguments_for(student_class(self.kind))
        return STUDENTS[self.kind](classes, seed=seed, inner_below=self.inner_below, **settings)


class HierarchyConfig(ClassificationConfig):
    """All settings of a run that distils a hierarchical classifier."""

    task: str = Field(default="hierarchy", description="the kind of task")
    data: PathData = PathData()
    student: HierarchyStudentConfig = HierarchyStudentConfig()
