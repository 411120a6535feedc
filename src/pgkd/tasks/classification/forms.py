"""The form of what classification writes into a run folder; see `pgkd.runs.forms`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pgkd.runs.forms import Count, Form, Number, Row, Str, SyntheticRow


class _Labelled(Row):
    label: Str


class _Text(SyntheticRow):
    label: Str


class _Class(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: Str
    description: Str = ""
    parent: Str | None = None


class _Pool(Form):
    texts: Count
    sha256: Str


class _Dataset(Form):
    classes: list[_Class]
    train: list[_Labelled]
    validation: list[_Labelled]
    warnings: list[Str]
    pool: _Pool | None = None

    @model_validator(mode="after")
    def _check_labels(self) -> _Dataset:
        names = {each.name for each in self.classes}
        unknown = {row.label for row in (*self.train, *self.validation)} - names
        if unknown:
            raise ValueError(f"there is no class {min(unknown)!r:.40}")
        return self


class _ClassFigures(Form):
    name: Str
    precision: Number = 0.0
    recall: Number = 0.0
    f1: Number
    n: Count


class _Confused(Form):
    gold: Str
    predicted: Str
    rows: Count


class _Figures(Form):
    n: Count
    accuracy: Number
    macro_f1: Number
    log_loss: Number
    cells: list[_ClassFigures] = Field(default_factory=list)
    confused: list[_Confused] = Field(default_factory=list)


class _Round(Form):
    synthetic_weight: Number | None = None
    labelled_weight: Number | None = None
    validation: _Figures


class _Result(Form):
    rounds: list[_Round]


class _Prompt(Form):
    labels: Annotated[list[Str], Field(min_length=1)] | Literal["all"]


class _Start(Form):
    prompts: list[_Prompt]


class _LabelNames(Form):
    used: bool
    loss_change: Number = 0.0
    loss_change_standard_error: Number | None = None


class _Described(Form):
    description: Str


class _Dropped(Form):
    label: Str | None = None


class _Issue(Form):
    label: Str
    by: Str = ""
    suggested: Str = ""
    confidence: Number | None = None


class _Evaluation(Form):
    students: dict[str, _Figures]


class _Reviewed(Form):
    before: _Figures
    after: _Figures


FORMS: dict[str, type[BaseModel]] = {
    "task.json": _Dataset,
    "examples.jsonl": _Text,
    "rejected.jsonl": _Dropped,
    "label_issues.jsonl": _Issue,
    "result.json": _Result,
    "evaluation.json": _Evaluation,
    "reviewed.json": _Reviewed,
    "journal.jsonl:round started": _Start,
    "journal.jsonl:round ended": _Round,
    "journal.jsonl:label names tried": _LabelNames,
    "journal.jsonl:task described": _Described,
}
