"""Self-verification: the teacher reads its own texts blind, and says of which class each is.

Writing a text of a class and telling the class of a text are two tasks, and the second is the
easier one: of what a small teacher confirms nine texts in ten are right, of the rest one in two.
The idea is PromptMix's (Sahu et al., EMNLP 2023), who let the teacher relabel what it wrote near a
border; here a text is kept, and weighs by the probability of its class. The teacher chooses among
a few classes: the one that the text was written for, and those that the student finds likeliest for
the texts of that class.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from pgkd.tasks.classification.data.examples import Taxonomy
from pgkd.tasks.classification.prompts.labelling import label_request, label_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.prompts.labelling import Labelled
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Request, Teacher

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
