"""Which texts of an unlabelled pool are worth a label.

A label is worth most where the student wavers, and where many texts are like the one that gets it.
Margin alone (Scheffer et al., IDA 2001) picks outliers and near copies of one another, and with few
labels the student does not know yet where it is wrong. *Uncertainty herding* (Bae et al., ICLR
2025) joins both in one sum: every text of the pool counts by how unsure the student is of it, a
labelled text covers those near it, and the next one is that which covers most of what is uncovered.
What the user's rows cover from the start is not bought again.

The acquisition schedule: whether a round asks for texts, or for labels of texts of the pool.

A round goes one way or the other, so that what it brought can be told: the change of the loss on
real rows, for what the round has cost. A mix is rounds in turn.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pgkd.evaluation import paired_change
from pgkd.task import Parsed, Prompt
from pgkd.tasks.classification.data.pool import PoolText
from pgkd.tasks.classification.prompts.labelling import label_request
from pgkd.teachers.base import Reply

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
    from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation
    from pgkd.tasks.classification.learner import ClassificationLearner
    from pgkd.tasks.classification.students.base import Student

_CANDIDATES = 2000  # the least sure texts, among which is chosen
_SUBSAMPLE = 4000  # texts drawn to stand for the pool: what is to be covered
_BANDWIDTH = 0.2  # how fast a label's worth fades with cosine distance
_CHUNK = 4096  # texts that are looked at at once


class Choice(Protocol):
    """A way to choose among the texts of a pool."""

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """Indices of the n texts to ask for, the best first; all where there are fewer.

        Args:
            student: trained on what is known; its probabilities are calibrated.
            pool: texts without a label.
            known: texts that have one.
            n: how many are wanted.
        """


class RandomChoice:
    """Draws texts: the control.

    Args:
        seed: of the drawing.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """See `Choice`."""
        return [int(i) for i in self._rng.permutation(len(pool))[:n]]


