"""What a report shows, as plain data: to print, to draw and to lay out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from pgkd.evaluation import titled

Tone = Literal["better", "worse", "unclear", "none"]
BEFORE, AFTER = "before", "after"
"""Roles of the students in `EvaluationSet`: that of round 0, and the best one."""

KEPT = "accepted"
"""The outcome of an accepted text in `Text`."""


@dataclass(frozen=True, slots=True)
class Snippet:
    """The beginning of a text, and how many characters the whole text has."""

    text: str
    length: int

    @classmethod
    def of(cls, text: object, limit: int) -> Snippet:
        """The first characters of whatever stands where a text should."""
        whole = text if isinstance(text, str) else "" if text is None else str(text)
        return cls(whole[:limit], len(whole))

    @property
    def is_cut(self) -> bool:
        """Whether the text is longer than what is shown."""
        return self.length > len(self.text)


@dataclass(frozen=True, slots=True)
class About:
    """Which run it is."""

    name: str
    started: str  # empty where the journal is; so is `ended` where the run has not ended
    ended: str
    teacher: str
    student: str
    classes: int
    train: int  # labelled rows
    validation: int
    planned: int  # maximum number of rounds
    best: int | None  # round of the best student; None where no round has ended
    stopped_by: str
    detail: str
    description: str  # of the texts, as every prompt has it
    warnings: tuple[str, ...]
    settings: dict[str, str]  # by dotted names
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """The result of a run: one plain sentence, and what a careful reader should know."""

    tone: Tone
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Rows that students were evaluated on, and their metrics by role."""

    rows: Literal["validation", "cross-validation", "test"]
    source: str  # name of the file; empty for rows of the run, as is `judged`
    judged: str
    n: int
    students: dict[str, dict[str, Any]]  # as `judge_students` returns them
    changes: dict[str, dict[str, Any]]  # from each role to `AFTER`
    teacher: dict[str, Any] | None = None  # alone, on some of the rows
    missing: str = ""  # why there are no intervals
    left_out: int | None = None  # rows of the file that belong to the run; None if nobody checked
    trainings: int = 1  # of each student, whose variance is in the intervals of changes

    @property
    def measures(self) -> dict[str, str]:
        """Names and titles of the figures."""
        return {name: titled(name) for name, v in self.after.items() if isinstance(v, float)}

    @property
    def before(self) -> dict[str, Any]:
        """Metrics of the student of round 0; of the best one where that was not evaluated."""
        return self.students.get(BEFORE, self.students[AFTER])

    @property
    def after(self) -> dict[str, Any]:
        """Metrics of the best student."""
        return self.students[AFTER]


@dataclass(frozen=True, slots=True)
class RoundLine:
    """A round: its texts, the metrics of its student, and the costs. A price is None if unknown."""

    number: int  # 0 is the student without synthetic texts
    asked: int
    accepted: int
    synthetic: int  # synthetic texts in the training set so far
    weight: float | None  # of a synthetic text; None where there are none
    keep: bool  # whether its student became the best so far
    figures: dict[str, float]  # of its student, by name
    loss_change: float  # with its standard error, as the stop rule computed it
    loss_error: float | None
    tokens: int  # of calls that wrote, repaired and labelled texts of this round
    usd: str | None
    total_tokens: int  # of all calls up to this round, apart from those of `pgkd evaluate`
    total_usd: str | None


