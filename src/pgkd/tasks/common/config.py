"""Settings that several kinds of task share."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from pgkd.config import Config, DataConfig, Section


class RowsData(DataConfig):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    text_column: str = Field(default="text", min_length=1, description="column that holds the text")


class ModelConfig(Section):
    """The pretrained model under a student, whatever it is."""

    max_length: int = Field(
        default=128, ge=8, le=8192, description="tokens of a text that are read"
    )
    threads: int | None = Field(default=None, ge=1, description="CPU threads; default: all cores")
    device: str = Field(
        default="auto", description="cpu, cuda, cuda:N or mps; auto takes a GPU where there is one"
    )
    precision: Literal["auto", "fp32", "bf16"] = Field(
        default="auto", description="of fine-tuning; auto is bf16 on a CUDA device that has it"
    )

    @field_validator("device")
    @classmethod
    def _known_device(cls, name: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
            raise ValueError(f"there is no device '{name}': give auto, cpu, cuda, cuda:N or mps")
        return name


class EncoderConfig(ModelConfig):
    """The encoder under the student."""

    encoder: str = Field(
        default="all-minilm-l6-v2", description="weights by name, hub name, or a folder"
    )
    recipe: Literal["auto", "frozen", "finetune"] = Field(
        default="auto",
        description="train a head on frozen features, or all of it; auto tries both",
    )


class GuidanceConfig(Section):
    """What the teacher is told, and who decides what it writes."""

    folds: int = Field(default=5, ge=2, le=50, description="folds of the out-of-fold predictions")
    allocation: Literal["guided", "even"] = Field(
        default="guided",
        description="more texts where the student is wrong, or as many everywhere",
    )
    texts_per_request: Literal["auto"] | Annotated[int, Field(ge=1, le=50)] = Field(
        default="auto", description="texts of one request; auto: what the kind of task does best"
    )
    instructions: str = Field(
        default="",
        max_length=4000,
        description="what the teacher should know of the task, e.g. who writes the texts to whom",
    )


class RowsConfig(Config):
    """The settings of a kind of task that learns from rows and from samples of the teacher."""

    data: RowsData = RowsData()
    student: EncoderConfig = EncoderConfig()
    guidance: GuidanceConfig = GuidanceConfig()
    texts: int = Field(
        default=320, ge=1, description="texts asked for in all rounds; they double each round"
    )
    synthetic_weight: Literal["auto"] | Annotated[float, Field(gt=0, le=10)] = Field(
        default="auto",
        description="weight of a synthetic text, a labelled row's is 1; auto: by cross-validation",
    )
