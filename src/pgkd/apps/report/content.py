"""What a report shows, as plain data: to print, to draw and to lay out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Tone = Literal["better", "worse", "unclear", "none"]
BEFORE, AFTER = "before", "after"
"""Roles of the students in `EvaluationSet`: that of round 0, and the best one."""

KEPT = "kept"
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
    """Which run it is.

    Attributes:
        started: time of the first line of the journal; empty where there is none.
        ended: time of the end; empty where the run has not ended.
        train: number of labelled rows to train on.
        validation: number of labelled rows to validate on.
        planned: maximum number of rounds.
        best: round of the best student; None where no round has ended.
        detail: more about why the run stopped.
        description: what every prompt says of the task.
        warnings: about the rows.
        settings: of config.yaml, by dotted names.
        versions: of environment.json.
    """

    name: str
    started: str
    ended: str
    teacher: str
    student: str
    classes: int
    train: int
    validation: int
    planned: int
    best: int | None
    stopped_by: str
    detail: str
    description: str
    warnings: tuple[str, ...]
    settings: dict[str, str]
    versions: dict[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a run: one plain sentence, and what a careful reader should know."""

    tone: Tone
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """Rows that students were evaluated on, and the metrics.

    Attributes:
        rows: ``"cross-validation"`` stands for labelled rows with out-of-fold predictions.
        source: name of the file; empty for rows of the run.
        judged: time of the evaluation, for test rows.
        n: number of rows.
        students: metrics by role, as `pgkd.evaluation.judge_students` returns them.
        changes: metrics of ``after`` minus those of another role, by that role.
        teacher: metrics of the teacher alone on some of the rows; None where it was not evaluated.
        missing: why there are no intervals and no calibration; empty where there are.
        left_out: rows of the file that belong to the run and are excluded; None where nobody
            checked, and for rows of the run.
        trainings: of each student, whose variance is in the intervals of `changes`; 1 for none.
    """

    rows: Literal["validation", "cross-validation", "test"]
    source: str
    judged: str
    n: int
    students: dict[str, dict[str, Any]]
    changes: dict[str, dict[str, Any]]
    teacher: dict[str, Any] | None = None
    missing: str = ""
    left_out: int | None = None
    trainings: int = 1

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
    """A round: its texts, the metrics of its student, and the costs so far.

    Attributes:
        number: 0 is the student without synthetic texts.
        asked: texts requested.
        kept: texts accepted.
        written: synthetic texts in the training set so far.
        weight: of a synthetic text; None where there are none.
        keep: whether its student became the best so far.
        loss_change: mean change of the loss, as the stop rule computed it.
        loss_error: standard error of that change.
        tokens: of the calls that wrote, repaired and labelled texts of this round.
        usd: price of those calls; None where it is unknown.
        total_tokens: of all calls up to this round, apart from labelling by `pgkd evaluate`.
        total_usd: price of those calls; None where a part is unknown.
    """

    number: int
    asked: int
    kept: int
    written: int
    weight: float | None
    keep: bool
    accuracy: float
    macro_f1: float
    log_loss: float
    loss_change: float
    loss_error: float | None
    tokens: int
    usd: str | None
    total_tokens: int
    total_usd: str | None


@dataclass(frozen=True, slots=True)
class ClassLine:
    """A class: rows evaluated, F1 before and after, texts requested and accepted, training rows."""

    name: str
    support: int
    before: float
    after: float
    asked: int
    kept: int
    rows: int

    @property
    def change(self) -> float:
        """F1 after minus F1 before."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Pair:
    """How many rows of one class were predicted as another, before and after."""

    gold: str
    predicted: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Confusions:
    """Pairs of classes that are confused less or more often, the largest change first.

    `more_shrank` and `more_grew` count the pairs that are not listed.
    """

    shrank: tuple[Pair, ...] = ()
    grew: tuple[Pair, ...] = ()
    more_shrank: int = 0
    more_grew: int = 0


@dataclass(frozen=True, slots=True)
class Money:
    """Calls, tokens and dollars.

    Attributes:
        recorded: whether the run has a ledger.
        parts: `summed` calls by round and purpose, each with ``known_usd``.
        total: the sums of all calls.
        usd: US dollars of all calls; None where no price is known.
        free: whether the teacher runs on the user's own machine.
        sources: of the prices.
    """

    recorded: bool
    parts: tuple[dict[str, Any], ...] = ()
    total: dict[str, Any] = field(default_factory=dict)
    usd: str | None = None
    free: bool = False
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A reply's text: its outcome is ``"kept"``, or the reason why it was dropped."""

    round: int
    label: str
    outcome: str
    text: Snippet
    detail: Snippet


@dataclass(frozen=True, slots=True)
class Texts:
    """How many texts were accepted and dropped, for which reasons, and a sample of them."""

    kept: int
    dropped: int
    reasons: tuple[tuple[str, int], ...]
    shown: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
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
class Speed:
    """Seconds for a text, and dollars for a million of them.

    Attributes:
        student: `Timing` of the student as plain data; None where it was not measured.
        teacher_calls: number of timed classifications by the teacher.
        teacher_median: seconds; None where none was timed, as for the 95th percentile.
        teacher_usd: for a million texts; None where the price is unknown.
        teacher_free: whether the teacher runs on the user's own machine.
    """

    student: dict[str, Any] | None = None
    teacher_calls: int = 0
    teacher_median: float | None = None
    teacher_p95: float | None = None
    teacher_usd: float | None = None
    teacher_free: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A text on the map, in the unit square; `written` marks a synthetic one."""

    x: float
    y: float
    label: str
    written: bool
    text: Snippet


@dataclass(frozen=True, slots=True)
class Neighbours:
    """A class on the map: its rows, its synthetic texts, and those closest to a row of it."""

    label: str
    real: int
    written: int
    at_home: int


@dataclass(frozen=True, slots=True)
class Map:
    """Labelled rows and synthetic texts in two dimensions; `real` and `written` count them all."""

    method: str
    points: tuple[Point, ...]
    real: int
    written: int
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
        classes: every class, the largest gain first.
        confusions: pairs of classes whose confusion changed.
        money: what the calls cost.
        texts: what the teacher wrote.
        prompts: some calls in full.
        suspects: rows whose label may be wrong.
        more_suspects: number of such rows that are not listed.
        speed: seconds and dollars for a text.
        map: the texts in two dimensions; None where there are too few.
    """

    about: About
    verdict: Verdict
    exam: tuple[tuple[str, str], ...]
    bases: tuple[EvaluationSet, ...]
    rounds: tuple[RoundLine, ...]
    classes: tuple[ClassLine, ...]
    confusions: Confusions
    money: Money
    texts: Texts
    prompts: tuple[Prompt, ...]
    suspects: tuple[LabelIssue, ...]
    more_suspects: int
    speed: Speed
    map: Map | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
