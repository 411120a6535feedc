"""A guide that spends rounds on labels for texts of a pool, too."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pgkd.task import Parsed, Prompt
from pgkd.tasks.classification.data.pool import PoolText
from pgkd.tasks.classification.prompts.labelling import label_request
from pgkd.teachers.base import Reply

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.tasks.classification.data.dataset import Dataset
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.data.pool import PoolText
    from pgkd.tasks.classification.feedback.choosing import Choice
    from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation
    from pgkd.tasks.classification.feedback.turns import Turns
    from pgkd.tasks.classification.learner import ClassificationLearner
    from pgkd.tasks.classification.students.base import Student


@dataclass(frozen=True)
class Question(Prompt):
    """Asks for the label of a text that has none.

    Attributes:
        text: whose label is asked for.
        labels: that it may get.
    """

    text: PoolText
    labels: tuple[str, ...]

    def parse(self, reply: Reply, count: int) -> Parsed:
        """Not read alone: see `ClassificationSynthesizer`."""
        raise NotImplementedError

    def to_json(self) -> dict[str, Any]:
        """See `Prompt.to_json`."""
        return {**super().to_json(), "labels": "all", "question": self.text.id}


class LabelPrompts:
    """Asks for the label of texts, one request each.

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
        self, taxonomy: Taxonomy, shown: Sequence[LabelledText], *, scored: bool, seed: int
    ) -> None:
        self.shown = tuple(shown)
        self.taxonomy = taxonomy
        self._scored = scored
        self._seed = seed

    def prompts(
        self, name: str, texts: Sequence[PoolText], reason: str, *, purpose: str = "label"
    ) -> tuple[Question, ...]:
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

    def _one(self, number: str, text: PoolText, reason: str, purpose: str) -> Question:
        request = label_request(
            text.text, self.taxonomy, examples=self.shown, seed=self._seed, scored=self._scored
        )
        request = replace(request, purpose=purpose, wants_logprob=not self._scored)
        return Question(number, request, 1, self.shown, (reason,), text, self.taxonomy.names)


class PoolLearner:
    """Trains and evaluates as another learner does; a round asks for its texts, or for labels.

    Args:
        learner: trains, evaluates, and asks for texts.
        dataset: the rows, and the pool.
        questions: how labels are asked for.
        choice: which texts of the pool are asked for.
        turns: whether a round asks for labels.
        samples: labels of a round.
    """

    def __init__(
        self,
        learner: ClassificationLearner,
        dataset: Dataset,
        questions: LabelPrompts,
        choice: Choice,
        turns: Turns,
        *,
        samples: int,
    ) -> None:
        self._learner = learner
        self._rows = [row.text for row in dataset.train]
        self._left = list(dataset.pool.texts)
        self._questions = questions
        self._choice = choice
        self._turns = turns
        self._samples = samples

    def train(self, written: Sequence[LabelledText]) -> Student:
        """See `Learner.train`."""
        return self._learner.train(written)

    def evaluate(self, student: Student, written: Sequence[LabelledText]) -> ClassifierEvaluation:
        """See `Learner.evaluate`."""
        return self._learner.evaluate(student, written)

    def prompts(
        self, number: int, evaluation: ClassifierEvaluation, written: Sequence[LabelledText]
    ) -> Sequence[Prompt]:
        """Questions for the labels of pool texts, or prompts for texts; these where none is left.

        A text that was asked for is not asked for again, whatever came of it.
        """
        if not self._turns.labels(number, evaluation.losses, left=bool(self._left)):
            return self._learner.prompts(number, evaluation, written)
        known = [*self._rows, *(text.text for text in written if not text.is_synthetic)]
        left = [text.text for text in self._left]
        chosen = self._choice(self._learner.probe(written), left, known, self._samples)
        asked = [self._left[i] for i in chosen]
        taken = set(chosen)
        self._left = [text for i, text in enumerate(self._left) if i not in taken]
        return self._questions.prompts(f"r{number}", asked, "of the pool")
