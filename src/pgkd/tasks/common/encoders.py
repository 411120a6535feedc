"""Students that are an encoder, frozen or fine-tuned, under a calibrated linear head.

Shared are the student, how it is trained in a run, and what its `Task` says of it. A kind of task
adds what the outputs of the head mean.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.devices import find_device
from pgkd.encoders.head import Head
from pgkd.encoders.transformer import Encoder, load_encoder
from pgkd.errors import ExportError, StudentError
from pgkd.evaluation import paired_change
from pgkd.export.card import named
from pgkd.export.predictor import OnnxEncoder, save_model
from pgkd.extras import require
from pgkd.task import Answer, Answering, CardText, Example
from pgkd.tasks.common import saving
from pgkd.tasks.common.cells import CellPrompts
from pgkd.tasks.common.config import EncoderConfig
from pgkd.tasks.common.labels import classes_of
from pgkd.tasks.common.learning import Judged, RowLearner, weigh
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.task import RowsTask
from pgkd.teachers.base import Request, Teacher
from pgkd.weights.pins import find

_FOLDER = "encoder"
_AFFORDABLE = 5_000  # rows and samples up to which fine-tuning is tried unasked

E = TypeVar("E", bound=Example)


def pretrained(config: EncoderConfig) -> Encoder:
    """The encoder that every training starts from."""
    if config.threads is not None:
        require("torch", extra="train", job="The student").set_num_threads(config.threads)
    device = find_device(config.device, config.precision)
    return load_encoder(config.encoder, config.max_length, device)


@dataclass(frozen=True)
class EncoderModel:
    """A student, or its export.

    Attributes:
        encoder: gives features of texts: an `Encoder`, or the `OnnxEncoder` of an export.
        head: on top of the features.
        recipe: ``"frozen"`` or ``"finetune"``.
        max_length: tokens of a text that are read.
        calibration: a dataclass, fitted on rows that were held out; None before that.
    """

    encoder: Any
    head: Head
    recipe: str
    max_length: int
    calibration: Any

    kind: ClassVar[str]

    @abstractmethod
    def answers(self, inputs: Sequence[Any]) -> list[Answer]:
        """See `pgkd.task.Answering`."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """What `undescribe` has to know beside the head and the calibration, as plain data."""

    @classmethod
    @abstractmethod
    def undescribe(cls, data: dict[str, Any], common: dict[str, Any]) -> Self:
        """The model that `describe` described.

        Args:
            data: of `describe`, with ``calibration`` as plain data.
            common: the other attributes, for the constructor.

        Raises:
            KeyError: something is missing.
            TypeError: something is of another type.
            ValueError: something does not fit the head or the encoder.
        """

    @classmethod
    def head_width(cls, width: int, recipe: str) -> int:
        """Features that the head sees, on an encoder of so many."""
        return width

    def save(self, folder: Path, *, encoder: bool = True) -> None:
        """See `pgkd.task.Model`; without the encoder, where an export has its graph."""
        known = {"kind": self.kind, "recipe": self.recipe, "max_length": self.max_length}
        known |= {"calibration": asdict(self.calibration), **self.describe()}
        saving.write(folder, known, {"weights": self.head.weights, "bias": self.head.bias})
        if encoder:
            self.encoder.save(folder / _FOLDER)

    @classmethod
    def load(cls, folder: Path, *, graph: bool = False, threads: int | None = None) -> Self:
        """Read what `save` wrote.

        Args:
            folder: where it is.
            graph: whether the encoder is an exported graph.
            threads: of a graph; None takes all cores.

        Raises:
            StudentError: the folder is damaged, or holds something else.
            ExportError: the graph is damaged.
        """
        data, arrays = saving.read(folder, cls.kind)
        try:
            head, length = Head(arrays["weights"], arrays["bias"]), data["max_length"]
            if graph:
                encoder: Any = OnnxEncoder.load(folder, length, threads)
            else:
                source = saving.subfolder(folder, _FOLDER)
                encoder = load_encoder(source, int(length), find_device())
            common = {"encoder": encoder, "head": head, "recipe": str(data["recipe"])}
            width = cls.head_width(encoder.width, common["recipe"])
            if head.weights.shape != (*head.bias.shape, width):
                raise ValueError("its head does not fit its encoder")
            return cls.undescribe(data, {**common, "max_length": length})
        except (KeyError, TypeError, ValueError) as error:
            raise StudentError(f"{folder} is damaged: {error!r}") from error


M = TypeVar("M", bound=EncoderModel)


@dataclass(frozen=True)
class HeldOut(Judged[E], Generic[E]):
    """Judged out of fold; `calibration` is that of a student of all rows."""

    calibration: Any


class EncoderLearner(RowLearner[E, M], Generic[E, M]):
    """A `RowLearner` of an `EncoderModel`.

    Frozen features judge the training rows out of fold, and choose the weight of synthetic
    examples, even where the encoder is fine-tuned: they judge as well, and train in a second.

    Args:
        config: the settings of the run.
        dataset: the rows.
        folds: see `RowLearner`.
        weights: see `RowLearner`.
        recipe: of the student; None: as the config says.
    """

    strengths: ClassVar[tuple[float, ...]] = (1.0, 3.0, 10.0, 30.0)
    """Of the head's penalty, to choose from: scikit-learn's C."""

    def __init__(
        self,
        config: Any,
        dataset: Rows[E],
        folds: NDArray[np.int64],
        weights: Sequence[float],
        recipe: str | None,
    ) -> None:
        super().__init__(dataset, folds, weights)
        self.config = config
        self.encoder = pretrained(config.student)
        self._given_recipe = recipe or config.student.recipe
        self._recipe = "finetune" if self._given_recipe == "finetune" else "frozen"
        self._strength = self.strengths[len(self.strengths) // 2]
        self._fine_tuned: Any = None  # calibration of a fine-tuned student

    @abstractmethod
    def fit_model(
        self, rows: Sequence[E], weights: NDArray[np.float64], recipe: str, strength: float
    ) -> M:
        """A fresh student, not calibrated yet; `weights` has the shape (n,)."""

    @abstractmethod
    def outputs(self, model: M, rows: Sequence[E]) -> Sequence[Any]:
        """What a student gives for each row before calibration."""

    @abstractmethod
    def fit_calibration(self, outputs: Sequence[Any], rows: Sequence[E]) -> Any:
        """The calibration that fits rows which the student was not trained on."""

    @abstractmethod
    def judge_outputs(
        self, outputs: Sequence[Any], rows: Sequence[E], calibration: Any
    ) -> Judged[E]:
        """Answers and losses of what a student gave for rows."""

    def fit(self, rows: Sequence[E], weights: NDArray[np.float64]) -> M:
        """See `RowLearner.fit`; the student is not calibrated yet."""
        return self.fit_model(rows, weights, self._recipe, self._strength)

    def fit_fold(self, rows: Sequence[E], weights: NDArray[np.float64]) -> M:
        """See `RowLearner.fit_fold`."""
        return self.fit_model(rows, weights, "frozen", self._strength)

    def judge(self, student: M, rows: Sequence[E]) -> Judged[E]:
        """See `RowLearner.judge`."""
        return self.judge_outputs(self.outputs(student, rows), rows, student.calibration)

    def judge_folds(self, held: Iterable[tuple[list[int], M]]) -> HeldOut[E]:
        """Calibrate each fold on the others: what judges a threshold has not chosen it."""
        rows, outputs = self.dataset.train, list[Any]([None] * len(self.dataset.train))
        for numbers, student in held:
            found = self.outputs(student, [rows[i] for i in numbers])
            for i, output in zip(numbers, found, strict=True):
                outputs[i] = output
        answers, losses = list[Answer]([{}] * len(rows)), np.empty(len(rows))
        for fold in np.unique(self._folds):
            out, rest = (
                np.flatnonzero(m).tolist() for m in (self._folds == fold, self._folds != fold)
            )
            calibration = self.fit_calibration([outputs[i] for i in rest], [rows[i] for i in rest])
            judged = self.judge_outputs(
                [outputs[i] for i in out], [rows[i] for i in out], calibration
            )
            losses[out] = judged.losses
            for i, answer in zip(out, judged.answers, strict=True):
                answers[i] = answer
        return HeldOut(rows, tuple(answers), losses, self.fit_calibration(outputs, rows))

    def train(self, synthetic: Sequence[E]) -> M:
        """See `RowLearner.train`; the student is calibrated on rows that were held out."""
        student = super().train(synthetic)
        if student.recipe == "finetune":
            return replace(student, calibration=self._fine_tuned)
        held = self._out_of_fold(synthetic, self._weight)
        assert isinstance(held, HeldOut)
        return replace(student, calibration=held.calibration)

    def tune(self, synthetic: Sequence[E]) -> None:
        """Choose the penalty by cross-validation, and try fine-tuning on a fold.

        With few samples it has to be better by more than a standard error, as for classifiers.
        """
        losses: dict[float, float] = {}
        for strength in sorted(self.strengths, key=lambda strength: strength != self._strength):
            self._use(strength)  # what is known of the first one is not computed again
            losses[strength] = float(self._out_of_fold(synthetic, self._weight).losses.mean())
        self._use(min(self.strengths, key=lambda strength: losses[strength]))
        training, numbers = self.split(0, synthetic)
        affordable = self._given_recipe == "auto" and len(training) <= _AFFORDABLE
        if not affordable and self._given_recipe != "finetune":
            return
        rows, judged = [self.dataset.train[i] for i in numbers], {}
        for recipe in ("frozen", "finetune"):  # both are calibrated on these rows
            student = self.fit_model(
                training, weigh(training, self._weight), recipe, self._strength
            )
            outputs = self.outputs(student, rows)
            self._fine_tuned = self.fit_calibration(outputs, rows)
            judged[recipe] = self.judge_outputs(outputs, rows, self._fine_tuned).losses
        change = paired_change(judged["finetune"], judged["frozen"])
        many = len(synthetic) > len(self.dataset.train)
        if affordable:
            better = change.mean < 0 if many else change.is_improvement
            self._recipe = "finetune" if better else "frozen"

    def _use(self, strength: float) -> None:
        if strength != self._strength:
            self._strength = strength
            self.forget_folds()


class EncoderTask(RowsTask):
    """A task whose students are of the type `model`; see `RowsTask`.

    Attributes:
        model: of its students.
        learner_type: takes config, data set, weights, and a recipe or None.
        prompts_type: takes config, data set and folds.
        pooled: whether the encoder gives features of texts, and not of their tokens.
        title: of a model card.
        pipeline_tag: see `CardText`.
    """

    model: ClassVar[type[EncoderModel]]
    learner_type: ClassVar[Callable[..., EncoderLearner[Any, Any]]]
    prompts_type: ClassVar[Callable[..., CellPrompts[Any]]]
    pooled: ClassVar[bool] = True
    title: ClassVar[str]
    pipeline_tag: ClassVar[str]

    def row_learner(
        self, config: Any, dataset: Any, weights: tuple[float, ...], student: Any = None
    ) -> EncoderLearner[Any, Any]:
        """See `RowsTask.row_learner`."""
        return self.learner_type(config, dataset, weights, student and student.recipe)

    def estimate(
        self, config: Any, dataset: Any, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """See `Task.estimate`: the requests if the student is equally weak in all cells."""
        writer = self.prompts_type(config, dataset, np.zeros(len(dataset.train), dtype=np.int64))
        for number in range(1, config.rounds + 1):
            yield from ((each.request, each.count) for each in writer.prompts(number, (), ()))

    def choices(self, dataset: Any) -> tuple[str, ...]:
        """The label names."""
        return tuple(each.name for each in classes_of(dataset))

    def load_student(self, folder: Path) -> Any:
        """See `Task.load_student`."""
        return self.model.load(folder)

    def formats(self, student: Any) -> tuple[str, ...]:
        """See `Task.formats`."""
        return ("onnx-int8", "onnx", "plain")

    def calibration_texts(self, student: Any, rows: Sequence[Any]) -> list[Any]:
        """What the encoder reads of rows; the scales of int8 are fixed by it."""
        return [row.text for row in rows]

    def export(self, student: Any, dataset: Any, format: str, folder: Path) -> dict[str, Any]:
        """See `Task.export`."""
        student.save(folder, encoder=format == "plain")
        if format != "plain":
            texts = self.calibration_texts(student, dataset.train)
            encoder, head = student.encoder, student.head
            export_encoder(encoder, head, format, texts, folder, pooled=self.pooled)
        return {}

    def card(
        self, student: Any, config: Any, format: str, record: Mapping[str, Any] | None
    ) -> CardText:
        """See `Task.card`."""
        known, labels = find(config.student.encoder), getattr(student, "labels", ())
        given = '"a text"' if len(self.inputs) == 1 else '("a text", "another")'
        return CardText(
            title=f"{self.title}, distilled with pgkd",
            pipeline_tag=self.pipeline_tag,
            about=f"Labels: {', '.join(labels)}." if labels else "",
            use=("import pgkd", "", f'pgkd.load("FOLDER").answers([{given}])'),
            student=f"Student: encoder, {named(config.student.encoder)}, {student.recipe}.",
            base_model=known.hub or "" if known else "",
            limits=(f"It reads {student.max_length} tokens of an input, and no more.",),
        )

    def load_export(
        self, folder: Path, format: str, details: dict[str, Any], threads: int | None
    ) -> Answering:
        """See `Task.load_export`."""
        try:
            return self.model.load(folder, graph=format != "plain", threads=threads)
        except StudentError as error:
            raise ExportError(f"{folder} is damaged: {error}") from error


def export_encoder(
    encoder: Encoder,
    head: Head,
    format: str,
    texts: Sequence[Any],
    folder: Path,
    *,
    pooled: bool = True,
) -> None:
    """Write an encoder's graph, its tokenizer and a head.

    Args:
        encoder: of a student.
        head: of the student.
        format: ``"onnx"`` or ``"onnx-int8"``.
        texts: such as it will be given; the scales of int8 are fixed by them.
        folder: where to; it exists.
        pooled: see `encoder_graph`.
    """
    from pgkd.export.graph import encoder_graph
    from pgkd.export.quantize import quantize

    graph = encoder_graph(encoder, pooled=pooled)
    if format == "onnx-int8":
        graph = quantize(graph, encoder.tokens(texts))
    save_model(graph, encoder.tokenizer, head, folder)
