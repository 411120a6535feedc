"""The seam: what a kind of task says, so that nothing else has to know it.

The loop, the teacher's usage, runs, resume, estimate and trackers know no label and no token. A
`Task` reads a `Dataset` of `Example`s and makes a `Learner` for a run. The learner trains and
evaluates students and writes `Prompt`s; a prompt knows how its reply is parsed. Text classification
is one kind, in `pgkd.tasks.classification`; `tests/toy.py` is the smallest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from pydantic import BaseModel

    from pgkd.config import Config
    from pgkd.events import Hooks
    from pgkd.runs.folder import RunFolder
    from pgkd.synthesis import Synthesizer
    from pgkd.teachers.base import Reply, Request, Teacher


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a synthetic example came from, or the output of an unlabelled one.

    Attributes:
        round: the round that asked for it, from 1.
        request: id of the request, as in the ledger.
        parents: ids of the user's examples that the prompt showed. Cross-validation holds out an
            example together with what was written from a look at it.
        labelled: whether the input is the user's own and only the output is the teacher's.
        confidence: probability of the output, as far as the teacher gives one.
    """

    round: int
    request: str
    parents: tuple[str, ...] = ()
    labelled: bool = False
    confidence: float | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> Origin | None:
        """Rebuild it from an example's `to_json`."""
        return cls(**{**data, "parents": tuple(data["parents"])}) if data else None


class Example(ABC):
    """An input and its output. A task's own kind is a frozen dataclass with these fields.

    Attributes:
        text: the input as text, never empty: near-duplicates are told by it.
        id: unique in a run: ``train:17`` is row 17 of the file, ``r2-0005-1`` the first example of
            request 5 in round 2.
        origin: None for the user's own examples.
        human_verified: whether a person has accepted or corrected it.
    """

    __slots__ = ()
    text: str
    id: str
    origin: Origin | None
    human_verified: bool

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts of the input; examples are near-duplicates where each of their texts is."""
        return (self.text,)

    @property
    def marks(self) -> tuple[tuple[int, int, str], ...]:
        """Parts of `text` that a review marks, in order: start, end and label of each."""
        return ()

    @property
    def is_real(self) -> bool:
        """Whether the user gave it, input and output."""
        return self.origin is None

    @property
    def is_synthetic(self) -> bool:
        """Whether the teacher wrote the input, and not the output alone."""
        return self.origin is not None and not self.origin.labelled

    @property
    @abstractmethod
    def output(self) -> str:
        """The output as a person reads and edits it in a review, such as the name of a label."""

    @abstractmethod
    def revised(self, text: str | None, output: str | None) -> Self:
        """The example as a person left it: verified, with a new input or output where given.

        Raises:
            DataError: `output` cannot be read as one, or does not fit the text.
        """

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Rebuild it from `to_json`'s data; other fields are left alone. Lists become tuples."""
        values = {f.name: data[f.name] for f in fields(cls) if f.name in data}  # type: ignore[arg-type]
        values |= {k: tuple(v) for k, v in values.items() if isinstance(v, list)}
        return cls(**{**values, "origin": Origin.from_json(data.get("origin"))})

    def to_json(self) -> dict[str, Any]:
        """Plain data for a JSON line; who verified it stands in reviews.jsonl."""
        data = asdict(self)  # type: ignore[call-overload]
        del data["human_verified"]
        return dict(data)


class Dataset(Protocol):
    """The user's examples.

    Attributes:
        train: examples to train on.
        validation: examples that judge the rounds; never trained on or shown to the teacher. Empty
            where examples are few and cross-validation judges.
        warnings: what the user should know, though nothing had to be refused.
    """

    @property
    def train(self) -> Sequence[Example]: ...  # noqa: D102
    @property
    def validation(self) -> Sequence[Example]: ...  # noqa: D102
    @property
    def warnings(self) -> Sequence[str]: ...  # noqa: D102

    def to_json(self) -> dict[str, Any]:
        """Plain data, for ``task.json``: by it a run is known again."""


Input = str | tuple[str, ...]
"""What a model is asked: a text, or one for each of `Task.inputs` where there are several."""

Answer = dict[str, Any]
"""What a model says of an input, as plain data. Where it has a ``probability``, from 0 to 1, that
is of the whole answer."""


def rounded(answer: Answer) -> Answer:
    """An answer with six digits of its numbers: more would be noise in files and replies."""
    return {
        name: round(value, 6)
        if isinstance(value, float)
        else rounded(value)
        if isinstance(value, dict)
        else value
        for name, value in answer.items()
    }


class Answering(Protocol):
    """A student or its export, as far as the apps know it."""

    def answers(self, inputs: Sequence[Any]) -> list[Answer]:
        """The answers to n inputs, in order; none depends on the inputs beside it.

        Raises:
            StudentError: the inputs are no list of `Input`.
        """