class GuidedChoice:
    """Chooses where the student is unsure and nothing is covered.

    A student without features, such as one on TF-IDF, is asked for its doubt alone.

    Args:
        seed: of the texts that stand for a large pool.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def __call__(
        self, student: Student, pool: Sequence[str], known: Sequence[str], n: int
    ) -> list[int]:
        """See `Choice`."""
        doubt = np.concatenate(
            [
                doubts(student.predict_proba(pool[start : start + _CHUNK]))
                for start in range(0, len(pool), _CHUNK)
            ]
        )
        covered = student.features(known)
        if covered is None:
            return most_doubtful(doubt, n)

        def features(rows: NDArray[np.int64]) -> NDArray[np.float64]:
            found = student.features([pool[i] for i in rows.tolist()])
            assert found is not None  # it has some of the known texts
            return found

        return herd(doubt, features, covered, n, self._rng)


def doubts(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """How unsure a student is of each text, shape (n,), in [0, 1]: one minus the margin.

    The margin is the difference between its two most probable classes.

    Args:
        probabilities: shape (n, n_classes), at least two classes.
    """
    second, first = np.partition(probabilities, -2, axis=1)[:, -2:].T
    return np.asarray(1.0 - (first - second))


def most_doubtful(doubt: NDArray[np.float64], n: int) -> list[int]:
    """The n texts of most doubt, the most doubtful first; ties in the order of the pool."""
    return [int(i) for i in np.argsort(-doubt, kind="stable")[:n]]


def herd(
    doubt: NDArray[np.float64],
    features: Callable[[NDArray[np.int64]], NDArray[np.float64]],
    known: NDArray[np.float64],
    n: int,
    rng: np.random.Generator,
    *,
    bandwidth: float = _BANDWIDTH,
) -> list[int]:
    """The n texts that cover most doubt which nothing covers yet, one after the other.

    A text covers another one by a Gaussian of their distance. The sum that grows is submodular, so
    this greedy choice reaches 63% of what the best one would (Nemhauser et al., 1978).

    Args:
        doubt: shape (n_pool,), what each text counts.
        features: of texts by their indices, shape (n_texts, width), of unit length.
        known: shape (n_known, width), features of the texts that have a label.
        n: texts wanted.
        rng: draws the texts that stand for a large pool.
        bandwidth: cosine distance at which a text covers another one by 1/e.
    """
    candidates = np.array(most_doubtful(doubt, max(n, _CANDIDATES)), dtype=np.int64)
    subsample = np.arange(len(doubt))
    if len(subsample) > _SUBSAMPLE:
        subsample = np.sort(rng.choice(len(subsample), size=_SUBSAMPLE, replace=False))
    seen = features(subsample)
    near = _nearness(features(candidates), seen, bandwidth)
    covered = _nearness(seen, known, bandwidth).max(axis=1, initial=0.0)
    weight = doubt[subsample].astype(np.float32)
    # What a text adds can only shrink as others are chosen: so of most texts an old figure is
    # enough (lazy greedy, Minoux 1978).
    gain = np.array([np.maximum(row - covered, 0.0) @ weight for row in near])
    chosen: list[int] = []
    while len(chosen) < min(n, len(candidates)):
        best = int(gain.argmax())
        fresh = np.maximum(near[best] - covered, 0.0) @ weight
        if fresh < gain[best]:
            gain[best] = fresh
            continue
        chosen.append(best)
        covered = np.maximum(covered, near[best])
        gain[best] = -np.inf
    return [int(i) for i in candidates[chosen]]


def _nearness(
    first: NDArray[np.float64], second: NDArray[np.float64], bandwidth: float
) -> NDArray[np.float32]:
    """How much each text of one kind covers each of the other, shape (n_first, n_second)."""
    cosine = first.astype(np.float32) @ second.astype(np.float32).T
    return np.asarray(np.exp((cosine - 1.0) / bandwidth), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Spent:
    """What a round has cost: calls that were answered, and US dollars where a price is known."""

    calls: int
    usd: float = 0.0


@dataclass(frozen=True, slots=True)
class Gain:
    """What a round has brought.

    Attributes:
        nats: by which the mean loss on real rows fell.
        error: standard error of that.
        spent: what it cost.
    """

    nats: float
    error: float
    spent: Spent


class AcquisitionSchedule:
    """Decides whether a round asks for labels.

    With a share, rounds are dealt out evenly: of any first n, that share of them label, rounded
    down. Without one, the first round labels and the second one writes. From then on the last round
    of each kind is compared, by what it brought for its cost: dollars, or calls where nothing was
    billed. The better kind goes on, by a margin of one standard error; within it, the two take
    turns.

    Args:
        share: of the rounds that label; None chooses by what helped more.
        spent: what a round has cost, by its number.
    """

    def __init__(self, share: float | None, spent: Callable[[int], Spent]) -> None:
        self._share = share
        self._spent = spent
        self._losses: NDArray[np.float64] | None = None
        self._labelled = False  # in the last round
        self._gains: dict[bool, Gain] = {}

    def labels(self, number: int, losses: NDArray[np.float64], *, left: bool = True) -> bool:
        """Whether round `number` asks for labels; called once a round, in order.

        Args:
            number: of the round, from 1.
            losses: shape (n,), on real rows after the round before it, in nats; the same rows in
                every round, NaN where a row cannot judge.
            left: whether there is a text to label.
        """
        if self._losses is not None:
            change, error = paired_change(losses, self._losses)
            self._gains[self._labelled] = Gain(-change, error, self._spent(number - 1))
        self._losses = losses
        self._labelled = left and self._turn(number)
        return self._labelled

    def _turn(self, number: int) -> bool:
        if self._share is not None:
            return math.floor(number * self._share) > math.floor((number - 1) * self._share)
        if len(self._gains) < 2:
            return not self._labelled
        better = compared(self._gains[True], self._gains[False])
        return not self._labelled if better == 0 else better > 0


def compared(first: Gain, second: Gain) -> int:
    """1 where the first brought more for its cost, -1 where the second did, 0 within the error."""
    billed = first.spent.usd > 0 and second.spent.usd > 0
    costs = [g.spent.usd if billed else max(g.spent.calls, 1) for g in (first, second)]
    rates = [g.nats / cost for g, cost in zip((first, second), costs, strict=True)]
    errors = [g.error / cost for g, cost in zip((first, second), costs, strict=True)]
    difference = rates[0] - rates[1]
    return 0 if abs(difference) <= math.hypot(*errors) else int(math.copysign(1, difference))


@dataclass(frozen=True)
class LabelPrompt(Prompt):
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
        scored: whether the teacher tells the scores of all classes.
        seed: of the requests.

    Attributes:
        taxonomy: the classes, as the questions describe them.
    """

    def __init__(self, taxonomy: Taxonomy, *, scored: bool, seed: int) -> None:
        self.taxonomy = taxonomy
        self._scored = scored
        self._seed = seed

    def prompts(
        self, name: str, texts: Sequence[PoolText], reason: str, *, purpose: str = "label"
    ) -> tuple[LabelPrompt, ...]:
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

    def _one(self, number: str, text: PoolText, reason: str, purpose: str) -> LabelPrompt:
        request = label_request(text.text, self.taxonomy, seed=self._seed, scored=self._scored)
        request = replace(request, purpose=purpose, wants_logprob=not self._scored)
        return LabelPrompt(number, request, 1, (), (reason,), text, self.taxonomy.names)


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
        dataset: TextDataset,
        questions: LabelPrompts,
        choice: Choice,
        turns: AcquisitionSchedule,
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
