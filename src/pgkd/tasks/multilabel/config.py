"""The settings of a multi-label run, beyond those of every run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field, model_validator

from pgkd.tasks.common.config import RowsConfig, RowsData


class MultiLabelData(RowsData):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    label_column: str = Field(
        default="labels", min_length=1, description="column of the labels: a list, or separated"
    )
    label_columns: tuple[str, ...] = Field(
        default=(), description="instead of label_column: a column of 0 and 1 for each label"
    )
    separator: str | None = Field(
        default=None, min_length=1, description="of labels in a cell; default: found, of | ; and ,"
    )
    classes: Path | None = Field(
        default=None, description="YAML list of labels; default: from the rows"
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that hold the labels."""
        return self.label_columns or (self.label_column,)

    @model_validator(mode="after")
    def _one_form(self) -> MultiLabelData:
        if len(set(self.label_columns)) != len(self.label_columns):
            raise ValueError("label_columns names a column twice")
        if self.label_columns and (self.classes or self.separator):
            raise ValueError("label_columns goes without classes and without separator")
        return self


class MultiLabelConfig(RowsConfig):
    """All settings of a run that distils a multi-label classifier."""

    data: MultiLabelData = MultiLabelData()

    paths: ClassVar[tuple[str, ...]] = (*RowsConfig.paths, "data.classes")
