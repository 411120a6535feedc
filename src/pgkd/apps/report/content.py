"""What a report shows, as plain data: to print, to draw and to lay out."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Tone = Literal["better", "worse", "unclear", "none"]


@dataclass(frozen=True, slots=True)
class Snippet:
    """A text, cut where it is long.

    Attributes:
        text: its beginning.
        length: characters of the whole text.
    """

    text: str
    length: int

    @classmethod
    def of(cls, text: object, longest: int) -> Snippet:
        """The first characters of whatever stands where a text should."""
        whole = text if isinstance(text, str) else "" if text is None else str(text)
        return cls(whole[:longest], len(whole))

    @property
    def is_cut(self) -> bool:
        """Whether there is more of it."""
        return self.length > len(self.text)


@dataclass(frozen=True, slots=True)
class About:
    """Which run it is.

    Attributes:
        name: of its folder.
        started: when, as the journal says; empty where it does not.
        ended: when it ended; empty where it has not.
        teacher: provider and model.
        student: kind and weights.
        classes: number of classes.
        train: labelled rows to train on.
        validation: labelled rows to judge by.
        planned: rounds at most.
        best: number of the round whose student was kept; None where no round has ended.
        stopped_by: why it ended; empty where it has not.
        detail: more about that.
        description: what the teacher was told of the task.
        warnings: what was odd about the rows.
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
    """What came of the run, in words.

    Attributes:
        tone: which way it went.
        sentence: one plain sentence.
        more: what a careful reader should know besides.
    """

    tone: Tone
    sentence: str
    more: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Basis:
    """Rows that students were judged on, and what came of it.

    Attributes:
        rows: ``"cross-validation"`` where labelled rows judge by out-of-fold figures.
        source: the name of the file; empty for rows of the run.
        judged: when, for test rows.
        n: number of rows.
        students: figures by role, as `pgkd.evaluation.judge_students` tells them.
        changes: ``after`` minus an earlier role, by that role.
        teacher: figures of the teacher alone, on some of the rows; None where it was not asked.
        left_out: rows of the file that are the run's own and judge nothing; None where that was
            not looked at, and for rows of the run.
        trainings: of each student, whose chance the intervals of changes hold; 1 holds none.
        missing: why intervals and calibration are missing; empty where they are not.
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


@dataclass(frozen=True, slots=True)
class RoundLine:
    """A round: what was kept, how good its student is, and what was spent by then.

    Attributes:
        number: 0 is the student before the teacher.
        asked: texts asked for.
        kept: texts that entered the training set.
        written: texts in the training set by now.
        weight: of a written text; None where there are none.
        keep: whether its student became the best so far.
        accuracy: on the rows that judge rounds.
        macro_f1: on the same rows.
        log_loss: on the same rows.
        loss_change: mean change that the stop rule saw.
        loss_error: standard error of that change.
        tokens: of prompts and answers that wrote and repaired its texts.
        usd: what those calls cost; None where it is not known.
        total_tokens: of all calls up to and with this round, but for labelling.
        total_usd: what those cost; None where a part is not known.
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
    """A class before and after.

    Attributes:
        name: of the class.
        support: rows of it that judge.
        before: F1 before the teacher; None where no student was judged.
        after: F1 of the student that was kept.
        asked: texts asked for of this class alone.
        kept: texts of it that were kept.
        rows: labelled rows of it to train on.
    """

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
    """Rows of one class that were taken for another, before and after."""

    gold: str
    predicted: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Confusions:
    """Pairs of classes whose confusion changed, the largest change first.

    Attributes:
        shrank: pairs with fewer rows after than before.
        grew: pairs with more.
        more_shrank: such pairs that are not listed.
        more_grew: such pairs that are not listed.
    """

    shrank: tuple[Pair, ...] = ()
    grew: tuple[Pair, ...] = ()
    more_shrank: int = 0
    more_grew: int = 0


