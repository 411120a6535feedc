"""What is asked and answered, as JSON; from these classes comes /openapi.json."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

_SHOWN = 40  # characters of a name that a message repeats


class Question(BaseModel):
    """One text, or many."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"texts": ["My parcel never arrived."], "top": 3}]},
    )

    text: str | None = Field(None, description="One text. Give this or `texts`.")
    # One error is enough: a body can hold a hundred thousand.
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Many texts."
    )
    top: int = Field(1, ge=1, description="How many classes to tell of each text, at most.")

    @model_validator(mode="before")
    @classmethod
    def _known_fields(cls, data: Any) -> Any:
        """Tell the first unknown name; pydantic would list all of them."""
        names = data if isinstance(data, dict) else ()
        unknown = next((name for name in names if name not in cls.model_fields), None)
        if unknown is not None:
            raise ValueError(f"there is no field {unknown[:_SHOWN]!r}")
        return data

    @model_validator(mode="after")
    def _one_of(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either 'text' or 'texts'")
        return self

    def all_texts(self) -> list[str]:
        """The texts, also of one."""
        return [self.text] if self.text is not None else list(self.texts or ())


class Candidate(BaseModel):
    """A class, and how probable it is."""

    label: str
    probability: float


class Prediction(BaseModel):
    """The answer to one text."""

    label: str = Field(description="The class.")
    probability: float | None = Field(
        description="Of that class; null where a teacher does not tell how sure it is."
    )
    top: list[Candidate] = Field(
        description="What the student holds most probable, the best first."
    )
    by: Literal["student", "teacher"] = Field(
        "student", description="Whose answer it is; a teacher's only in a cascade."
    )
    abstain: bool = Field(
        False, description="Whether the student answers and is less sure than it has to be."
    )


class Answer(BaseModel):
    """One prediction a text, in the order of the texts."""

    predictions: list[Prediction]


class Status(BaseModel):
    """How a worker is."""

    status: str


class Model(BaseModel):
    """What is served."""

    classes: list[str] = Field(description="Class names.")
    format: str = Field(description="Of the export.")
    max_texts: int = Field(description="Of one request.")
    max_characters: int = Field(description="Of one text.")
    cascade_below: float | None = Field(
        None, description="Texts whose class is less probable go to a teacher; null: none does."
    )
    abstain_below: float | None = Field(
        None, description="Answers of the student that are less probable are flagged; null: none."
    )


class Reason(BaseModel):
    """Why a request was refused."""

    code: str = Field(description="A word for programs.")
    message: str = Field(description="What is wrong, and what to do.")


class Problem(BaseModel):
    """The body of every answer that is no 2xx."""

    error: Reason
