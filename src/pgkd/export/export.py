"""`pgkd export`: a run's student in formats that no trainer is needed for.

::

    OUT/
      onnx/          export.json, model.onnx, tokenizer.json, head.safetensors, README.md
      onnx-int8/     the same, in 8 bits
      huggingface/   config.json, model.safetensors, tokenizer files, export.json, README.md
      plain/         the student as it is saved, export.json, README.md: it never needed torch

What is written is loaded again, as a user would, and has to answer as the student does; else
nothing of it stays.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pgkd.errors import ConfigError, ExportError
from pgkd.export import predictor
from pgkd.export.card import ModelCard
from pgkd.export.predictor import FORMATS, Format, Manifest, load
from pgkd.files import write_anew
from pgkd.tasks.classification.data.examples import label_indices
from pgkd.tasks.classification.students.encoder import EncoderStudent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.tasks.classification.data.examples import LabelledText
    from pgkd.tasks.classification.students.base import Student


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an export may be from its student; one text may always be answered otherwise.

    Attributes:
        difference: of any probability, at most; None bounds the answers alone.
        same: share of texts with the same answer, at least.
        accuracy_loss: at most.
    """

    difference: float | None = None
    same: float = 0.0
    accuracy_loss: float = 1.0


EXACT = Tolerance(difference=1e-4)
"""Of what computes the same: float32 sums in another order."""

ROUNDED = Tolerance(same=0.99, accuracy_loss=0.005)
"""Of what computes with 8 bits."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export compares with its student on the same labelled texts.

    Attributes:
        n: texts compared.
        difference: the largest one of a probability.
        same: share of the texts with the same answer.
        student_accuracy: of the student on them.
        accuracy: of the export on them.
    """

    n: int
    difference: float
    same: float
    student_accuracy: float
    accuracy: float

    def faults(self, tolerance: Tolerance) -> list[str]:
        """What of a tolerance is not kept, with the figures; none where all is well."""
        found = []
        # Compared so that a figure which is no number is a fault.
        if tolerance.difference is not None and not self.difference <= tolerance.difference:
            found.append(
                f"probabilities differ by up to {self.difference:.2g}, allowed are "
                f"{tolerance.difference:.2g}"
            )
        if self._texts(1 - self.same) > self._allowed(1 - tolerance.same):
            found.append(
                f"{self.same:.1%} of {self.n} texts have the same answer, needed are "
                f"{tolerance.same:.0%}"
            )
        lost = self.student_accuracy - self.accuracy
        if self._texts(lost) > self._allowed(tolerance.accuracy_loss):
            found.append(
                f"accuracy on {self.n} texts is {self.accuracy:.3f}, the student's "
                f"{self.student_accuracy:.3f}, and may be lower by {tolerance.accuracy_loss:.3f}"
            )
        return found

    def _texts(self, share: float) -> int:
        """How many texts a share of them is."""
        return round(share * self.n)

    def _allowed(self, share: float) -> int:
        """How many texts may differ: one always may, for 1% of fewer than a hundred is none."""
        return max(1, math.floor(share * self.n + 1e-9))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            name: round(value, 8) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def compare(
    student: NDArray[np.float64],
    exported: NDArray[np.float64],
    labels: Sequence[str],
    classes: Sequence[str],
) -> Parity:
    """Compare probabilities of the same n texts, both of shape (n, n_classes), n at least 1."""
    gold = label_indices(labels, classes)
    before, after = student.argmax(axis=1), exported.argmax(axis=1)
    return Parity(
        n=len(gold),
        difference=float(np.abs(student - exported).max()),
        same=float((before == after).mean()),
        student_accuracy=float((before == gold).mean()),
        accuracy=float((after == gold).mean()),
    )


Choice = Literal["auto", "all"] | Format
CHOICES: tuple[Choice, ...] = ("auto", "all", *FORMATS)

_MANY = 2000  # texts to compare on, at most


@dataclass(frozen=True, slots=True)
class Exported:
    """How the export in one format ended.

    Attributes:
        format: the format.
        folder: where it is; None where it was refused.
        size: bytes of the folder.
        parity: how it compares with the student.
        faults: why it was refused; none where it was not.
    """

    format: Format
    folder: Path | None
    size: int
    parity: Parity
    faults: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "format": self.format,
            "path": None if self.folder is None else str(self.folder),
            "bytes": self.size,
            "refused": list(self.faults),
            **self.parity.to_json(),
        }


