"""The targeted way to ask: pgkd says how many texts of which class, the teacher writes them.

Who needs how many texts: pgkd divides a round's budget, the teacher only writes.

Left to itself a teacher covers some 60 of 77 classes. Spread over all classes in proportion to the
share of their rows that the student gets wrong, the same texts gain more than spread evenly;
contrasts against the class that the student mistakes one for gain nothing (docs/results.md).

Which classes are alike, by what they are called and what their rows say.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pgkd.tasks.classification.prompts.writing import WritePrompt, render, texts_schema
from pgkd.tasks.common.allocation import allocate, error_rate, portions, scheduled
from pgkd.tasks.common.samples import LengthTarget, shorten

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation
    from pgkd.tasks.classification.prompts.glossary import Glossary
    from pgkd.tasks.classification.prompts.writing import GenerationSettings

_NEAR = 3  # similar classes that a request names
_EARLIER = 4  # texts of the class, written before, that a packed request shows
_EARLIER_WORDS = 14  # of each
_OPENINGS = 6  # of its own texts that a small teacher is shown the beginnings of
_OPENING = 4  # words of a beginning
_RELATED = 4  # rows of other classes that a request shows, where a class has none
_MOSTLY = 0.6  # of the texts that a round asks for of a class
_OWN_LENGTH = 5  # rows of a class from which on its texts are as long as they are

Portion = tuple[str, int]
Embed = Callable[[Sequence[str]], "NDArray[np.float64] | None"]


class TargetedPrompts:
    """Divides each round's budget over the classes and packs it into requests.

    A teacher that can read is asked for several related classes in one request, so that it sees
    where one ends and the other begins; a small one for one class at a time.

    Args:
        taxonomy: the classes.
        real: training rows of the user.
        folds: shape (n_real,), the fold of each row. The rows of one prompt come from as few
            folds as can be: then few of a class's texts are hidden with a fold that is held out.
        writing: how texts are asked for.
        embed: features of texts, by which classes are compared; see `nearest_classes`.
        glossary: what the texts are and what each class covers; called when first needed.
        packs: whether requests may be for several classes; likewise.
        allocation: ``"guided"`` gives more texts to classes that the student gets wrong;
            ``"even"`` gives all the same.
        budget: texts of the run, by whether requests are packed.
        rounds: rounds planned; texts double from one to the next.
        samples: texts of every round instead; None doubles them.
        per_request: most texts of one request; None: 12 in a packed one, 4 else.
        n_shots: real rows of a class that a request shows, where there are so many.
    """

    def __init__(
        self,
        taxonomy: Taxonomy,
        real: Sequence[LabelledText],
        folds: NDArray[np.int64],
        writing: GenerationSettings,
        *,
        embed: Embed,
        glossary: Callable[[], Glossary],
        packs: Callable[[], bool],
        allocation: Literal["guided", "even"] = "guided",
        budget: Callable[[bool], int],
        rounds: int,
        samples: int | None = None,
        per_request: int | None = None,
        n_shots: int = 4,
    ) -> None:
        self._taxonomy = taxonomy
        self._real = real
        self._writing = writing
        self._embed = embed
        self._glossary = glossary
        self._packs = packs
        self._allocation = allocation
        self._budget = budget
        self._rounds = rounds
        self._samples = samples
        self._per_request = per_request
        self._n_shots = n_shots
        self._rows_of: dict[str, list[LabelledText]] = {name: [] for name in taxonomy.names}
        for row in real:
            self._rows_of[row.label].append(row)
        self._fold_of = {row.id: int(fold) for row, fold in zip(real, folds, strict=True)}
        self._n_folds = int(folds.max()) + 1
        self._times_shown: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()
        self._exhausted: set[str] = set()
        self._last: dict[str, int] = {}  # texts asked for in the last round, by class
        self._nearest: dict[str, tuple[str, ...]] = {}

    def prompts(
        self, number: int, evaluation: ClassifierEvaluation, written: Sequence[LabelledText]
    ) -> tuple[WritePrompt, ...]:
        """The requests of a round."""
        packs = self._packs()
        self._nearest = self._nearest or self._find_nearest()
        errors = self._errors(evaluation)
        fresh = self._not_exhausted(number, written)
        texts = self._samples or scheduled(self._budget(packs), self._rounds, number)
        texts = math.ceil(texts * len(fresh) / len(errors))
        counts = allocate({name: errors[name] for name in fresh}, self._asked, texts)
        self._asked.update(counts)
        self._last = counts
        label_issues = {row.example.id for row in evaluation.mined.label_issues}
        most = self._per_request or (12 if packs else 4)
        return tuple(
            self._request(f"r{number}-{i:04d}", group, errors, label_issues, written, packs)
            for i, group in enumerate(self._grouped(counts, most, packs), start=1)
        )

    def _find_nearest(self) -> dict[str, tuple[str, ...]]:
        """See `nearest_classes`."""
        return nearest_classes(self._taxonomy, self._real, self._embed, self._glossary().classes)

    def _not_exhausted(self, number: int, written: Sequence[LabelledText]) -> list[str]:
        """The classes of which each round's texts were mostly new.

        A teacher that repeats itself has said what it knows of a class: the rest would be dropped.
        """
        new = Counter(
            text.label for text in written if text.origin and text.origin.round == number - 1
        )
        self._exhausted |= {n for n, asked in self._last.items() if new[n] < _MOSTLY * asked}
        return [name for name in self._taxonomy.names if name not in self._exhausted]

    def _errors(self, evaluation: ClassifierEvaluation) -> dict[str, float]:
        """The error rate of every class, out of fold; the same for all where nobody shall look."""
        if self._allocation == "even":
            return dict.fromkeys(self._taxonomy.names, 1.0)
        judged = {c.name: c for c in evaluation.out_of_fold.per_class}
        return {
            name: error_rate(c.support, c.support * (1 - c.recall))
            if (c := judged.get(name))
            else error_rate(0, 0)
            for name in self._taxonomy.names
        }

    def _grouped(self, counts: Mapping[str, int], most: int, packs: bool) -> list[list[Portion]]:
        """Portions of one request each: of one class, or of classes that are alike."""
        left = portions(counts.items(), most)
        if not packs:
            return [[portion] for portion in left]
        groups: list[list[Portion]] = []
        while left:
            group = [left.pop(0)]
            order = self._nearest[group[0][0]]
            rank = {name: i for i, name in enumerate(order)}
            for portion in sorted(left, key=lambda p: rank.get(p[0], len(order))):
                room = most - sum(count for _, count in group)
                if portion[1] <= room and portion[0] not in {name for name, _ in group}:
                    group.append(portion)
                    left.remove(portion)
            groups.append(group)
        return groups

    def _request(
        self,
        number: str,
        group: Sequence[Portion],
        errors: Mapping[str, float],
        label_issues: set[str],
        written: Sequence[LabelledText],
        packs: bool,
    ) -> WritePrompt:
        shown: list[LabelledText] = []
        glossary = self._glossary()
        named = [label for label, _ in group]
        classes = [
            self._described(label, count, named, shown, label_issues, written, glossary, packs)
            for label, count in group
        ]
        user = render("write_user", classes=classes)
        system = render("write_system", about=glossary.about)
        count = sum(count for _, count in group)
        request = self._writing.request(number, system, user, named, count, texts_schema(group))
        reasons = tuple(
            f"{label}: {n} texts, error rate {errors[label]:.2f}, "
            f"{len(self._rows_of[label])} labelled rows"
            for label, n in group
        )
        wanted = tuple(n for _, n in group)
        return WritePrompt(
            number, request, count, tuple(shown), reasons,
            labels=tuple(named), wanted=wanted, masks=self._writing.masks,
        )  # fmt: skip

    def _described(
        self,
        label: str,
        count: int,
        named: Sequence[str],
        shown: list[LabelledText],
        label_issues: set[str],
        written: Sequence[LabelledText],
        glossary: Glossary,
        packs: bool,
    ) -> dict[str, Any]:
        """One class of a request as the template wants it; the rows that it shows join `shown`."""
        c = self._taxonomy[label]
        own = self._pick(label, self._n_shots, label_issues)
        related = [] if own else self._rows_of_nearest(label, label_issues, shown)
        first = len(shown) + 1
        shown += own or related
        rows = self._rows_of[label]
        length = self._writing.length
        if len(rows) >= _OWN_LENGTH:
            length = LengthTarget.of([row.text for row in rows])
        texts = [text.text for text in written if text.label == label and text.is_synthetic]
        near = [name for name in self._nearest[label] if name not in named][:_NEAR]
        return {
            "label": label,
            "name": c.readable,
            "about": c.description or glossary.classes.get(label, ""),
            "parent": c.parent,
            "near": [self._taxonomy[name].readable for name in near],
            "rows": [(first + i, shorten(row.text)) for i, row in enumerate(own)],
            "related": [
                (first + i, self._taxonomy[row.label].readable, shorten(row.text))
                for i, row in enumerate(related)
            ],
            "earlier": [shorten(t, _EARLIER_WORDS) for t in texts[-_EARLIER:]] if packs else [],
            "openings": [] if packs else _openings(texts),
            "count": count,
            "length": length,
        }

    def _pick(self, label: str, n: int, label_issues: set[str]) -> list[LabelledText]:
        """Rows to show of a class: sound ones first, then those shown least often, of few folds."""
        rows = self._rows_of[label]
        if not rows:
            return []
        first = min(rows, key=lambda row: (row.id in label_issues, self._times_shown[row.id]))
        fold = self._fold_of[first.id]

        def rank(row: LabelledText) -> tuple[bool, int, int]:
            apart = (self._fold_of[row.id] - fold) % self._n_folds
            return row.id in label_issues, apart, self._times_shown[row.id]

        chosen = sorted(rows, key=rank)[:n]
        self._times_shown.update(row.id for row in chosen)
        return chosen

    def _rows_of_nearest(
        self, label: str, label_issues: set[str], shown: Sequence[LabelledText]
    ) -> list[LabelledText]:
        """A row of each of the nearest classes that have one, none that is shown already.

        They show what texts of the task look like, and what a text of a never-seen class is not.
        """
        chosen: list[LabelledText] = []
        there = {row.id for row in shown}
        for name in self._nearest[label]:
            if len(chosen) + len(there) >= _RELATED:
                break
            chosen += [row for row in self._pick(name, 1, label_issues) if row.id not in there]
        return chosen


def _openings(texts: Sequence[str]) -> list[str]:
    """How the last texts begin, each once.

    Not the whole texts: a small teacher that is shown what it wrote writes it again, word for word.
    """
    begun = (" ".join(text.split()[:_OPENING]) for text in texts[-_OPENINGS:])
    return list(dict.fromkeys(begun))


_ROWS = 8  # of a class that are looked at


def nearest_classes(
    taxonomy: Taxonomy,
    real: Sequence[LabelledText],
    embed: Callable[[Sequence[str]], NDArray[np.float64] | None],
    glossary: Mapping[str, str] | None = None,
) -> dict[str, tuple[str, ...]]:
    """For every class all others, the most similar first.

    A class stands where the mean of its name, its description and up to eight of its rows lies.
    Names alone mislead: by their letters "change pin" is next to "exchange rate".

    Args:
        taxonomy: the classes.
        real: rows of the user.
        embed: gives features of unit length, shape (n, width), or None where the student has none;
            then words are compared.
        glossary: what each class covers, as far as it is known.
    """
    texts, owner = [], []
    rows: dict[str, list[str]] = {name: [] for name in taxonomy.names}
    for row in real:
        rows[row.label].append(row.text)
    for i, c in enumerate(taxonomy):
        about = (glossary or {}).get(c.name) or c.description
        mine = [f"{c.readable} {c.parent or ''} {about}".strip(), *rows[c.name][:_ROWS]]
        texts += mine
        owner += [i] * len(mine)
    features = embed(texts)
    if features is None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        features = TfidfVectorizer(sublinear_tf=True).fit_transform(texts).toarray()
    sums = np.zeros((len(taxonomy), features.shape[1]))
    np.add.at(sums, owner, features)
    sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
    similar = sums @ sums.T
    np.fill_diagonal(similar, -np.inf)  # a class is not its own neighbour
    names = taxonomy.names
    order = np.argsort(-similar, axis=1, kind="stable")[:, :-1]
    return {name: tuple(names[j] for j in order[i]) for i, name in enumerate(names)}
