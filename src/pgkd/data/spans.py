"""Spans of characters that have a label: in cells of a file, in tags, and in lines for people."""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from pgkd.data.cells import is_broken, is_missing, name_of
from pgkd.text import as_json, counts_characters, shown

_TAG = re.compile(r"\\([\\\[\]()])|\[((?:\\.|[^\\\[\]])*)\]\(((?:\\.|[^\\()])*)\)", re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LINE = re.compile(r"((?:\\.|[^\\:])+):\s*(.+?)(?:\s@(\d+))?", re.DOTALL)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a text that has a label: characters from `start` to before `end`."""

    start: int
    end: int
    label: str

    def overlaps(self, other: Span) -> bool:
        """Whether they share a character."""
        return self.start < other.end and other.start < self.end

    def to_json(self, text: str) -> dict[str, Any]:
        """Plain data, with the part of the text that it is."""
        return {**asdict(self), "text": text[self.start : self.end]}


ERRORS = ("missed", "boundary", "wrong_label", "invented")
"""What can be wrong with a span."""


@dataclass(frozen=True, slots=True)
class SpanError:
    """A difference between the spans of a text and what a model gives.

    Attributes:
        kind: one of `ERRORS`.
        span: what the text has; what the model gave, where that is invented.
        given: what the model gave instead; None where that is nothing.
    """

    kind: str
    span: Span
    given: Span | None = None

    def describe(self, text: str) -> str:
        """What is wrong, in words."""
        found = {
            each: as_json(text[each.start : each.end]) for each in (self.span, self.given) if each
        }
        said = f"{self.span.label} {found[self.span]}"
        if self.given is None:
            return f"{said} is missed" if self.kind == "missed" else f"{said} is given, but is none"
        if self.kind == "wrong_label":
            return f"{said} is taken for {self.given.label}"
        return f"{said} is given as {found[self.given]}"


def find_span_errors(expected: Iterable[Span], given: Iterable[Span]) -> list[SpanError]:
    """What is wrong with spans that a model gives, in order.

    One that was not given as it is has a boundary error if one of its label overlaps it, a wrong
    label if another one does, and else is missed. What overlaps none is invented.
    """
    errors, expected, given = list[SpanError](), sorted(expected), sorted(given)
    for span in expected:
        near = [each for each in given if each.overlaps(span)]
        same = [each for each in near if each.label == span.label]
        if span not in same:
            kind = "boundary" if same else "wrong_label" if near else "missed"
            errors.append(SpanError(kind, span, next(iter(same or near), None)))
    invented = [span for span in given if not any(span.overlaps(each) for each in expected)]
    return errors + [SpanError("invented", span) for span in invented]


def count_spans(
    expected: Sequence[Iterable[Span]], given: Sequence[Iterable[Span]]
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """How many spans of each label n texts have, a model gives, and are right, as seqeval counts.

    A span is right if its characters and its label are (Nakayama, 2018).
    """
    has, said, right = Counter[str](), Counter[str](), Counter[str]()
    for one, other in zip(expected, given, strict=True):
        has.update(span.label for span in one)
        said.update(span.label for span in other)
        right.update(span.label for span in set(one).intersection(other))
    return has, said, right


def format_spans(entities: Iterable[Mapping[str, Any]]) -> str:
    r"""A line ``label: value @start`` for each of an answer's entities.

    In a label a colon has a backslash; a line break is ``\n`` everywhere.
    """
    return "\n".join(
        f"{_escape(each['label'], ':')}: {_escape(each['text'])} @{each['start']}"
        for each in entities
    )


def parse_lines(text: str, lines: str) -> tuple[Span, ...]:
    """What `format_spans` wrote, or a person edited.

    A value is looked for where it says that it starts; if it is not there, or does not say, it has
    to occur once.

    Raises:
        ValueError: says what is wrong with them.
    """
    spans = []
    for line in filter(str.strip, lines.split("\n")):
        found = _LINE.fullmatch(line.strip())
        if not found:
            raise ValueError(f"'{shown(line)}' is no line such as 'label: value'")
        label, value = (_unescape(part).strip() for part in found.group(1, 2))
        start = int(found[3] or -1)
        if start >= 0 and text.startswith(value, start):
            spans.append(Span(start, start + len(value), label))
        else:
            spans.append(locate(text, value, label))
    return check_spans(spans, text)


def locate(text: str, value: str, label: str, occurrence: int | None = None) -> Span:
    """The span of a value that occurs once, or that often: as whole words if it does.

    Raises:
        ValueError: it does not occur, or more than once, or not that often.
    """
    found = [match.span() for match in re.finditer(re.escape(value), text)] if value else []
    units = find_units(text) if len(found) > 1 else ()
    starts, ends = {start for start, _ in units}, {end for _, end in units}
    found = [(a, b) for a, b in found if a in starts and b in ends] or found
    if not found:
        raise ValueError(f"'{shown(value)}' does not occur in the text")
    if occurrence is None and len(found) > 1:
        raise ValueError(f"'{shown(value)}' occurs {len(found)} times in the text")
    number = 1 if occurrence is None else occurrence
    if not 0 < number <= len(found):
        raise ValueError(f"'{shown(value)}' does not occur {number} times in the text")
    return Span(*found[number - 1], label)


def cuts_word(span: Span, text: str) -> bool:
    """Whether a span begins or ends inside a word."""
    units = find_units(text)
    return span.start not in {a for a, _ in units} or span.end not in {b for _, b in units}


def check_spans(spans: Iterable[Span], text: str) -> tuple[Span, ...]:
    """Spans in order, without the space at their ends.

    Raises:
        ValueError: one has no label or no text, or two overlap.
    """
    made = []
    for span in spans:
        inner = text[span.start : span.end]
        start = span.start + len(inner) - len(inner.lstrip())
        if not inner.strip():
            raise ValueError(f"an entity '{shown(span.label)}' is empty")
        if not span.label or is_broken(span.label):
            raise ValueError(f"the entity '{shown(inner)}' has no label")
        made.append(Span(start, start + len(inner.strip()), span.label))
    made.sort()
    for one, other in pairwise(made):
        if one.overlaps(other):
            told = [f"'{shown(text[each.start : each.end])}'" for each in (one, other)]
            raise ValueError(f"the entities {' and '.join(told)} overlap")
    return tuple(made)


def parse_tagged(tagged: str) -> tuple[str, tuple[Span, ...]]:
    """The text and the entities of a text with tags such as ``play [jazz](genre)``.

    A bracket or a backslash of the text itself has a backslash before it.

    Raises:
        ValueError: see `check_spans`.
    """
    text, spans, end = "", [], 0
    for match in _TAG.finditer(tagged):
        text += tagged[end : match.start()]
        end = match.end()
        if match[1] is not None:
            text += match[1]
            continue
        value = _ESCAPED.sub(r"\1", match[2])
        label = _ESCAPED.sub(r"\1", match[3]).strip()
        spans.append(Span(len(text), len(text) + len(value), label))
        text += value
    text += tagged[end:]
    return text, check_spans(spans, text)


def has_tags(text: Any) -> bool:
    """Whether a text has a tag such as ``[jazz](genre)``."""
    return isinstance(text, str) and any(match[3] for match in _TAG.finditer(text))


def parse_spans(cell: Any, text: str) -> tuple[Span, ...]:
    """The entities of a cell: a list, or one as JSON text.

    Each is ``{start, end, label}``, where ``text`` may be given, too; as Label Studio has it,
    ``labels`` with one label; or ``[start, end, label]``.

    Raises:
        ValueError: says what is wrong with it.
    """
    if is_missing(cell):
        raise ValueError("it has no list of entities: where there are none, give an empty one")
    if isinstance(cell, str):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError) as error:
            raise ValueError("its entities are no JSON") from error
    entities = cell.tolist() if hasattr(cell, "tolist") else cell
    if not isinstance(entities, list | tuple):
        raise ValueError(f"its entities are a value of type {type(cell).__name__}, not a list")
    return check_spans((_parse_entity(each, text) for each in entities), text)


def has_spans(cell: Any, text: Any) -> bool:
    """Whether a cell has spans of a text; see `parse_spans`."""
    try:
        return isinstance(text, str) and bool(parse_spans(cell, text))
    except ValueError:
        return False


def _parse_entity(entity: Any, text: str) -> Span:
    if isinstance(entity, list | tuple) and len(entity) == 3:
        entity = dict(zip(("start", "end", "label"), entity, strict=True))
    if not isinstance(entity, Mapping):
        raise ValueError(f"the entity {shown(entity)} is no object with start, end and label")
    label = entity.get("label")
    if label is None and isinstance(entity.get("labels"), list) and len(entity["labels"]) == 1:
        [label] = entity["labels"]
    if is_missing(label) or isinstance(label, list | dict):
        raise ValueError(f"the entity {shown(entity)} has no label")
    start, end = entity.get("start"), entity.get("end")
    if type(start) is not int or type(end) is not int:
        raise ValueError(f"the entity {shown(entity)} has no start and end in whole numbers")
    if not 0 <= start < end <= len(text):
        raise ValueError(f"the entity from {start} to {end} is not in its {len(text)} characters")
    said = entity.get("text")
    if isinstance(said, str) and said != text[start:end]:
        found = shown(text[start:end])
        raise ValueError(f"from {start} to {end} its text is '{found}', not '{shown(said)}'")
    return Span(start, end, name_of(label))


def find_units(text: str) -> list[tuple[int, int]]:
    """The words and the signs of a text: where each begins and ends, in characters.

    A character of a script that puts no space between words is one, too. Marks and joiners belong
    to the character before them.
    """
    units: list[list[int]] = []
    joins = False  # whether the next letter belongs to the word before it
    for i, character in enumerate(text):
        kind = _kind(character)
        if kind == "space":
            joins = False
        elif units and units[-1][1] == i and (kind == "mark" or (joins and kind == "letter")):
            units[-1][1] = i + 1
        else:
            units.append([i, i + 1])
            joins = kind == "letter"
    return [(start, end) for start, end in units]


@lru_cache(maxsize=10_000)
def _kind(character: str) -> str:
    if character.isspace():
        return "space"
    category = unicodedata.category(character)
    # Tones of emoji's skin are symbols, but stand for nothing alone.
    if category[0] == "M" or category == "Cf" or "\U0001f3fb" <= character <= "\U0001f3ff":
        return "mark"
    if (character.isalnum() or character == "_") and not counts_characters(character):
        return "letter"
    return "sign"


def _escape(part: str, also: str = "\\") -> str:
    for sign in dict.fromkeys(("\\", also)):
        part = part.replace(sign, f"\\{sign}")
    return part.replace("\n", "\\n").replace("\r", "\\r")


def _unescape(part: str) -> str:
    return _ESCAPED.sub(lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), part)
