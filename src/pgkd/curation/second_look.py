"""A second look: the teacher reads its own texts blind, and says of which class each is.

Writing a text of a class and telling the class of a text are two tasks, and the second is the
easier one: of what a small teacher confirms nine texts in ten are right, of the rest one in two.
The idea is PromptMix's (Sahu et al., EMNLP 2023), who let the teacher relabel what it wrote near a
border. A small teacher gets lost among many classes, so it chooses among a few: the one that the
text was written for, and those that the student finds likeliest for the texts of that class.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np

from pgkd.curation.reasons import Drop, Reason, Sample
from pgkd.task import Taxonomy
from pgkd.teacher.labelling import label_request, label_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.student import Student
    from pgkd.task import Example
    from pgkd.teacher import Teacher
    from pgkd.teacher.base import Request
    from pgkd.teacher.labelling import Labelled

Rule = Literal["drop", "relabel", "weigh"]
"""What becomes of a text that the teacher takes for another class: it is left out, or gets that
class, or is kept and weighs by `Origin.confidence`."""

_SPARE = 2  # rows and texts: a class with fewer keeps its likeliest text, whatever is said of it


@dataclass(frozen=True, slots=True)
class Look:
    """What the teacher said of a text that it read blind.

    Attributes:
        text: the text, with the class that it was written for.
        said: the class that the teacher chose; None where it chose none of those offered.
        confirmed: probability of the class that the text was written for; 1 or 0 where the teacher
            tells its choice alone.
    """

    text: Example
    said: str | None
    confirmed: float

    @property
    def agrees(self) -> bool:
        """Whether the teacher chose the class that the text was written for."""
        return self.said == self.text.label

    @property
    def weighed(self) -> Example:
        """The text, which weighs by what the teacher says of it."""
        assert self.text.origin is not None
        return replace(self.text, origin=replace(self.text.origin, confidence=self.confirmed))


class SecondLook:
    """Lets a teacher read its texts blind, and decides what stays.

    Args:
        teacher: who is asked.
        taxonomy: the classes.
        real: rows of the user; the first of each class is shown.
        rule: what becomes of a text that is not confirmed.
        offered: classes that the teacher chooses among; 0 offers all.
        seed: of the order in which they are offered.
    """

    def __init__(
        self,
        teacher: Teacher,
        taxonomy: Taxonomy,
        real: Sequence[Example],
        *,
        rule: Rule,
        offered: int,
        seed: int,
    ) -> None:
        self._teacher = teacher
        self._taxonomy = taxonomy
        self._rule = rule
        self._offered = offered or len(taxonomy)
        self._seed = seed
        self._shown: dict[str, Example] = {}
        for row in real:
            self._shown.setdefault(row.label, row)
        self._have = Counter(row.label for row in real)

    def look(self, texts: Sequence[Example], student: Student) -> Iterator[Look]:
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
                yield Look(text, answer.label, _confirmed(answer, label, offer))

    def typical(self, text: Example) -> Request:
        """A question like those of `look`, for an estimate before there is a student."""
        others = [name for name in self._taxonomy.names if name != text.label]
        offer = [text.label, *others[: self._offered - 1]]
        return label_request(
            text.text,
            Taxonomy(tuple(self._taxonomy[name] for name in offer)),
            examples=[self._shown[name] for name in offer if name in self._shown],
            scored=self._teacher.scores_choices,
        )

    def decide(self, looks: Sequence[Look]) -> tuple[list[Example], list[Drop]]:
        """Which texts stay, in the order of the looks, and what is dropped."""
        spared = self._spared(looks)
        kept: list[Example] = []
        dropped: list[Drop] = []
        for look in looks:
            if self._rule == "weigh":
                kept.append(look.weighed)
            elif look.agrees or look in spared:
                kept.append(look.text)
            elif self._rule == "relabel" and look.said is not None:
                kept.append(replace(look.text, label=look.said))
            else:
                dropped.append(_drop(look))
        self._have.update(text.label for text in kept)
        return kept, dropped

    def _spared(self, looks: Sequence[Look]) -> list[Look]:
        """The likeliest text of each class that has next to nothing: no filter may empty it."""
        likeliest: dict[str, Look] = {}
        for look in looks:
            label = look.text.label
            if self._have[label] < _SPARE:
                first = likeliest.setdefault(label, look)
                likeliest[label] = max(first, look, key=lambda each: each.confirmed)
        return list(likeliest.values())

    def _offer(self, label: str, texts: Sequence[Example], student: Student) -> list[str]:
        """The class and its likeliest rivals, in an order that does not tell which it is."""
        likely = student.predict_proba([text.text for text in texts]).mean(axis=0)
        ranked = [student.classes[i] for i in np.argsort(-likely, kind="stable")]
        rivals = [name for name in ranked if name != label][: self._offered - 1]
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


def _drop(look: Look) -> Drop:
    says = f"says '{look.said}'" if look.said is not None else "names no class that was offered"
    return Drop(
        Sample(look.text.text, look.text.label, 0),
        Reason.UNCONFIRMED,
        f"read blind, the teacher {says}",
    )