class Model(Answering, Protocol):
    """A student: small enough to own."""

    def save(self, folder: Path) -> None:
        """Write everything that `Task.load_student` needs. Never a pickle."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Something in a reply that is not used.

    Attributes:
        reason: what kind of fault, as counted in the report.
        detail: what is wrong, in words that the teacher can use.
        raw: the beginning of what came.
        position: its place in the reply, from 0; None where the whole reply is at fault.
        example: the example, where it was a valid one.
    """

    reason: str
    detail: str
    raw: str = ""
    position: int | None = None
    example: Example | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data for a line of ``rejected.jsonl``."""
        record: dict[str, Any] = {"reason": self.reason, "detail": self.detail}
        if self.example is None:
            return {**record, "raw": self.raw}
        content = self.example.to_json()
        return {**record, **{k: v for k, v in content.items() if k not in ("id", "origin")}}


@dataclass(frozen=True, slots=True)
class Parsed:
    """What a reply held.

    Attributes:
        accepted: valid examples, in their order, still without id and origin.
        rejected: the rest, each with its reason.
        doubted: examples of the prompt whose output the teacher doubts.
    """

    accepted: tuple[Example, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    doubted: tuple[Example, ...] = ()


@dataclass(frozen=True)
class Prompt(ABC):
    """One request to the teacher, and how its reply is read.

    Attributes:
        id: unique in the run, ``r2-0005``.
        request: what is sent.
        count: examples asked for.
        shown: the user's examples in it, numbered from 1 as in the text.
        reasons: why it is sent, for the journal.
    """

    id: str
    request: Request
    count: int
    shown: tuple[Example, ...]
    reasons: tuple[str, ...]

    @abstractmethod
    def parse(self, reply: Reply, count: int) -> Parsed:
        """Read an untrusted reply: nothing in it is believed, and nothing in it raises.

        Args:
            reply: the teacher's answer, or its answer to a repair.
            count: examples that were asked for in it.
        """

    def select(self, accepted: Sequence[Example]) -> list[bool]:
        """Which of the examples were asked for; the rest is surplus."""
        return [i < self.count for i in range(len(accepted))]

    def repair_schema(self, accepted: Sequence[Example], missing: int) -> dict[str, Any] | None:
        """The JSON schema of a reply with what is missing; None for the schema of the request."""
        return None

    def parents(self, example: Example) -> tuple[str, ...]:
        """Ids of the shown examples that this one may echo."""
        return tuple(row.id for row in self.shown)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the journal."""
        return {
            "id": self.id,
            "count": self.count,
            "reasons": self.reasons,
            "shown": [row.id for row in self.shown],
        }


@dataclass(frozen=True)
class Evaluation(ABC):
    """What is known of a round's student.

    Attributes:
        losses: shape (n_judged,), the loss of each judged example in nats, the same examples in the
            same order every round; NaN where one cannot judge this round.
    """

    losses: NDArray[np.float64]
    margin: float = field(default=0.0, kw_only=True)
    """Standard errors by which the round may seem worse than an earlier one and still be kept."""
    synthetic_weight: float | None = field(default=None, kw_only=True)
    """What a synthetic example weighs, the user's own 1; None where there are none."""

    @property
    @abstractmethod
    def figures(self) -> Mapping[str, float]:
        """What users look at, by name, such as accuracy; the most important one first."""

    @property
    def cells(self) -> Sequence[Mapping[str, Any]]:
        """The figures by part, such as by label, for reports: ``name``, ``n`` and figures each."""
        return ()

    @property
    def mistakes(self) -> Sequence[Mapping[str, Any]]:
        """Examples judged wrong, the worst first: ``id``, ``text``, ``expected``, ``answer``."""
        return ()

    @property
    @abstractmethod
    def n(self) -> int:
        """How many examples the figures are of."""

    @property
    @abstractmethod
    def held_out(self) -> bool:
        """Whether they were held out from training; else the figures are cross-validated."""

    def to_json(self) -> dict[str, Any]:
        """What else the journal should record, as plain data."""
        return {}

    def label_issues(self) -> Iterable[dict[str, Any]]:
        """The user's examples whose output looks wrong, as plain data with their ``id``."""
        return ()


@dataclass(frozen=True, slots=True)
class CardText:
    """What a model card says of a student and its kind of task; names in it are escaped there.

    Attributes:
        title: of the card.
        pipeline_tag: the kind of task as the Hugging Face hub names it.
        about: what it answers.
        use: lines of Python.
        student: what it is and how it was trained.
        base_model: name of its pretrained weights on the hub, or empty.
        limits: sentences.
    """

    title: str = "A model, distilled with pgkd"
    pipeline_tag: str = "other"
    about: str = ""
    use: tuple[str, ...] = ("import pgkd", "", 'pgkd.load("FOLDER").answers(["a text", "another"])')
    student: str = ""
    base_model: str = ""
    limits: tuple[str, ...] = ()


class Learner(Protocol):
    """Trains and evaluates the students of a run, and decides what the teacher is asked."""

    def train(self, synthetic: Sequence[Any]) -> Any:
        """A fresh student, trained on the user's examples and the teacher's."""

    def evaluate(self, student: Any, synthetic: Sequence[Any]) -> Evaluation:
        """Evaluate the student just trained, and mine its mistakes."""

    def prompts(self, number: int, evaluation: Any, synthetic: Sequence[Any]) -> Sequence[Prompt]:
        """The prompts of round `number`, from what the round before showed."""