@dataclass(frozen=True, slots=True)
class CellChange:
    """A part of what is judged, such as a label, before and after."""

    name: str
    figure: str  # which is compared
    n: int  # rows evaluated
    before: float
    after: float
    asked: int  # texts requested for this class alone
    accepted: int
    rows: int  # labelled rows to train on

    @property
    def change(self) -> float:
        """After minus before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class ConfusionChange:
    """How many rows of one class were predicted as another, before and after."""

    gold: str
    predicted: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Confusions:
    """Pairs of classes that are confused less or more often, the largest change first."""

    shrank: tuple[ConfusionChange, ...] = ()
    grew: tuple[ConfusionChange, ...] = ()
    more_shrank: int = 0  # pairs that are not listed
    more_grew: int = 0


@dataclass(frozen=True, slots=True)
class Money:
    """Calls, tokens and dollars."""

    recorded: bool  # whether the run has a ledger
    parts: tuple[dict[str, Any], ...] = ()  # `summed` by round and purpose, with ``known_usd``
    total: dict[str, Any] = field(default_factory=dict)
    usd: str | None = None  # None where no price is known
    free: bool = False  # whether the teacher runs on the user's own machine
    sources: tuple[str, ...] = ()  # of the prices


@dataclass(frozen=True, slots=True)
class Text:
    """A text or a reply of the teacher."""

    round: int
    label: str  # or another output
    outcome: str  # `KEPT`, or why it was dropped
    text: Snippet
    detail: Snippet


@dataclass(frozen=True, slots=True)
class Texts:
    """How many texts were accepted and dropped, for which reasons, and a sample of them."""

    accepted: int
    rejected: int
    reasons: tuple[tuple[str, int], ...]
    shown: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """A call to the teacher: role and text of each message, and the reply or the error."""

    id: str
    purpose: str
    round: int
    reasons: tuple[str, ...]
    messages: tuple[tuple[str, Snippet], ...]
    reply: Snippet
    state: str


@dataclass(frozen=True, slots=True)
class LabelIssue:
    """A labelled row whose label may be wrong."""

    id: str
    label: str
    suggested: str
    by: str
    round: int
    text: Snippet


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that the best student gets wrong."""

    text: Snippet
    expected: Snippet
    answer: Snippet


@dataclass(frozen=True, slots=True)
class Speed:
    """Seconds for a text, and dollars for a million of them; None where unknown."""

    student: dict[str, Any] | None = None  # `Timing` as plain data
    teacher_calls: int = 0
    teacher_median: float | None = None
    teacher_p95: float | None = None
    teacher_usd: float | None = None
    teacher_free: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A text on the map, in the unit square."""

    x: float
    y: float
    label: str
    synthetic: bool  # by the teacher
    text: Snippet


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A class on the map: its rows and its synthetic texts."""

    label: str
    real: int
    synthetic: int
    at_home: int  # synthetic texts whose nearest labelled row is of the same class


@dataclass(frozen=True, slots=True)
class Map:
    """Labelled rows and synthetic texts in two dimensions."""

    method: str
    points: tuple[Point, ...]
    real: int  # all labelled rows, on the map or not
    synthetic: int
    neighbours: tuple[Neighbours, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """Everything that a report shows.

    Attributes:
        about: which run it is.
        verdict: the result in words.
        exam: how well the teacher did in its exam, as pairs of a title and a result.
        bases: rows that students were evaluated on; the verdict is about the first.
        rounds: every round that has ended.
        cells: every label, slot or the like, the largest gain first.
        mistakes: rows that the best student gets wrong, where the task tells them.
        confusions: pairs of classes whose confusion changed.
        money: what the calls cost.
        texts: what the teacher wrote.
        prompts: some calls in full.
        label_issues: rows whose label may be wrong.
        more_label_issues: number of such rows that are not listed.
        speed: seconds and dollars for a text.
        map: the texts in two dimensions; None where there are too few.
    """

    about: About
    verdict: Conclusion
    exam: tuple[tuple[str, str], ...]
    bases: tuple[EvaluationSet, ...]
    rounds: tuple[RoundLine, ...]
    cells: tuple[CellChange, ...]
    mistakes: tuple[Mistake, ...]
    confusions: Confusions
    money: Money
    texts: Texts
    prompts: tuple[ShownPrompt, ...]
    label_issues: tuple[LabelIssue, ...]
    more_label_issues: int
    speed: Speed
    map: Map | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
