"""The settings of a run that distils span extraction, beyond those of every run."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from pgkd.tasks.common.config import RowsConfig, RowsData


class SlotsData(RowsData):
    """Which rows, and how they are split. No setting here names a test file: the loop has none."""

    entity_column: str | None = Field(
        default=None,
        min_length=1,
        description="column of the entities; default: entities, spans or ents, else tags in the "
        "text such as `[jazz](genre)`",
    )
    classes: Path | None = Field(
        default=None, description="YAML list of labels; default: from the rows"
    )


class SlotsConfig(RowsConfig):
    """All settings of a run that distils span extraction."""

    data: SlotsData = SlotsData()

    paths: ClassVar[tuple[str, ...]] = (*RowsConfig.paths, "data.classes")