class Task(ABC):
    """A kind of task. It holds no data and no state.

    Attributes:
        name: as in configs, ``classification``.
        config: its settings.
        forms: pydantic models of what it writes into a run folder, by file name, or by
            ``journal.jsonl:EVENT``: a file that somebody has edited is refused, not trusted.
        files: names of other files that its learner writes into a run folder.
        inputs: what an input consists of: names of columns, and of fields of an `Example`.
        review: how an output is edited: by choosing ``"one"`` or ``"many"`` of `choices`, or as
            ``"text"``.
    """

    name: ClassVar[str]
    config: ClassVar[type[Config]]
    forms: ClassVar[Mapping[str, type[BaseModel]]] = {}
    files: ClassVar[tuple[str, ...]] = ()
    inputs: ClassVar[tuple[str, ...]] = ("text",)
    review: ClassVar[Literal["one", "many", "text"]] = "text"

    @abstractmethod
    def load(self, config: Any) -> Dataset:
        """Read and check the files that the config names.

        Raises:
            ConfigError: none is named.
            DataError: lists everything that is wrong with the examples.
        """

    @abstractmethod
    def from_arrays(self, config: Any, *args: Any, **kwargs: Any) -> Dataset:
        """Check examples in memory, given as inputs, outputs and what else the task takes.

        Raises:
            DataError: lists everything that is wrong with them.
        """

    @abstractmethod
    def dataset(self, data: dict[str, Any]) -> Dataset:
        """Rebuild a data set from its `Dataset.to_json`, as far as that goes."""

    @abstractmethod
    def example(self, data: dict[str, Any]) -> Example:
        """Rebuild an example from its `Example.to_json`."""

    @abstractmethod
    def synthesizer(
        self, config: Any, dataset: Any, teacher: Teacher, run: RunFolder, hooks: Hooks
    ) -> Synthesizer:
        """Who asks the teacher, and accepts or rejects what it answers."""

    @abstractmethod
    def learner(
        self, config: Any, dataset: Any, synthesizer: Any, run: RunFolder, hooks: Hooks
    ) -> Learner:
        """The learner of a run. It may ask the teacher what has to be known before round 0."""

    @abstractmethod
    def retrainer(self, run: RunFolder, config: Any, dataset: Any, student: Any) -> Learner:
        """A learner that trains as a finished run did, on other examples; it asks no teacher."""

    @abstractmethod
    def estimate(
        self, config: Any, dataset: Any, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """The requests of a run, each with the examples that it asks for. No teacher is asked."""

    @abstractmethod
    def load_student(self, folder: Path) -> Any:
        """Read what a student's `save` wrote.

        Raises:
            StudentError: the folder is damaged, or holds something else.
        """

    def environment(self, config: Any) -> dict[str, str]:
        """What a student's training depends on besides the versions, such as its device."""
        return {}

    def input(self, example: Any) -> Input:
        """What a model is asked for an example."""
        found = tuple(str(getattr(example, name)) for name in self.inputs)
        return found[0] if len(found) == 1 else found

    def choices(self, dataset: Any) -> tuple[str, ...]:
        """What an output is chosen of, such as the label names; none where it is free."""
        return ()

    def output(self, answer: Answer) -> str:
        """An answer as `Example.output` has it."""
        raise NotImplementedError

    def agreement(self, one: Answer, other: Answer) -> float:
        """How far two answers to an input say the same, from 0 to 1; exports are judged by it."""
        return float(self.output(one) == self.output(other))

    def read(self, path: Path, config: Any) -> list[Any]:
        """The examples of another file, to judge models by.

        Raises:
            DataError: lists everything that is wrong with them.
        """
        raise NotImplementedError

    def figures(self, answers: Sequence[Answer], examples: Sequence[Any]) -> dict[str, float]:
        """What users look at, by name, the most important first; as in `Evaluation.figures`."""
        raise NotImplementedError

    def formats(self, student: Any) -> tuple[str, ...]:
        """The formats that a student is exported in, the best for a server first."""
        return ("plain",)

    def export(self, student: Any, dataset: Any, format: str, folder: Path) -> dict[str, Any]:
        """Write a student in one of its formats into an empty folder.

        Returns:
            What `load_export` has to know beside the files, as plain data.
        """
        student.save(folder)
        return {}

    def load_export(
        self, folder: Path, format: str, details: dict[str, Any], threads: int | None
    ) -> Answering:
        """Load what `export` wrote, without torch where the format allows it.

        Raises:
            ExportError: a file is missing or damaged.
        """
        found: Answering = self.load_student(folder)
        return found

    def card(
        self, student: Any, config: Any, format: str, record: Mapping[str, Any] | None
    ) -> CardText:
        """What a model card says of a student.

        Args:
            student: what was exported.
            config: of the run.
            format: of the export.
            record: the figures of its round, as `Evaluation.to_json` has them under
                ``validation``; None where the run did not end.
        """
        return CardText()

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether the first rows of a file look like this kind of task; `pgkd init` asks."""
        return False
