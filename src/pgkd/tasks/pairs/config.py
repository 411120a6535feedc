"""The settings of a run on pairs of texts."""

from __future__ import annotations

from pydantic import Field, model_validator

from pgkd.tasks.common.config import GuidanceConfig, RowsConfig, RowsData


class PairsData(RowsData):
    """Which rows, and what their columns are."""

    text_pair_column: str = Field(
        default="text_pair", min_length=1, description="column that holds the second text"
    )
    label_column: str = Field(
        default="label", min_length=1, description="column that holds the label"
    )
    score_column: str = Field(
        default="score",
        min_length=1,
        description="column that holds the score; where there is none, labels are predicted",
    )
    score_min: float | None = Field(
        default=None, allow_inf_nan=False, description="lowest score; default: of the rows"
    )
    score_max: float | None = Field(
        default=None, allow_inf_nan=False, description="highest score; default: of the rows"
    )

    @property
    def inputs(self) -> tuple[str, str]:
        """Columns of the texts."""
        return self.text_column, self.text_pair_column

    @property
    def bounded(self) -> bool:
        """Whether bounds of scores are given."""
        return self.score_min is not None or self.score_max is not None

    @model_validator(mode="after")
    def _bounds(self) -> PairsData:
        low, high = self.score_min, self.score_max
        if low is not None and high is not None and low >= high:
            raise ValueError("score_min has to be below score_max")
        return self


class PairsGuidance(GuidanceConfig):
    """What the teacher is told."""

    scale: str = Field(
        default="",
        max_length=1000,
        description="what the ends of the scale mean, e.g. 0 = unrelated, 5 = the same meaning",
    )


class PairsConfig(RowsConfig):
    """All settings of a run on pairs of texts.

    ``student.recipe`` is ``frozen`` for two towers (a head on the features of both texts),
    ``finetune`` for a cross-encoder, and ``auto`` for whichever predicts held-out rows better.
    """

    data: PairsData = PairsData()
    guidance: PairsGuidance = PairsGuidance()
