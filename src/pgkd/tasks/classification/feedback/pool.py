"""A guide that spends rounds on labels for texts of a pool, too."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgkd.tasks.classification.prompts.asking import Ask
from pgkd.tasks.classification.prompts.labelling import label_request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.task import Assessment
    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.data.example import Example
    from pgkd.tasks.classification.data.pool import PoolText
    from pgkd.tasks.classification.data.taxonomy import Taxonomy
    from pgkd.tasks.classification.feedback.choosing import Choice
    from pgkd.tasks.classification.feedback.turns import Turns
    from pgkd.tasks.classification.guide import ClassificationGuide
    from pgkd.tasks.classification.students.base import Student


class LabelAsking:
    """Asks for the class of texts, one request each.

    Args:
        taxonomy: the classes.
        shown: labelled rows that every request shows. They are parents of the labels.
        scored: whether the teacher tells the scores of all classes.
        seed: of the requests.

    Attributes:
        shown: those rows.
        taxonomy: the classes, as the questions describe them.
    """

    def __init__(
        self, taxonomy: Taxonomy, shown: Sequence[Example], *, scored: bool, seed: int
    ) -> None:
        self.shown = tuple(shown)
        self.taxonomy = taxonomy
        self._scored = scored
        self._seed = seed

    def ask(
        self, name: str, texts: Sequence[PoolText], reason: str, *, purpose: str = "label"
    ) -> tuple[Ask, ...]:
        """One question a text.

        Args:
            name: of the questions, before their number: ``r3`` of round 3.
            texts: whose class is asked for.
            reason: why, for the log.
            purpose: what for, as the ledger tells it.
        """
        return tuple(
            self._one(f"{name}-{i:04d}", text, reason, purpose)
            for i, text in enumerate(texts, start=1)
        )

    def _one(self, number: str, text: PoolText, reason: str, purpose: str) -> Ask:
        request = label_request(
            text.text, self.taxonomy, examples=self.shown, seed=self._seed, scored=self._scored
        )
        request = replace(request, purpose=purpose, wants_logprob=not self._scored)
        return Ask(number, request, self.taxonomy.names, 1, self.shown, (reason,), text)


class PoolGuide:
    """Trains and assesses as another guide does; a round asks for its texts, or for labels.

    Args:
        guide: trains, assesses, and asks for texts.
        task: the rows, and the pool.
        asking: how labels are asked for.
        choice: which texts of the pool are asked for.
        turns: whether a round asks for labels.
        samples: labels of a round.
    """

    def __init__(
        self,
        guide: ClassificationGuide,
        task: Task,
        asking: LabelAsking,
        choice: Choice,
        turns: Turns,
        *,
        samples: int,
    ) -> None:
        self._guide = guide
        self._rows = [row.text for row in task.train]
        self._left = list(task.pool.texts)
        self._asking = asking
        self._choice = choice
        self._turns = turns
        self._samples = samples

    def train(self, written: Sequence[Example]) -> Student:
        """See `Guide.train`."""
        return self._guide.train(written)

    def assess(self, student: Student, written: Sequence[Example]) -> Assessment:
        """See `Guide.assess`."""
        return self._guide.assess(student, written)

    def ask(self, number: int, assessment: Assessment, written: Sequence[Example]) -> Sequence[Ask]:
        """Questions for the classes of pool texts, or requests for texts; these where none is left.

        A text that was asked for is not asked for again, whatever came of it.
        """
        if not self._turns.labels(number, assessment.losses, left=bool(self._left)):
            return self._guide.ask(number, assessment, written)
        known = [*self._rows, *(text.text for text in written if not text.is_written)]
        left = [text.text for text in self._left]
        chosen = self._choice(self._guide.probe(written), left, known, self._samples)
        asked = [self._left[i] for i in chosen]
        taken = set(chosen)
        self._left = [text for i, text in enumerate(self._left) if i not in taken]
        return self._asking.ask(f"r{number}", asked, "of the pool")
