"""The form of a run's files: what has to be there, and of what type, for them to be read.

More may be there. What is checked here needs no check, and no guess, where it is used. A task adds
the form of what it writes (`Task.forms`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationError, model_validator

from pgkd.errors import RunError

Count = Annotated[int, Field(ge=0, le=10**12)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Str = InstanceOf[str]  # half a character, which no UTF-8 holds, may stand in JSON
_Section = dict[str, Any] | None


class Form(BaseModel):
    """A record, strictly typed; fields that it does not name are left alone."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Settings(Form):
    """Of config.yaml; what a command makes of it checks the rest."""

    task: Str | None = None
    data: _Section = None
    student: _Section = None
    teacher: _Section = None
    guidance: _Section = None
    curation: _Section = None
    budget: _Section = None
    rounds: Count | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _check_bound(self) -> _Settings:
        bound = (self.curation or {}).get("near_duplicate", 0.9)
        if isinstance(bound, bool) or not isinstance(bound, float | int):
            raise ValueError("curation.near_duplicate is no number")
        return self


class _Origin(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    round: Count
    request: Str
    parents: list[Str] = []
    labelled: bool = False
    confidence: Number | None = None


class Row(Form):
    """One of the user's examples."""

    text: Str
    id: Str
    origin: _Origin | None = None


class SyntheticRow(Row):
    """One of the teacher's."""

    origin: _Origin


class _Round(Form):
    round: Count
    asked: Count
    accepted: Count
    synthetic: Count
    keep: bool
    loss_change: Number = 0.0
    loss_change_standard_error: Number | None = None


class _Prompt(Form):
    id: Str
    count: Count
    reasons: list[Str] = []
    shown: list[Str] = []


class _Start(Form):
    round: Count
    prompts: list[_Prompt]


class _Reply(Form):
    id: Str


class _End(Form):
    best: Count
    stopped_by: Str
    detail: Str = ""


class _Estimate(Form):
    usd: Str | None = None


class _Result(_End):
    rounds: list[_Round]

    @model_validator(mode="after")
    def _check_best(self) -> _Result:
        if self.rounds and self.best not in {line.round for line in self.rounds}:
            raise ValueError(f"the best round, {self.best}, is none of its rounds")
        return self


class _Dropped(Form):
    request: Str
    reason: Str
    detail: Str = ""


class _Issue(Form):
    id: Str
    round: Count | None = None
    request: Str = ""
    text: Str


class _Evaluation(Form):
    data: Str
    rows: Count
    time: Str = ""
    teacher: _Section = None
    timing: _Section = None
    left_out: dict[str, Count] = {}


class _Reviewed(Form):
    decisions: dict[str, Count]
    keep: bool
    loss_change: Number


class _Event(Form):
    event: Str
    time: Str = ""


FORMS: dict[str, type[BaseModel]] = {
    "config.yaml": _Settings,
    "journal.jsonl": _Event,
    "examples.jsonl": SyntheticRow,
    "rejected.jsonl": _Dropped,
    "label_issues.jsonl": _Issue,
    "result.json": _Result,
    "evaluation.json": _Evaluation,
    "reviewed.json": _Reviewed,
    "journal.jsonl:round started": _Start,
    "journal.jsonl:round ended": _Round,
    "journal.jsonl:reply": _Reply,
    "journal.jsonl:estimated": _Estimate,
    "journal.jsonl:run ended": _End,
}


def check(record: dict[str, Any], forms: Iterable[type[BaseModel]], where: str) -> None:
    """See that a file, or a line of one, has its forms.

    Args:
        record: what it holds.
        forms: all that it has to have.
        where: the file, and the line, for the message.

    Raises:
        RunError: it has another one.
    """
    try:
        for form in forms:
            form.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        message = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunError(f"{where} is damaged: {message[:200].rstrip('.')}.") from None
