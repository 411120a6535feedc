"""The settings of a run that distils a text generator."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from pgkd.config import Section
from pgkd.tasks.common.config import GuidanceConfig, ModelConfig, RowsConfig, RowsData


class GenerationData(RowsData):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    text_column: str = Field(default="input", min_length=1, description="column of the input")
    output_column: str = Field(default="output", min_length=1, description="column of the output")
    validation_fraction: float = Field(
        default=0.2, gt=0, lt=1, description="share held out where no validation file is given"
    )


class GeneratorConfig(ModelConfig):
    """The causal language model that is fine-tuned."""

    model: str = Field(
        default="smollm2-135m", min_length=1, description="weights by name, hub name, or a folder"
    )
    max_length: int = Field(default=512, ge=8, le=8192, description="tokens of an input")
    max_output: int | None = Field(
        default=None, ge=4, le=4096,
        description="tokens of an output; default: a quarter more than the longest row has",
    )  # fmt: skip
    epochs: int = Field(default=4, ge=1, le=1000, description="passes over the rows")
    batch_size: int = Field(default=8, ge=1, le=1024, description="rows of a step")
    learning_rate: float = Field(default=2e-4, gt=0, le=1, description="of AdamW, at its highest")


class MetricConfig(Section):
    """How an output is compared with the expected one."""

    kind: Literal["exact", "json", "sqlite", "regex", "chrf", "python"] = Field(
        default="exact",
        description="same text, JSON object or query result; a pattern; similar characters; or a "
        "function of your own",
    )
    database: Path | None = Field(default=None, description="sqlite: file that is queried")
    seconds: float = Field(default=2.0, gt=0, le=60, description="sqlite: of a query at most")
    rows: int = Field(default=10_000, ge=1, description="sqlite: of a result at most")
    pattern: re.Pattern[str] | None = Field(
        default=None, description="regex: the whole output matches, its named groups are equal"
    )
    function: str | None = Field(
        default=None, pattern=r"^[\w.]+:\w+$",
        description="python: module:function of input, expected and output; gives a score from 0 "
        "to 1, or that and a reason",
    )  # fmt: skip

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"sqlite": "database", "regex": "pattern", "python": "function"}.get(self.kind)
        if needed and getattr(self, needed) is None:
            raise ValueError(f"metric.kind {self.kind} needs metric.{needed}")
        return self


class GenerationGuidance(GuidanceConfig):
    """What the teacher is told, and who decides what it writes."""

    folds: int = Field(
        default=2, ge=2, le=50, description="folds of the out-of-fold outputs, a training each"
    )


class GenerationConfig(RowsConfig):
    """All settings of a run that distils a text generator."""

    data: GenerationData = GenerationData()
    student: GeneratorConfig = GeneratorConfig()  # type: ignore[assignment]
    metric: MetricConfig = MetricConfig()
    guidance: GenerationGuidance = GenerationGuidance()
    synthetic_weight: float = Field(
        default=1.0, gt=0, le=10, description="weight of a synthetic row, the user's own is 1"
    )

    paths: ClassVar[tuple[str, ...]] = (*RowsConfig.paths, "metric.database")
