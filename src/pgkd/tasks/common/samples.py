"""Asking a teacher for samples, and reading its untrusted reply."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from zlib import crc32

import numpy as np

from pgkd.curation import Reason
from pgkd.task import Example, Parsed, Prompt, Rejected
from pgkd.tasks.common.config import RowsConfig
from pgkd.teachers.base import Message, Reply, Request, Sampling
from pgkd.teachers.replies import json_values
from pgkd.text import as_json, mostly_characters, shortened

SHOWN_WORDS = 80  # of a text in a prompt: the context of a local teacher is small
_LONGEST_ASKED = 1_000  # characters of a text that a teacher is asked for
_TOKENS_A_WORD = 2.0  # generous: an answer that is cut off costs a second call
_INVISIBLE = {"Cc", "Cf", "Cs", "Co"}
_JOINERS = {"\u200c", "\u200d"}  # Persian words and joined emoji are spelt with them
_RAW = 500  # characters of a fault that are kept


@dataclass(frozen=True, slots=True)
class ReplyLimits:
    """Bounds of what is read.

    Attributes:
        reply_characters: longer replies are refused unread.
        text_characters: longer texts are a fault.
        description_characters: of a description of the task; the rest is cut off.
        items: more items than these are ignored.
    """

    reply_characters: int = 1_000_000
    text_characters: int = 20_000
    description_characters: int = 400
    items: int = 1_000


class SampleError(ValueError):
    """An item of a reply is no sample.

    Attributes:
        reason: what kind of fault, as counted in the report.
    """

    def __init__(self, detail: str, reason: str = Reason.WRONG_TYPE) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class SamplesPrompt(Prompt):
    """Asks for a list of samples: ``{"samples": [{...}, ...]}``.

    Attributes:
        read: makes an example of an item of the list, and raises `SampleError` for what is none.
        cell: what the samples are for, such as a label: a name of `Evaluation.cells`.
    """

    read: Callable[[Mapping[str, Any]], Example]
    cell: str = ""
    limits: ReplyLimits = field(default_factory=ReplyLimits)

    def parse(self, reply: Reply, count: int) -> Parsed:
        """See `Prompt.parse`. Of several lists the last one counts: models correct themselves."""
        limits = self.limits
        if len(reply.text) > limits.reply_characters:
            detail = (
                f"the reply has {len(reply.text)} characters, {limits.reply_characters} are read"
            )
            return Parsed((), (Rejected(Reason.TOO_LARGE, detail, reply.text[:_RAW]),))
        items, fault = list_items(reply)
        accepted: list[Example] = []
        rejected = [fault] if fault else []
        for position, item in enumerate(items[: limits.items]):
            try:
                if not isinstance(item, dict):
                    raise SampleError("a sample has to be an object")
                accepted.append(self.read(item))
            except SampleError as error:
                rejected.append(Rejected(error.reason, str(error), quote(item), position))
        if len(accepted) > count:
            detail = f"the reply holds {len(accepted)} samples, and {count} were asked for"
            rejected.append(Rejected(Reason.TOO_MANY, detail, quote(accepted[count].text)))
        return Parsed(tuple(accepted[:count]), tuple(rejected))

    def to_json(self) -> dict[str, Any]:
        """See `Prompt.to_json`."""
        return {**super().to_json(), "cell": self.cell}


def list_items(reply: Reply) -> tuple[list[Any], Rejected | None]:
    """The items of a reply's last list of samples, and what is wrong with the reply as a whole.

    Of a reply that is cut off these are the objects before the cut.
    """
    whole = json_values(reply.text)
    for data in reversed(whole):
        if isinstance(data, dict) and isinstance(data.get("samples"), list):
            return data["samples"], None
    objects = [data for data in whole if isinstance(data, dict)]
    if len(whole) == 1 and isinstance(whole[0], list):
        return whole[0], None
    if not whole:
        return [], Rejected(Reason.NO_JSON, "the reply holds no JSON", reply.text[:_RAW])
    detail = f"the JSON breaks off or is damaged after {len(objects)} samples"
    if reply.finish_reason == "length":
        detail += ": it was cut off at its bound of tokens (teacher.max_tokens)"
    return objects, Rejected(Reason.CUT_OFF, detail, reply.text[-_RAW:])


def read_text(item: Mapping[str, Any], key: str = "text", limit: int = 20_000) -> str:
    """A text of a sample, in one line and without characters that cannot be seen.

    Raises:
        SampleError: it is none, empty or too long.
    """
    text = item.get(key)
    if not isinstance(text, str):
        raise SampleError(f"{key} has to be a string")
    if len(text) > limit:
        raise SampleError(f"the {key} has {len(text)} characters", Reason.TOO_LONG)
    text = normalise(text)
    if not any(c.isalnum() for c in text):
        raise SampleError(f"the {key} is empty", Reason.EMPTY)
    return text


def samples_request(
    id_: str,
    system: str,
    user: str,
    item: dict[str, Any],
    count: int,
    *,
    tokens: int,
    config: RowsConfig,
) -> Request:
    """A request for so many samples.

    Args:
        id_: of the request.
        system: the system prompt: what is the same in every request of every run.
        user: what the user says.
        item: JSON schema of one sample; see `closed`.
        count: samples.
        tokens: that an answer may take, where the settings do not say.
        config: the settings of the run; every request draws its own seed from theirs and its id.
    """
    teacher, about = config.teacher, config.guidance.instructions
    if about:
        system += f"\n\nAbout the texts: {about}"
    samples = {"type": "array", "items": item, "minItems": count, "maxItems": count}
    sampling = Sampling(
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        max_tokens=teacher.max_tokens or tokens,
        seed=crc32(f"{config.seed}/{id_}".encode()) >> 1,  # fits a signed 32-bit integer
    )
    messages = (Message("system", system), Message("user", user))
    return Request(messages, closed({"samples": samples}), sampling)


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """JSON schema of an object that has all of these properties and no other."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@dataclass(frozen=True, slots=True)
class LengthTarget:
    """How long a text is: the 10th, 50th and 90th percentile of the real rows.

    Attributes:
        unit: ``"words"``, or ``"characters"`` where words are not the unit.
    """

    shortest: int
    usual: int
    longest: int
    unit: str = "words"

    @classmethod
    def of(cls, texts: Sequence[str]) -> LengthTarget:
        """Measure real texts."""
        in_characters = mostly_characters(texts)
        lengths = [
            min(len("".join(text.split())), _LONGEST_ASKED) if in_characters else len(text.split())
            for text in texts
        ]
        low, middle, high = np.percentile(lengths, [10, 50, 90])
        unit = "characters" if in_characters else "words"
        return cls(max(1, int(low)), max(2, round(middle)), max(3, int(np.ceil(high))), unit)


def answer_tokens(count: int, length: LengthTarget) -> int:
    """Tokens that an answer may take: each text, its label and punctuation, with room to spare."""
    return 96 + count * (32 + math.ceil(_TOKENS_A_WORD * length.longest))


def shorten(text: str, most: int = SHOWN_WORDS) -> str:
    """A text as a prompt shows it: one line, and its beginning where it is long."""
    kept = shortened(text, most)
    return kept + (" …" if len(kept) < len(" ".join(text.split())) else "")


def normalise(text: str) -> str:
    """One line in Unicode's composed form, without control or invisible characters."""
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(
        " " if unicodedata.category(c) in _INVISIBLE and c not in _JOINERS else c for c in composed
    )
    return " ".join(visible.split())


def quote(item: Any) -> str:
    """The beginning of an item as it came."""
    try:
        return as_json(item)[:_RAW]
    except (ValueError, RecursionError):
        return repr(type(item))
