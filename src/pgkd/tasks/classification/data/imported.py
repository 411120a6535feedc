"""From logged calls of an LLM to texts and classes: the template, the labels, and the cleaning."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pgkd.data.cells import name_of
from pgkd.data.json_fields import read_fields
from pgkd.errors import ConfigError, DataError
from pgkd.evaluation import paired_change
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.data.logs import Unusable
from pgkd.tasks.common.folds import stratified_folds
from pgkd.teachers.replies import objects, without_thinking
from pgkd.text import label_key, shown, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.logs import LoggedCall

HOLE = "{text}"
_LOOKED_AT = 200  # prompts that the template is found in
_SHARE = 0.9  # of the prompts share the template; the others are of another one
_FEWEST = 3
_WORDS = 3  # that all prompts share are no chance, however the texts begin
_TOKEN = re.compile(r"\w+|\n|[^\S\n]+|[^\w\s]")
_BOUNDARY = frozenset(":\"'`<>[](){}|#*=\n»«“”")  # what stands between instruction and text
_NAMES = ("label", "class", "category", "intent", "topic", "sentiment", "answer", "prediction")
_PREFIX = re.compile(rf"\A(?:the\s+)?(?:{'|'.join(_NAMES)})\s*(?:is\b\s*:?|[:=])\s*", re.I)
_QUOTES = " \t\r\n\"'`*“”‘’«»"
_FOLDS = 5
_SURE = 2  # standard errors
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


def find_texts(
    calls: Iterable[LoggedCall], template: Template
) -> tuple[list[LoggedCall], list[Unusable]]:
    """Calls with the text in the place of the prompt, and those of another template."""
    found, rejected = [], []
    for call in calls:
        if text := template.text(call.text):
            found.append(call._replace(text=text))
        else:
            rejected.append(Unusable.of(call, "the prompt does not follow the template"))
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
    found = objects(answer)
    try:
        fields = read_fields(json.dumps(found[-1])) if found else {}
    except (ValueError, RecursionError):
        return {}
    single = {k: v[0] if isinstance(v, list) and len(v) == 1 else v for k, v in fields.items()}
    return {k: name_of(v) for k, v in single.items() if isinstance(v, str | int | float)}


def find_labels(
    calls: Sequence[LoggedCall], classes: Sequence[str] | None, field: str | None
) -> tuple[list[LoggedCall], list[Unusable]]:
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
        said = _fields(call.answer).get(field, "") if field else without_thinking(call.answer)
        if label := _trimmed(said):
            named.append((call, label))
        else:
            rejected.append(Unusable.of(call, "no class in the answer"))
    spellings = [label for label, _ in Counter(label for _, label in named).most_common()]
    by_key: dict[str, str] = {}
    for label in classes or spellings:
        by_key.setdefault(_key(_trimmed(label)), label)
    seen = Counter(_key(label) for _, label in named)
    once = sum(count == 1 for count in seen.values())
    if classes is None and 2 * once > len(named) > _FEWEST:
        raise DataError(
            f"The answers are no classes: {once} of {len(named)} occur once, such as "
            f"'{shown(named[0][1])}'. Give --classes, or --answer-field for answers in JSON."
        )
    rows = []
    for call, label in named:
        key = _key(label)
        if key not in by_key:
            rejected.append(Unusable.of(call, f"no class of the list: {shown(label)}"))
        elif classes is None and seen[key] == 1 and len(named) >= _MANY:
            rejected.append(Unusable.of(call, f"answered only once: {shown(label)}"))
        else:
            rows.append(call._replace(answer=by_key[key]))
    return rows, rejected


def _trimmed(answer: str) -> str:
    label = _PREFIX.sub("", answer.strip(_QUOTES)).strip(_QUOTES)
    return label.removesuffix(".").strip(_QUOTES)


def _key(label: str) -> str:
    return label_key(re.sub(r"(?<=\w)[-_\s]+(?=\w)", " ", label))


def without_repeats(
    rows: Iterable[LoggedCall],
) -> tuple[list[LoggedCall], list[Unusable], list[float]]:
    """Each text once, with the class that more than half of its answers name.

    Returns:
        The texts; what is left out; and for every text that was answered more than once the share
        of pairs of its answers that agree: a student cannot agree with the LLM more often.
    """
    groups: defaultdict[str, list[LoggedCall]] = defaultdict(list)
    for row in rows:
        groups[text_key(row.text)].append(row)
    kept: list[LoggedCall] = []
    rejected: list[Unusable] = []
    agreement: list[float] = []
    for same in groups.values():
        counts = Counter(row.answer for row in same)
        label, most = counts.most_common(1)[0]
        if (n := len(same)) > 1:
            agreement.append(sum(c * (c - 1) for c in counts.values()) / (n * (n - 1)))
        first = next(row for row in same if row.answer == label) if 2 * most > n else None
        kept += [first] if first else []
        for row in same:
            if row is not first:
                repeated = first and row.answer == label
                reason = "repeated text" if repeated else "another answer to the same text"
                rejected.append(Unusable.of(row, reason))
    return kept, rejected, agreement


class JudgedAnswers(NamedTuple):
    """What cross-validated students say of n answers.

    Attributes:
        predicted: the class that each text gets from students that have not seen it.
        doubtful: shape (n,); answers that are probably wrong, by confident learning.
        gain: how much more often students agree with the LLM that are trained without those.
        standard_error: of the gain, paired over texts.
    """

    predicted: list[str]
    doubtful: NDArray[np.bool_]
    gain: float
    standard_error: float

    @property
    def pays(self) -> bool:
        """Whether to leave the doubtful out: with few texts, hard ones are doubtful, too."""
        return self.gain > _SURE * self.standard_error


def judge(rows: Sequence[LoggedCall], kind: str, seed: int) -> JudgedAnswers:
    """Cross-validate students on the answers, with and without the doubtful ones.

    Args:
        rows: n rows, each text once.
        kind: of the students; an encoder is not fine-tuned for this.
        seed: of the folds.
    """
    from pgkd.tasks.classification.feedback.mining import suspected
    from pgkd.tasks.classification.students import make_student

    texts, labels = [row.text for row in rows], [row.answer for row in rows]
    names = sorted(set(labels))
    settings = {"recipe": "frozen"} if kind == "encoder" else {}
    student = make_student(kind, names, seed=seed, **settings).tune(texts, labels, seed=seed)
    folds = stratified_folds(labels, min(_FOLDS, len(rows)), seed)
    given = label_indices(labels, names)

    def held_out(trains: NDArray[np.bool_]) -> NDArray[np.float64]:
        found = np.full((len(rows), len(names)), 1 / len(names))
        for fold in np.unique(folds):
            training = np.flatnonzero(trains & (folds != fold)).tolist()
            if len({labels[i] for i in training}) > 1:
                fitted = student.proxy().fit(
                    [texts[i] for i in training], [labels[i] for i in training]
                )
                held = np.flatnonzero(folds == fold).tolist()
                found[held] = fitted.predict_proba([texts[i] for i in held])
        return found

    before = held_out(np.ones(len(rows), dtype=bool))
    doubtful = suspected(given, before)
    after = held_out(~doubtful) if doubtful.any() else before
    wrong = [(each.argmax(axis=1) != given).astype(np.float64) for each in (after, before)]
    change, error = paired_change(*wrong)
    predicted = [names[i] for i in before.argmax(axis=1)]
    return JudgedAnswers(predicted, doubtful, -change, error)