def export(
    run: RunFolder,
    choice: Choice,
    out: Path,
    *,
    which: str = "best",
    on_format: Callable[[Format], object] = lambda _: None,
) -> list[Exported]:
    """Export a student of a run.

    Args:
        run: a run that has a best student.
        choice: a format; ``"auto"`` takes the smallest that the student has, ``"all"`` takes all.
            Where ``onnx-int8`` is refused, ``onnx`` is made too.
        out: folder that takes a folder for each format.
        which: the student; see `RunFolder.student_folder`.
        on_format: called before each format is made.

    Returns:
        Every format that was tried, in order; those that were refused have `faults`.

    Raises:
        ConfigError: the student does not have this format.
        ExportError: a folder of that name is there and no export, or the student cannot be
            written in this format at all.
        MissingExtraError: the extra ``export`` is not installed.
        RunError: the run has no such student.
    """
    student = run.student(which)
    wanted = _formats(student, choice)
    for name in wanted:
        _check_free(out / name)
    task = run.dataset()
    answers = student.predict_proba([row.text for row in compared_on(task)])
    exporter = _Exporter(run, task, student, answers, which)
    done: list[Exported] = []
    while wanted:
        name = wanted.pop(0)
        on_format(name)
        done.append(exporter.make(name, out / name))
        tried = {found.format for found in done}
        if name == "onnx-int8" and done[-1].folder is None and not {"onnx"} & {*tried, *wanted}:
            _check_free(out / "onnx")
            wanted.insert(0, "onnx")
    return done


def _formats(student: Student, choice: Choice) -> list[Format]:
    """The formats to make, in order."""
    if choice not in CHOICES:
        raise ConfigError(f"There is no format '{choice}'. There are: {', '.join(CHOICES)}.")
    has: tuple[Format, ...] = ("plain",)
    if isinstance(student, EncoderStudent):
        has = ("onnx", "onnx-int8", "huggingface")
    if choice == "all":
        return [name for name in has if name != "huggingface" or _is_bert(student)]
    if choice == "auto":
        return ["onnx-int8"] if "onnx-int8" in has else ["plain"]
    if choice not in has:
        raise ConfigError(
            f"A student '{student.kind}' is not exported as {choice}: it has {', '.join(has)}. "
            "Leave --format away."
        )
    return [choice]


def _is_bert(student: Student) -> bool:
    from pgkd.export.huggingface import ARCHITECTURE

    assert isinstance(student, EncoderStudent)
    return bool(student.encoder.model.config.model_type == ARCHITECTURE)


def _check_free(folder: Path) -> None:
    """An export takes the place of an older one, and of nothing else."""
    if folder.exists() and not (folder / predictor.FILE).is_file():
        raise ExportError(
            f"{folder} is there and no export: choose another folder with --out, or remove it."
        )


def compared_on(task: TextDataset) -> Sequence[LabelledText]:
    """Rows to compare on: of validation where there are any.

    Of a row that it was trained on, a student is surer. Where every row trains, those have to do.
    """
    return (task.validation or task.train)[:_MANY]


@dataclass(frozen=True)
class _Exporter:
    """Makes exports of one student, and compares them with it."""

    run: RunFolder
    task: TextDataset
    student: Student
    answers: NDArray[np.float64]
    which: str

    def make(self, name: Format, folder: Path) -> Exported:
        """Write one format, compare it, and keep it if it agrees."""
        tolerance = ROUNDED if name == "onnx-int8" else EXACT
        found: list[Parity] = []

        def write(new: Path) -> None:
            described = self._write(name, new)
            described.write(new)
            parity = self._compare(name, new)
            found.append(parity)
            if parity.faults(tolerance):
                raise _RefusedError
            Manifest(
                described.format, described.classes, described.max_length, parity.to_json()
            ).write(new)
            card = ModelCard.of(self.run, self.student, name, parity, self.which)
            (new / "README.md").write_text(card.markdown(), encoding="utf-8")

        try:
            write_anew(folder, write)
        except _RefusedError:
            return Exported(name, None, 0, found[0], tuple(found[0].faults(tolerance)))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Exported(name, folder, size, found[0])

    def _write(self, name: Format, folder: Path) -> Manifest:
        """Write the student in one format; returns what `load` needs to know of it."""
        student = self.student
        if not isinstance(student, EncoderStudent):
            student.save(folder)
            return Manifest(name, student.classes)
        from pgkd.export.predictor import save_model

        if name == "huggingface":
            from pgkd.export.huggingface import save_classifier

            save_classifier(student.encoder, student.head, student.classes, folder)
        else:
            from pgkd.export.graph import encoder_graph
            from pgkd.export.quantize import quantize

            graph = encoder_graph(student.encoder)
            if name == "onnx-int8":
                trained_on = [row.text for row in self.task.train]
                graph = quantize(graph, student.encoder.tokens(trained_on))
            save_model(graph, student.encoder.tokenizer, student.head, folder)
        return Manifest(name, student.classes, student.encoder.max_length)

    def _compare(self, name: Format, folder: Path) -> Parity:
        rows = compared_on(self.task)
        texts = [row.text for row in rows]
        if name == "huggingface":
            from pgkd.export.huggingface import classifier_probabilities

            found = classifier_probabilities(folder, texts)
        else:
            found = load(folder).predict_proba(texts)
        labels = [row.label for row in rows]
        return compare(self.answers, found, labels, self.student.classes)


class _RefusedError(Exception):
    """An export does not agree with its student."""