@dataclass(frozen=True, slots=True)
class Money:
    """Where the budget went.

    Attributes:
        recorded: whether the run has a record of calls.
        parts: `summed` calls by round and purpose, each with ``known_usd``.
        total: of them all.
        usd: US dollars of all; None where no price is known.
        free: whether nobody bills: the teacher runs on the user's own machine.
        sources: where the prices are from.
    """

    recorded: bool
    parts: tuple[dict[str, Any], ...] = ()
    total: dict[str, Any] = field(default_factory=dict)
    usd: str | None = None
    free: bool = False
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Text:
    """A text that the teacher wrote, and what became of it.

    Attributes:
        round: in which it was asked for.
        label: its class; empty where what came was no text of a class.
        outcome: ``"kept"``, or the reason it was dropped for.
        text: what was written.
        detail: more about a reason.
    """

    round: int
    label: str
    outcome: str
    text: Snippet
    detail: Snippet


@dataclass(frozen=True, slots=True)
class Texts:
    """Texts of the teacher: how many there are, and some to read.

    Attributes:
        kept: number of all that were kept.
        dropped: number of all that were dropped.
        reasons: how many were dropped for each reason, the most frequent first.
        shown: some of them, in the order written.
    """

    kept: int
    dropped: int
    reasons: tuple[tuple[str, int], ...]
    shown: tuple[Text, ...]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A call to the teacher in full.

    Attributes:
        id: of the request.
        purpose: what it was for.
        round: to which it belongs.
        reasons: why it was made.
        messages: role and text of each message.
        reply: what came back, or the error.
        state: ``"replied"``, ``"failed"``, ``"lost"`` or ``"in flight"``.
    """

    id: str
    purpose: str
    round: int
    reasons: tuple[str, ...]
    messages: tuple[tuple[str, Snippet], ...]
    reply: Snippet
    state: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """A labelled row whose label is doubtful."""

    id: str
    label: str
    suggested: str
    by: str
    round: int
    text: Snippet


@dataclass(frozen=True, slots=True)
class Speed:
    """How long a text takes, and what a million of them cost.

    Attributes:
        student: `Timing` of the student, as plain data; None where it was not measured.
        teacher_calls: classifications by the teacher that were timed.
        teacher_median: seconds of one; None where none was timed.
        teacher_p95: seconds that 95% of them stay under.
        teacher_usd: US dollars for a million of them; None where no price is known.
        teacher_free: whether nobody bills for them.
    """

    student: dict[str, Any] | None = None
    teacher_calls: int = 0
    teacher_median: float | None = None
    teacher_p95: float | None = None
    teacher_usd: float | None = None
    teacher_free: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A text on the map, in a square of side 1."""

    x: float
    y: float
    label: str
    written: bool
    text: Snippet


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Whose company the written texts of a class keep.

    Attributes:
        label: the class.
        real: labelled rows of it on the map.
        written: written texts of it on the map.
        at_home: those of them whose nearest labelled row is of the same class.
    """

    label: str
    real: int
    written: int
    at_home: int


@dataclass(frozen=True, slots=True)
class Map:
    """Labelled rows and written texts in two dimensions; what is alike lies close together.

    Attributes:
        method: how it was made, in words.
        points: the texts.
        real: labelled rows that there are.
        written: written texts that there are.
        neighbours: class by class.
    """

    method: str
    points: tuple[Point, ...]
    real: int
    written: int
    neighbours: tuple[Neighbours, ...]


@dataclass(frozen=True, slots=True)
class Content:
    """All of a report.

    `bases` begins with the rows that the verdict rests on; `exam` says what the teacher has shown
    when it was examined, as pairs of what was asked and what came of it.
    """

    about: About
    verdict: Verdict
    exam: tuple[tuple[str, str], ...]
    bases: tuple[Basis, ...]
    rounds: tuple[RoundLine, ...]
    classes: tuple[ClassLine, ...]
    confusions: Confusions
    money: Money
    texts: Texts
    prompts: tuple[Prompt, ...]
    suspects: tuple[Suspect, ...]
    more_suspects: int
    speed: Speed
    map: Map | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)
