"""The teacher is examined before money is spent on it.

It labels rows of the user that no prompt has shown, many to a request, and once it has written
texts it reads some of them without their classes. The first shows a wrong key, model or URL, how
well it knows the classes, and whether it can do many things in one request; both say what its
texts are worth.

Self-verification: the teacher reads its own texts blind, and says of which class each is.

Writing a text of a class and telling the class of a text are two tasks, and the second is the
easier one: of what a small teacher confirms nine texts in ten are right, of the rest one in two.
The idea is PromptMix's (Sahu et al., EMNLP 2023), who let the teacher relabel what it wrote near a
border; here a text is kept, and weighs by the probability of its class. The teacher chooses among
a few classes: the one that the text was written for, and those that the student finds likeliest for
the texts of that class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np

from pgkd.evaluation import wilson
from pgkd.tasks.classification.data.dataset import limit_rows
from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.data.pool import PoolText
from pgkd.tasks.classification.prompts.labelling import (
    label_many_request,
    label_request,
    label_texts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.feedback.acquisition import LabelPrompts
    from pgkd.tasks.classification.prompts.labelling import Labelled
    from pgkd.tasks.classification.students.base import Student
    from pgkd.tasks.classification.synthesizer import ClassificationSynthesizer
    from pgkd.teachers.base import Request, Teacher

_PACK = 16  # rows of one request
_SINGLE = 24  # rows that a teacher is asked for one by one, if it cannot do many at once
_OWN = 48  # of its texts that it reads without their classes
_ABLE = 0.6  # share of right answers in one packed request: who has it can read and write packed
_NOISE = 3  # right answers of one packed request by which two ways to ask differ by chance
_WORSE = 0.8  # of the share of rows
_DOUBTED = 0.05  # confidence in a text that it takes for another class
_KNOWS = 0.4  # of `Exam.worth`
_WORTH_LITTLE = 0.15  # the same
_LEAST_WORTH = 0.05


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many.

    Attributes:
        right: for which the teacher names the class that they have.
        asked: that it was asked for.
    """

    right: int
    asked: int

    @property
    def value(self) -> float:
        """The share; 0 of nothing."""
        return self.right / self.asked if self.asked else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Its 95% interval (Wilson, 1927)."""
        return wilson(self.right, self.asked)


@dataclass(frozen=True, slots=True)
class Exam:
    """What a teacher has shown.

    Attributes:
        rows: labelled rows of the user.
        own: its own texts, read without their classes; None before it has written any.
        packs: whether it is asked for texts of several classes in one request.
        n_classes: that it chooses from.
    """

    rows: Share
    own: Share | None
    packs: bool
    n_classes: int

    @property
    def worth(self) -> float:
        """What a text of it says, against a true one: its agreement beyond chance, squared.

        Of two labels that agree with the truth in a share ``a`` of cases, one tells as much as
        ``k**2`` true ones, where ``k = (a - 1/n) / (1 - 1/n)``. The worse of both parts counts.
        """
        chance = 1 / self.n_classes
        parts = [part for part in (self.rows, self.own) if part is not None and part.asked]
        agreed = min(((p.right + 1) / (p.asked + 2) for p in parts), default=0.0)
        return max(0.0, (agreed - chance) / (1 - chance)) ** 2

    @property
    def writes_worse_than_it_reads(self) -> bool:
        """Whether it recognises its own texts clearly less often than rows of the user.

        Then many of its texts are of another class, and it can say which.
        """
        return self.own is not None and self.own.value < _WORSE * self.rows.value

    @property
    def margin(self) -> float:
        """Standard errors by which a round with more of its texts may seem worse and be kept."""
        return 1.0 if self.worth >= _KNOWS else 0.0

    @property
    def weights(self) -> tuple[float, ...]:
        """Weights of its texts to choose from, the likeliest first.

        Only texts of a teacher that knows the classes may weigh as much as rows: a hundred rows
        are too few to find out that they should not.
        """
        if not self.rows.asked or self.worth >= _KNOWS:
            return (0.3, 1.0, 0.1)
        return (0.3, 0.1) if self.worth >= _WORTH_LITTLE else (0.1, 0.3)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""

        def part(share: Share | None) -> dict[str, Any] | None:
            if share is None:
                return None
            low, high = share.interval
            return {
                "right": share.right, "asked": share.asked,
                "interval": [round(low, 4), round(high, 4)],
            }  # fmt: skip

        return {
            "rows": part(self.rows),
            "own_texts": part(self.own),
            "packs": self.packs,
            "worth": round(self.worth, 4),
            "verdict": self.verdict,
        }

    @property
    def verdict(self) -> str:
        """What it means, in a sentence."""
        if self.worth >= _KNOWS:
            return "This teacher knows the classes: its texts count."
        if self.worth >= _WORTH_LITTLE:
            return "This teacher knows the classes in part: its texts count less than your rows."
        return "This teacher hardly knows the classes: consider another one, or label more rows."


def exam_calls(n_rows: int, n_texts: int, *, packs: bool) -> tuple[int, int]:
    """Requests of an examination: those of many rows, and those of one.

    Args:
        n_rows: labelled rows that are asked for at most.
        n_texts: texts that the teacher will have written.
        packs: whether it can do many at once.
    """
    if packs:
        return -(-n_rows // _PACK) + -(-min(n_texts, _OWN) // _PACK), 0
    return 1, min(n_rows, _SINGLE) + min(n_texts, _SINGLE)


class Examiner:
    """Examines the teacher of a run: its labels at once, its texts when there are some.

    Args:
        dataset: the classes and the rows.
        synthesizer: asks the teacher.
        questions: how labels are asked for one by one.
        on_result: hears the result, again when more is known.
        n_rows: rows that are asked for at most.
        seed: of the rows that are drawn.
    """

    def __init__(
        self,
        dataset: TextDataset,
        synthesizer: ClassificationSynthesizer,
        questions: LabelPrompts,
        on_result: Callable[[Exam], None],
        *,
        n_rows: int,
        seed: int,
    ) -> None:
        self._dataset = dataset
        self._taxonomy = dataset.taxonomy
        self._synthesizer = synthesizer
        self._questions = questions
        self._on_result = on_result
        self._n_rows = n_rows
        self._seed = seed
        self.exam = Exam(Share(0, 0), None, packs=True, n_classes=len(dataset.taxonomy))

    @property
    def worth(self) -> float:
        """What a label of it weighs, against a row's 1: `Exam.worth`, or 1 where it is trusted."""
        return max(_LEAST_WORTH, self.exam.worth) if self.exam.rows.asked else 1.0

    def describe(self, taxonomy: Taxonomy) -> None:
        """Show the classes with these descriptions from now on."""
        self._taxonomy = self._questions.taxonomy = taxonomy

    def examine_labels(self) -> None:
        """Have it label rows of the user.

        Raises:
            TeacherError: the key, the model or the endpoint is wrong, or the teacher is down.
        """
        rows = limit_rows(self._dataset.train, self._n_rows, self._seed)
        if not rows:
            return
        first = self._packed("exam", rows[:_PACK], 0)
        if first.value >= _ABLE:
            self._conclude(self._rest(first, rows), packs=True)
            return
        asked = rows[:_SINGLE]
        single = self._one_by_one(asked)
        same = sum(single[: len(rows[:_PACK])])
        if first.right and first.right >= same - _NOISE:
            self._conclude(self._rest(first, rows), packs=True)
        else:
            self._conclude(Share(sum(single), len(single)), packs=False)

    def examine_texts(self, texts: Sequence[LabelledText]) -> None:
        """Have it read texts that it has written, without their classes; only the first time.

        Raises:
            TeacherError: as `examine_labels`.
        """
        written = [text for text in texts if text.is_synthetic]
        if self.exam.own is not None or not written or not self._n_rows:
            return
        chosen = limit_rows(written, _OWN, self._seed)
        # Named by its round, which it is paid in.
        name = f"{chosen[0].id.partition('-')[0]}-exam"
        if self.exam.packs:
            parts = [
                self._packed(name, chosen[i : i + _PACK], i // _PACK)
                for i in range(0, len(chosen), _PACK)
            ]
            own = Share(sum(p.right for p in parts), sum(p.asked for p in parts))
        else:
            found = self._one_by_one(chosen[:_SINGLE], name=name)
            own = Share(sum(found), len(found))
        self.exam = replace(self.exam, own=own)
        self._on_result(self.exam)

    def weighed(self, texts: Sequence[LabelledText]) -> list[LabelledText]:
        """The texts; if it writes worse than it reads, those that it takes for others weigh little.

        Raises:
            TeacherError: as `examine_labels`.
        """
        if not (self.exam.packs and self.exam.writes_worse_than_it_reads):
            return list(texts)
        weighed: list[LabelledText] = []
        for i in range(0, len(texts), _PACK):
            part = texts[i : i + _PACK]
            labels = self._labels_of(f"{part[0].id}-verify", part)
            if not any(labels):  # no answer, as when a budget is used up, says nothing of them
                weighed += part
                continue
            for text, label in zip(part, labels, strict=True):
                sure = 1.0 if label == text.label else _DOUBTED
                origin = replace(text.origin, confidence=sure) if text.origin else None
                weighed.append(replace(text, origin=origin))
        return weighed

    def _conclude(self, rows: Share, *, packs: bool) -> None:
        self.exam = replace(self.exam, rows=rows, packs=packs)
        self._on_result(self.exam)

    def _rest(self, first: Share, rows: Sequence[LabelledText]) -> Share:
        right, asked = first.right, first.asked
        for i in range(_PACK, len(rows), _PACK):
            part = self._packed("exam", rows[i : i + _PACK], i // _PACK)
            right, asked = right + part.right, asked + part.asked
        return Share(right, asked)

    def _packed(self, name: str, rows: Sequence[LabelledText], number: int) -> Share:
        labels = self._labels_of(f"{name}-{number + 1:04d}", rows)
        right = sum(label == row.label for label, row in zip(labels, rows, strict=True))
        return Share(right, len(rows))

    def _labels_of(self, call: str, rows: Sequence[LabelledText]) -> list[str | None]:
        texts = [row.text for row in rows]
        request = label_many_request(texts, self._taxonomy, seed=self._seed)
        return self._synthesizer.label_many(call, request, len(rows))

    def _one_by_one(self, rows: Sequence[LabelledText], name: str = "exam-single") -> list[bool]:
        texts = [PoolText(row.text, row.id) for row in rows]
        questions = self._questions.prompts(name, texts, "examination", purpose="exam")
        return self._synthesizer.agreements(questions, rows)


_CHOICES = 5  # classes that the teacher chooses among: a small one gets lost among many


@dataclass(frozen=True, slots=True)
class Verified:
    """What the teacher said of a text that it read blind.

    Attributes:
        text: the text, with the class that it was written for.
        said: the class that the teacher chose; None where it chose none of those offered.
        confirmed: probability of the class that the text was written for; 1 or 0 where the teacher
            tells its choice alone.
    """

    text: LabelledText
    said: str | None
    confirmed: float

    @property
    def weighed(self) -> LabelledText:
        """The text, which weighs by what the teacher says of it."""
        assert self.text.origin is not None
        return replace(self.text, origin=replace(self.text.origin, confidence=self.confirmed))


class SelfVerification:
    """Lets a teacher read its texts blind.

    Args:
        teacher: who is asked.
        taxonomy: the classes.
        real: rows of the user; the first of each class is shown.
        seed: of the order in which classes are offered.
    """

    def __init__(
        self,
        teacher: Teacher,
        taxonomy: Taxonomy,
        real: Sequence[LabelledText],
        *,
        seed: int,
    ) -> None:
        self._teacher = teacher
        self._taxonomy = taxonomy
        self._seed = seed
        self._shown: dict[str, LabelledText] = {}
        for row in real:
            self._shown.setdefault(row.label, row)

    def verify(self, texts: Sequence[LabelledText], student: Student) -> Iterator[Verified]:
        """What the teacher says, class by class: prompts about one class begin alike.

        Args:
            texts: of the teacher.
            student: fitted; says which classes a text may be taken for.

        Raises:
            TeacherError: as `label_texts`; what was yielded before stands.
        """
        for label in dict.fromkeys(text.label for text in texts):
            group = [text for text in texts if text.label == label]
            offer = self._offer(label, group, student)
            found = label_texts(
                self._teacher,
                [text.text for text in group],
                Taxonomy(tuple(self._taxonomy[name] for name in offer)),
                examples=[self._shown[name] for name in offer if name in self._shown],
                calibrate=False,  # the classes offered are anything but equally common
                seed=self._seed,
            )
            for text, answer in zip(group, found, strict=True):
                yield Verified(text, answer.label, _confirmed(answer, label, offer))

    def typical(self, text: LabelledText) -> Request:
        """A question like those of `verify`, for an estimate before there is a student."""
        others = [name for name in self._taxonomy.names if name != text.label]
        offer = [text.label, *others[: _CHOICES - 1]]
        return label_request(
            text.text,
            Taxonomy(tuple(self._taxonomy[name] for name in offer)),
            examples=[self._shown[name] for name in offer if name in self._shown],
            scored=self._teacher.scores_choices,
        )

    def _offer(self, label: str, texts: Sequence[LabelledText], student: Student) -> list[str]:
        """The class and its likeliest rivals, in an order that does not tell which it is."""
        likely = student.predict_proba([text.text for text in texts]).mean(axis=0)
        ranked = [student.classes[i] for i in np.argsort(-likely, kind="stable")]
        rivals = [name for name in ranked if name != label][: _CHOICES - 1]
        offer = [label, *rivals]
        rng = np.random.default_rng([self._seed, crc32("/".join(offer).encode())])
        return [offer[i] for i in rng.permutation(len(offer))]


def _confirmed(answer: Labelled, label: str, offer: Sequence[str]) -> float:
    if answer.probabilities is not None:
        return answer.probabilities[offer.index(label)]
    if answer.label is None:
        return 0.0
    sure = 1.0 if answer.confidence is None else answer.confidence
    return sure if answer.label == label else (1.0 - sure) / max(1, len(offer) - 1)
