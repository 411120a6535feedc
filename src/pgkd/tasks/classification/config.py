"""The settings of a classification run, beyond those of every run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from pgkd.config import Config, CurationConfig, DataConfig, Section


class TextData(DataConfig):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    text_column: str = Field(default="text", min_length=1, description="column that holds the text")
    label_column: str = Field(
        default="label", min_length=1, description="column that holds the class"
    )
    classes: Path | None = Field(
        default=None, description="YAML list of classes; default: from the rows"
    )


class StudentConfig(Section):
    """The classifier that is trained."""

    kind: Literal["encoder", "static", "linear"] = Field(
        default="encoder", description="which student"
    )
    encoder: str = Field(
        default="all-minilm-l6-v2", description="weights by name, hub name, or a folder"
    )
    recipe: Literal["auto", "frozen", "finetune"] = Field(
        default="auto",
        description="encoder only: train a head on frozen features, or all of it; auto tries both",
    )
    embeddings: str = Field(
        default="wordllama-256", description="static only: token vectors by name, or a folder"
    )
    max_length: int = Field(
        default=128, ge=8, le=8192, description="tokens of a text that are read"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: all cores")
    device: str = Field(
        default="auto",
        description="encoder only: cpu, cuda, cuda:N or mps; auto takes a GPU where there is one",
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto",
        description="encoder only: of fine-tuning; auto is bf16 on a CUDA device that has it",
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
            raise ValueError(f"there is no device '{name}': give auto, cpu, cuda, cuda:N or mps")
        return name


class GuidanceConfig(Section):
    """What the teacher is told, and who decides what it writes."""

    mode: Literal["targeted", "paper"] = Field(
        default="targeted",
        description="pgkd allocates small requests, or the paper's one prompt a round",
    )
    folds: int = Field(default=5, ge=2, le=50, description="folds of the out-of-fold predictions")
    allocation: Literal["guided", "even"] = Field(
        default="guided",
        description="targeted: more texts for classes that the student gets wrong, or the same for "
        "all",
    )
    texts_per_request: Literal["auto"] | Annotated[int, Field(ge=1, le=50)] = Field(
        default="auto",
        description="targeted: texts of one request; auto: 12, of several related classes, or 4 of "
        "one class for a teacher that cannot do many at once",
    )
    shown_examples: int = Field(
        default=4, ge=1, le=20, description="targeted: real rows shown of a class"
    )
    few_shot: int = Field(default=16, ge=0, description="paper: labelled examples in the prompt")
    mined: int = Field(
        default=16, ge=0, description="paper: correct, wrong and hard rows, each this many"
    )
    instructions: str = Field(
        default="",
        max_length=4000,
        description="what the teacher should know of the task, e.g. who writes the texts to whom",
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
    shown: int = Field(
        default=0, ge=0, le=10, description="rows of each class that a question for a label shows"
    )
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
    guidance: GuidanceConfig = GuidanceConfig()
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
