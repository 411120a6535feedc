"""From logged calls of an LLM to texts and classes: the template, the labels, and the cleaning."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from pgkd.data.json_fields import read_fields
from pgkd.errors import ConfigError, DataError
from pgkd.tasks.classification.data.logs import Call, Unusable
from pgkd.teachers.replies import objects, without_thinking
from pgkd.text import label_key, shown, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pgkd.tasks.classification.data.logs import Call

HOLE = "{text}"
_LOOKED_AT = 500  # prompts that the template is found in
_SHARE = 0.9  # of the prompts share the template; the others are of another one
_FEWEST = 3
_WORDS = 3  # that all prompts share are no chance, however the texts begin
_TOKEN = re.compile(r"\w+|\n|[^\S\n]+|[^\w\s]")
_BOUNDARY = frozenset(":\"'`<>[](){}|#*=\n»«“”")  # what stands between instruction and text
_NAMES = ("label", "class", "category", "intent", "topic", "sentiment", "answer", "prediction")
_PREFIX = re.compile(rf"(?:the\s+)?(?:{'|'.join(_NAMES)})\s*(?:is\b\s*:?|[:=])\s*", re.I)
_QUOTES = " \t\r\n\"'`*“”‘’«»"
_LONGEST_LABEL = 100  # characters
_MANY = 50  # answers of which one that is seen once is a slip, and no class


@dataclass(frozen=True, slots=True)
class Template:
    """What all prompts share, before and behind the text."""

    before: str = ""
    behind: str = ""

    @classmethod
    def parse(cls, template: str) -> Template:
        """Read ``Classify this: {text}``.

        Raises:
            ConfigError: ``{text}`` does not stand in it once.
        """
        if template.count(HOLE) != 1:
            raise ConfigError(f"The template '{shown(template)}' needs {HOLE} once.")
        before, behind = template.split(HOLE)
        return cls(before.strip(), behind.strip())

    def __str__(self) -> str:
        return " ".join(f"{self.before}{HOLE}{self.behind}".split())

    def text(self, prompt: str) -> str | None:
        """The text of a prompt; None where the prompt is of another template, or has none.

        Kinds and numbers of spaces make no difference.
        """
        before = _pattern(self.before).search(prompt)
        if before is None:
            return None
        behind = [m.start() for m in _pattern(self.behind).finditer(prompt, before.end())]
        return prompt[before.end() : behind[-1]].strip() or None if behind else None


@cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(r"\s+".join(map(re.escape, words.split())) if words.strip() else r"\Z|\A")


def find_template(prompts: Iterable[str]) -> Template:
    """The words that nine in ten of the prompts begin and end with.

    Fewer than three words count only as far as a colon, a quote, a bracket or the end of a line:
    texts may all begin with "I" or end with a question mark.
    """
    different = list(dict.fromkeys(prompts))
    if len(different) < _FEWEST:
        return Template()
    step = max(1, len(different) // _LOOKED_AT)
    left = [_TOKEN.findall(prompt) for prompt in different[::step]]
    need = _SHARE * len(left)
    before = _shared(left, need)
    rest = [t[len(before) :][::-1] for t in left if t[: len(before)] == before]
    behind = _shared(rest, need)
    return Template("".join(_cut(before)), "".join(_cut(behind)[::-1]))


def _shared(tokens: Sequence[list[str]], need: float) -> list[str]:
    """The first tokens that so many of the lists share."""
    shared: list[str] = []
    left = tokens
    while True:
        n = len(shared)
        (token, count), *_ = Counter(t[n] for t in left if len(t) > n).most_common(1) or [("", 0)]
        if count < need or not count:
            return shared
        shared.append(token)
        left = [t for t in left if len(t) > n and t[n] == token]


def _cut(tokens: list[str]) -> list[str]:
    """Shared tokens without the few at their end that may belong to the texts."""
    last = max((i + 1 for i, token in enumerate(tokens) if token in _BOUNDARY), default=0)
    while last < len(tokens) and tokens[last].isspace():
        last += 1
    words = sum(token.isalnum() for token in tokens[last:])
    return tokens if words >= _WORDS else tokens[:last]


class Row(NamedTuple):
    """A text with the LLM's label."""

    text: str
    label: str
    origin: str


def find_texts(calls: Iterable[Call], template: Template) -> tuple[list[Call], list[Unusable]]:
    """Calls with the text in the place of the prompt, and those of another template."""
    found, rejected = [], []
    for call in calls:
        text = template.text(call.prompt)
        if text is None:
            reason = "the prompt does not follow the template"
            rejected.append(Unusable(call.origin, reason, call.prompt, call.answer))
        else:
            found.append(Call(text, call.answer, call.origin))
    return found, rejected


