"""The settings of a classification run, beyond those of every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from pgkd.config import Config, CurationConfig, Section
from pgkd.tasks.common.config import EncoderConfig, GuidanceConfig, RowsData

if TYPE_CHECKING:
    from pgkd.tasks.classification.students.base import Student


class TextData(RowsData):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    label_column: str = Field(
        default="label", min_length=1, description="column that holds the class"
    )
    classes: Path | None = Field(
        default=None, description="YAML list of classes; default: from the rows"
    )


class StudentConfig(EncoderConfig):
    """The classifier that is trained."""

    kind: Literal["encoder", "static", "linear"] = Field(
        default="encoder", description="which student"
    )
    embeddings: str = Field(
        default="wordllama-256", description="static only: token vectors by name, or a folder"
    )

    def make(self, classes: Sequence[str], seed: int) -> Student:
        """The unfitted student that these settings describe."""
        from pgkd.tasks.classification.students import make_student, student_class

        settings = self.arguments_for(student_class(self.kind))
        return make_student(self.kind, classes, seed=seed, **settings)


class TextGuidance(GuidanceConfig):
    """What the teacher is told, and who decides what it writes."""

    mode: Literal["targeted", "paper"] = Field(
        default="targeted",
        description="pgkd allocates small requests, or the paper's one prompt a round",
    )
    glossary: Literal["auto", "off"] | Path = Field(
        default="auto",
        description="targeted: what each class covers, in a line that every prompt shows: the "
        "teacher says it, or a file as a run writes it (glossary.yaml)",
    )


class PoolConfig(Section):
    """How a pool of unlabelled texts is used, where `data.unlabelled` names one."""

    share: Literal["auto"] | Annotated[float, Field(ge=0, le=1)] = Field(
        default="auto",
        description="share of the rounds that ask for labels of the pool, and not for new texts; "
        "auto: what helped more for its cost",
    )
    choice: Literal["guided", "random"] = Field(
        default="guided",
        description="which texts are labelled: where the student is unsure and no label is near; "
        "or any",
    )
    weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="weight of a text with the teacher's label, a real row's is 1; auto: by how "
        "often the teacher agrees with rows",
    )
    samples: int = Field(default=32, ge=1, description="labels asked for a round")
    limit: int = Field(
        default=100_000, ge=1, le=100_000, description="texts of the pool at most; drawn of more"
    )


class TextCuration(CurationConfig):
    """What is accepted of what the teacher writes."""

    self_verification: bool = Field(
        default=False,
        description="the teacher reads each of its texts blind, and the text weighs by the "
        "probability of its class",
    )


class ClassificationConfig(Config):
    """All settings of a run that distils a text classifier."""

    data: TextData = TextData()
    student: StudentConfig = StudentConfig()
    guidance: TextGuidance = TextGuidance()
    curation: TextCuration = TextCuration()
    pool: PoolConfig = PoolConfig()
    exam: int = Field(
        default=64,
        ge=0,
        description="labelled rows that the teacher labels before it writes; 0 trusts it unseen",
    )
    texts_per_class: Literal["auto"] | Annotated[int, Field(ge=1, le=10_000)] = Field(
        default="auto",
        description="texts asked for in all rounds, by the number of classes; auto: 20, and 640 in "
        "all at least; 320 in all for a teacher that cannot do many at once",
    )
    samples: Literal["auto"] | Annotated[int, Field(ge=1, le=100_000)] = Field(
        default="auto",
        description="new texts asked for a round; auto: they double, up to texts_per_class",
    )
    label_names: bool = Field(
        default=True,
        description="train on class names and descriptions too, where cross-validation finds gain",
    )
    synthetic_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="weight of a synthetic text, a labelled row's is 1; auto: by cross-validation",
    )

    paths: ClassVar[tuple[str, ...]] = (*Config.paths, "data.classes", "guidance.glossary")
