"""From an untrusted reply to samples. Nothing in a reply is believed, and nothing in it raises."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgkd.curation import Reason
from pgkd.task import Rejected
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.common.samples import ReplyLimits, normalise, quote
from pgkd.teachers.replies import json_values, objects, without_thinking

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

OFF_LIST = "label not asked for"
NO_LABEL = "the teacher names no class"
_RAW = 500  # characters of a faulty item that are kept for reading
_PLACEHOLDER = re.compile(
    r"\[[A-Za-z][^\]\d]{0,40}\]|\{\{?[A-Za-z_ ]{1,40}\}\}?|<[a-z_ ]{2,40}>", re.I
)


@dataclass(frozen=True)
class _Samples:
    """What a reply held.

    Attributes:
        samples: valid ones, in their order.
        faults: what is no sample, with its reason.
        doubtful: numbers of shown examples whose label the teacher doubts.
    """

    samples: tuple[LabelledText, ...]
    faults: tuple[Rejected, ...]
    doubtful: tuple[int, ...] = ()


def masks_in(texts: Iterable[str]) -> frozenset[str]:
    """What looks like a placeholder in real texts: ``[NAME]``, say, where names are masked.

    Args:
        texts: rows of the user.
    """
    return frozenset(mask for text in texts for mask in _PLACEHOLDER.findall(text))


def parse_samples(
    reply: str,
    allowed: Sequence[str],
    limits: ReplyLimits | None = None,
    *,
    masks: Collection[str] = (),
    count: int | None = None,
    cut_off: bool = False,
) -> _Samples:
    """Read a reply of the shape ``{"samples": [{"label", "text"}], "doubtful": [...]}``.

    Texts may also stand by class: ``{"1": {"label": ..., "texts": [...]}, "doubtful": [...]}``.
    A reply that is cut off still gives the samples before the cut. A label off the list is a
    fault: no other label is put in its place. What stands beyond the number asked for is a fault
    too, for few endpoints hold a schema's `maxItems`.

    Args:
        reply: the teacher's text.
        allowed: the classes that were asked for.
        limits: bounds of what is read.
        masks: placeholders that a text may hold, for the user's rows hold them.
        count: samples that were asked for; None reads all.
        cut_off: whether the reply ended at its bound of tokens, according to the provider.
    """
    limits = limits or ReplyLimits()
    if len(reply) > limits.reply_characters:
        detail = f"the reply has {len(reply)} characters, {limits.reply_characters} are read"
        return _Samples((), (Rejected(Reason.TOO_LARGE, detail, reply[:_RAW]),))
    items, doubtful, fault = _items(reply)
    samples: list[LabelledText] = []
    faults: list[Rejected] = []
    for position, item in enumerate(items[: limits.items]):
        read = _sample(item, position, allowed, limits, masks)
        (samples if isinstance(read, LabelledText) else faults).append(read)  # type: ignore[arg-type]
    if fault is not None:
        faults.append(_at_the_bound(fault) if cut_off else fault)
    if count is not None and len(samples) > count:
        detail = f"the reply holds {len(samples)} samples, and {count} were asked for"
        faults.append(Rejected(Reason.TOO_MANY, detail, quote(samples[count].text)))
        del samples[count:]
    return _Samples(tuple(samples), tuple(faults), doubtful)


def read_json(reply: str, limits: ReplyLimits | None = None) -> Any:
    """The last JSON object of a reply; None where it holds none, or is too long."""
    if len(reply) > (limits or ReplyLimits()).reply_characters:
        return None
    found = objects(reply)
    return found[-1] if found else None


def read_description(reply: str, limits: ReplyLimits | None = None) -> str:
    """The sentence of a reply of the shape ``{"description": "..."}``, cut to its bound.

    Empty where the reply holds no such thing: a run does without.
    """
    limits = limits or ReplyLimits()
    if len(reply) > limits.reply_characters:
        return ""
    found = [data["description"] for data in objects(reply, "description")]
    texts = [text for text in found if isinstance(text, str)]
    return normalise(texts[-1][: limits.description_characters]) if texts else ""


def _items(reply: str) -> tuple[list[Any], tuple[int, ...], Rejected | None]:
    """Items of a reply, doubted numbers, and what is wrong with the reply as a whole.

    Of several answers the last one counts: models correct themselves.
    """
    whole = json_values(reply)
    for data in reversed(whole):
        if isinstance(data, dict) and (samples := _samples(data)) is not None:
            return samples, _numbers(data.get("doubtful")), None
    answer = without_thinking(reply)
    start = re.search(r"[{\[]", answer)
    if start is None:
        return [], (), Rejected(Reason.NO_JSON, "the reply holds no JSON", reply[:_RAW])
    # A list after an opening brace may be a part of an object that is cut off.
    lists = [data for data in whole if isinstance(data, list)] if start[0] == "[" else []
    for data in reversed(lists):
        if len(whole) == 1 or any(isinstance(item, dict) for item in data):
            return list(_spread(data)), (), None
    salvaged = list(_salvage(answer))
    if salvaged or not whole:
        detail = f"the JSON breaks off or is damaged after {len(salvaged)} samples"
        return salvaged, (), Rejected(Reason.CUT_OFF, detail, reply[-_RAW:])
    detail = "the JSON has no list of texts"
    return [], (), Rejected(Reason.WRONG_TYPE, detail, reply[:_RAW])


def _spread(items: list[Any]) -> Iterator[Any]:
    """Items of a list, in which an object may hold several, as that of a whole reply does."""
    for item in items:
        inner = _samples(item) if isinstance(item, dict) else None
        yield from [item] if inner is None else inner


def _at_the_bound(fault: Rejected) -> Rejected:
    """A fault of a reply that was cut off: the cause is named, and what to do about it."""
    detail = f"{fault.detail}: it was cut off at its bound of tokens (teacher.max_tokens)"
    return replace(fault, reason=Reason.CUT_OFF, detail=detail)


def _samples(data: dict[str, Any]) -> list[Any] | None:
    """The samples of an object, in a list or by class; None where it has neither."""
    if isinstance(data.get("samples"), list):
        return list(data["samples"])
    groups = [data, *data.values()]
    if not any(isinstance(group, dict) and "texts" in group for group in groups):
        return None
    return [
        {"label": group.get("label"), "text": text}
        for group in groups
        if isinstance(group, dict) and isinstance(group.get("texts"), list)
        for text in group["texts"]
    ]


def _numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        return ()
    found = [n for n in value if isinstance(n, int) and not isinstance(n, bool) and 0 < n < 10_000]
    return tuple(sorted(set(found)))


def _salvage(reply: str) -> Iterator[Any]:
    """Whole flat objects of damaged JSON, each read once: linear, whatever comes."""
    for match in re.finditer(r"\{[^{}]*\}", reply):
        try:
            item = json.loads(match.group())
        except (ValueError, RecursionError):
            continue
        if "texts" in item:
            yield from _samples(item) or ()
        elif "text" in item or "label" in item:
            yield item


def _sample(
    item: Any, position: int, allowed: Sequence[str], limits: ReplyLimits, masks: Collection[str]
) -> LabelledText | Rejected:
    def fault(reason: str, detail: str) -> Rejected:
        return Rejected(reason, detail, quote(item), position)

    if not isinstance(item, dict):
        return fault(Reason.WRONG_TYPE, "a sample has to be an object with label and text")
    label, text = item.get("label"), item.get("text")
    if not isinstance(label, str) or not isinstance(text, str):
        return fault(Reason.WRONG_TYPE, "label and text have to be strings")
    if label not in allowed:
        asked = f"'{allowed[0]}'" if len(allowed) == 1 else "a class of the list"
        return fault(OFF_LIST, f"the label is '{label[:80]}' and not {asked}")
    if len(text) > limits.text_characters:
        return fault(Reason.TOO_LONG, f"the text has {len(text)} characters")
    text = normalise(text)
    if not any(c.isalnum() for c in text) or text.casefold() == label.casefold():
        return fault(Reason.EMPTY, "the text is empty or only repeats the label")
    if holes := [hole for hole in _PLACEHOLDER.findall(text) if hole not in masks]:
        return fault(Reason.PLACEHOLDER, f"the text holds the placeholder {holes[0]}")
    return LabelledText(text, label)