def find_field(answers: Iterable[str], given: str | None = None) -> str | None:
    """The field of answers that are JSON which holds the class; None where they are none.

    It is the one that is given, where an answer has it; or has a name such as ``label``; else, of
    those whose values repeat, it is the one that has the most different values.
    """
    values: defaultdict[str, Counter[str]] = defaultdict(Counter)
    total = 0
    for answer in answers:
        total += 1
        for name, value in _fields(answer).items():
            values[name][value] += 1
    if given in values:
        return given
    common = {name: seen for name, seen in values.items() if seen.total() > total / 2}
    named = [name for name in common if name.rpartition(".")[2].lower() in _NAMES]
    few = [name for name, seen in common.items() if 1 < len(seen) <= seen.total() / 2]
    candidates = named or few or list(common)
    return max(candidates, key=lambda name: len(common[name]), default=None)


def _fields(answer: str) -> dict[str, str]:
    """The fields of an answer that is JSON, by their paths; of a list, its only item."""
    for found in reversed(objects(answer)):
        fields = read_fields(json.dumps(found))
        single = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in fields.items()}
        plain = {k: v for k, v in single.items() if isinstance(v, str | int | float)}
        return {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in plain.items()}
    return {}


def find_labels(
    calls: Sequence[Call], classes: Sequence[str] | None, field: str | None
) -> tuple[list[Row], list[Unusable]]:
    """The class that each answer names, and the answers that name none.

    Quotes, a full stop and a prefix such as ``Label:`` are taken off. Case, and ``_`` for a space,
    make no difference: the spelling of the list counts, or else the most frequent one.

    Args:
        calls: with texts in the place of prompts.
        classes: the list; None takes what is answered, but for what is answered once in many.
        field: of answers that are JSON; None takes the answer as it is.

    Raises:
        DataError: without a list, more than half of the answers are different ones.
    """
    rejected, named = [], []
    for call in calls:
        answer = _fields(call.answer).get(field, "") if field else without_thinking(call.answer)
        label = _trimmed(answer)
        if not label:
            reason = f"the answer has no field {field}" if field else "the answer is empty"
            rejected.append(Unusable(call.origin, reason, call.prompt, call.answer))
        else:
            named.append((call, label))
    spellings = Counter(label for _, label in named)
    by_key: dict[str, str] = {}
    for label in classes or [label for label, _ in spellings.most_common()]:
        by_key.setdefault(_key(label), label)
    seen = Counter(_key(label) for _, label in named)
    once = sum(count == 1 for count in seen.values())
    if classes is None and 2 * once > len(named) >= _FEWEST * 2:
        raise DataError(
            f"The answers are no classes: {once} of {len(named)} occur once, such as "
            f"'{shown(named[0][1])}'. Give --classes, or --answer-field with the field of the class."
        )
    rows = []
    for call, label in named:
        key = _key(label)
        if key not in by_key:
            reason = f"no class of the list: {shown(label)}"
        elif classes is None and len(label) > _LONGEST_LABEL:
            reason = "the answer is a sentence, not a class"
        elif classes is None and seen[key] == 1 and len(named) >= _MANY:
            reason = f"answered once only: {shown(label)}"
        else:
            rows.append(Row(call.prompt, by_key[key], call.origin))
            continue
        rejected.append(Unusable(call.origin, reason, call.prompt, call.answer))
    return rows, rejected


def _trimmed(answer: str) -> str:
    label = _PREFIX.sub("", answer.strip(_QUOTES), count=1) if answer else ""
    label = label.strip(_QUOTES)
    return label.removesuffix(".").strip(_QUOTES)


def _key(label: str) -> str:
    return label_key(re.sub(r"(?<=\w)[-_\s]+(?=\w)", " ", label))


@dataclass(frozen=True, slots=True)
class Repeats:
    """How often the LLM says the same of the same text.

    Attributes:
        texts: how many were answered more than once.
        agreement: share of pairs of answers to one text that agree, averaged over these texts; a
            student cannot agree with the LLM more often. None without such texts.
    """

    texts: int
    agreement: float | None


def without_repeats(rows: Iterable[Row]) -> tuple[list[Row], list[Unusable], Repeats]:
    """Each text once, with the label that most of its answers give, if more than half do."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[text_key(row.text)].append(row)
    kept, rejected, shares = [], [], []
    for same in groups.values():
        counts = Counter(row.label for row in same)
        label, most = counts.most_common(1)[0]
        n = len(same)
        if n > 1:
            shares.append(sum(c * (c - 1) for c in counts.values()) / (n * (n - 1)))
        agrees = 2 * most > n
        kept += [next(row for row in same if row.label == label)] if agrees else []
        first = kept[-1] if agrees else None
        rejected += [
            Unusable(row.origin, "repeated text", row.text, row.label)
            if agrees and row.label == label
            else Unusable(row.origin, "answered differently elsewhere", row.text, row.label)
            for row in same
            if row is not first
        ]
    mean = sum(shares) / len(shares) if shares else None
    return kept, rejected, Repeats(len(shares), mean)
