"""The form of a run's files: what has to be there, and of what type, for them to be read.

More may be there. What is checked here needs no check, and no guess, where it is used.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    InstanceOf,
    ValidationError,
    model_validator,
)

from pgkd.errors import RunError

_Count = Annotated[int, Field(ge=0, le=10**12)]
_Number = Annotated[float, Field(allow_inf_nan=False)]
_Str = InstanceOf[str]  # half a character, which no UTF-8 holds, may stand in JSON
_Section = dict[str, Any] | None


class _Form(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Settings(_Form):
    """Of config.yaml; what a command makes of it checks the rest."""

    data: _Section = None
    student: _Section = None
    teacher: _Section = None
    guidance: _Section = None
    curation: _Section = None
    budget: _Section = None
    rounds: _Count | None = None
    seed: int | None = None

    @model_validator(mode="after")
    def _check_bound(self) -> _Settings:
        bound = (self.curation or {}).get("near_duplicate", 0.9)
        if isinstance(bound, bool) or not isinstance(bound, float | int):
            raise ValueError("curation.near_duplicate is no number")
        return self


class _Origin(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    round: _Count
    request: _Str
    parents: list[_Str] = []
    labelled: bool = False
    confidence: _Number | None = None


class _Row(_Form):
    text: _Str
    label: _Str
    id: _Str
    origin: _Origin | None = None


class _Text(_Row):
    origin: _Origin


class _Class(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")

    name: _Str
    description: _Str = ""
    parent: _Str | None = None


class _Pool(_Form):
    texts: _Count
    sha256: _Str


class _Task(_Form):
    classes: list[_Class]
    train: list[_Row]
    validation: list[_Row]
    warnings: list[_Str]
    pool: _Pool | None = None

    @model_validator(mode="after")
    def _check_labels(self) -> _Task:
        names = {each.name for each in self.classes}
        unknown = {row.label for row in (*self.train, *self.validation)} - names
        if unknown:
            raise ValueError(f"there is no class {min(unknown)!r:.40}")
        return self


class _ClassFigures(_Form):
    name: _Str
    precision: _Number = 0.0
    recall: _Number = 0.0
    f1: _Number
    support: _Count


class _Confused(_Form):
    gold: _Str
    predicted: _Str
    rows: _Count


class _Figures(_Form):
    n: _Count
    accuracy: _Number
    macro_f1: _Number
    log_loss: _Number
    per_class: list[_ClassFigures] = []
    confused: list[_Confused] = []


class _Round(_Form):
    round: _Count
    asked: _Count
    kept: _Count
    written: _Count
    written_weight: _Number | None = None
    labelled_weight: _Number | None = None
    keep: bool
    loss_change: _Number = 0.0
    loss_change_standard_error: _Number | None = None
    validation: _Figures


class _Ask(_Form):
    id: _Str
    labels: Annotated[list[_Str], Field(min_length=1)] | Literal["all"]
    count: _Count
    reasons: list[_Str] = []
    shown: list[_Str] = []


class _Start(_Form):
    round: _Count
    asks: list[_Ask]


class _ClassList(_Form):
    used: bool
    loss_change: _Number = 0.0
    loss_change_standard_error: _Number | None = None


class _Described(_Form):
    description: _Str


class _Reply(_Form):
    id: _Str


class _End(_Form):
    best: _Count
    stopped_by: _Str
    detail: _Str = ""


class _Estimate(_Form):
    usd: _Str | None = None


class _Result(_End):
    rounds: list[_Round]

    @model_validator(mode="after")
    def _check_best(self) -> _Result:
        if self.rounds and self.best not in {line.round for line in self.rounds}:
            raise ValueError(f"the best round, {self.best}, is none of its rounds")
        return self


class _Dropped(_Form):
    request: _Str
    reason: _Str
    detail: _Str = ""
    label: _Str | None = None


class _Suspect(_Form):
    id: _Str
    label: _Str
    by: _Str = ""
    suggested: _Str = ""
    confidence: _Number | None = None
    round: _Count | None = None
    request: _Str = ""
    text: _Str


class _Evaluation(_Form):
    data: _Str
    rows: _Count
    time: _Str = ""
    students: dict[str, _Figures]
    teacher: _Section = None
    timing: _Section = None
    left_out: dict[str, _Count] = {}


class _Reviewed(_Form):
    before: _Figures
    after: _Figures
    decisions: dict[str, _Count]
    keep: bool
    loss_change: _Number


class _Event(_Form):
    event: _Str
    time: _Str = ""


_FORMS: dict[str, type[BaseModel]] = {
    "config.yaml": _Settings,
    "task.json": _Task,
    "journal.jsonl": _Event,
    "examples.jsonl": _Text,
    "dropped.jsonl": _Dropped,
    "suspects.jsonl": _Suspect,
    "result.json": _Result,
    "evaluation.json": _Evaluation,
    "reviewed.json": _Reviewed,
}
_EVENTS: dict[str, type[BaseModel]] = {
    "round started": _Start,
    "round ended": _Round,
    "class list tried": _ClassList,
    "task described": _Described,
    "reply": _Reply,
    "estimated": _Estimate,
    "run ended": _End,
}


def check(name: str, record: dict[str, Any], where: _Str) -> None:
    """See that a file, or a line of one, has its form.

    Args:
        name: of the file.
        record: what it holds.
        where: the file, and the line, for the message.

    Raises:
        RunError: it has another one.
    """
    forms = [_FORMS[name]] if name in _FORMS else []
    if name == "journal.jsonl" and isinstance(record.get("event"), str):
        forms += [_EVENTS[record["event"]]] if record["event"] in _EVENTS else []
    try:
        for form in forms:
            form.model_validate(record)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        told = f"{place}: {first['msg']}" if place else first["msg"]
        raise RunError(f"{where} is damaged: {told[:200].rstrip('.')}.") from None
