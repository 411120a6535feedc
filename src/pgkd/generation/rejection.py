"""Samples, and why some of them are dropped."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Why something was dropped. Disagreement with the student is none: it carries the gain."""

    TOO_LARGE = "reply too large"
    NO_JSON = "no JSON"
    CUT_OFF = "cut off"
    TOO_MANY = "more than asked for"
    WRONG_TYPE = "wrong type"
    OFF_LIST = "label not asked for"
    EMPTY = "no text"
    PLACEHOLDER = "placeholder"
    TOO_LONG = "too long"
    RUNAWAY = "runaway repetition"
    CONTAMINATION = "matches a validation row"
    COPY = "copies a shown example"
    REAL_DUPLICATE = "near a training row"
    DUPLICATE = "near an earlier text"
    NO_LABEL = "the teacher names no class"


@dataclass(frozen=True, slots=True)
class Sample:
    """A text of the teacher with a class that was asked for.

    Attributes:
        text: normalised: one line, no control characters.
        label: one of the classes that were asked for.
        position: where it stood in the reply, from 0.
    """

    text: str
    label: str
    position: int


@dataclass(frozen=True, slots=True)
class Fault:
    """Something in a reply that is no sample; the teacher may be asked again.

    Attributes:
        position: where it stood in the reply, None where the reply as a whole is at fault.
        reason: what kind of fault.
        detail: what is wrong, in words that the teacher can use.
        raw: the beginning of what came.
    """

    position: int | None
    reason: Reason
    detail: str
    raw: str


@dataclass(frozen=True, slots=True)
class Drop:
    """A valid sample that is not kept."""

    sample: Sample
    reason: Reason
    detail: str
