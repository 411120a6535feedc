"""`pgkd export`: a run's student in formats that no trainer is needed for.

::

    OUT/
      onnx/          export.json, README.md, and for a classifier model.onnx, tokenizer.json,
                     head.safetensors
      onnx-int8/     the same, in 8 bits
      huggingface/   config.json, model.safetensors, tokenizer files, export.json, README.md
      plain/         the student as it is saved, export.json, README.md

What is written is loaded again, as a user would, and has to answer as the student does; else
nothing of it stays.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pgkd.errors import ConfigError, ExportError
from pgkd.evaluation import ERRORS
from pgkd.export import predictor
from pgkd.export.card import ModelCard
from pgkd.export.predictor import FORMATS, Format, Manifest, load_any
from pgkd.files import write_anew

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pgkd.runs.folder import RunFolder
    from pgkd.task import Answer, Dataset, Example, Task


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far an export may be from its student; one text may always be answered otherwise.

    Attributes:
        difference: of any number of an answer, at most; None bounds the answers alone.
        same: share of texts with the same answer, at least.
        loss: of the first figure, at most.
    """

    difference: float | None = None
    same: float = 0.0
    loss: float = 1.0


EXACT = Tolerance(difference=1e-4, same=0.99)
"""Of what computes the same: float32 sums in another order."""

ROUNDED = Tolerance(same=0.99, loss=0.005)
"""Of what computes with 8 bits."""


@dataclass(frozen=True, slots=True)
class Parity:
    """How an export compares with its student on the same examples.

    Attributes:
        n: examples compared.
        difference: the largest one of a number that both answer, such as a probability.
        same: share of the examples with the same answer, by `Task.agreement`.
        figure: name of the first figure of the task, such as accuracy.
        student: that figure of the student.
        export: that figure of the export.
    """

    n: int
    difference: float
    same: float
    figure: str
    student: float
    export: float

    def faults(self, tolerance: Tolerance) -> list[str]:
        """What of a tolerance is not kept, with the figures; none where all is well."""
        found = []
        # Compared so that a figure which is no number is a fault.
        if tolerance.difference is not None and not self.difference <= tolerance.difference:
            found.append(
                f"numbers differ by up to {self.difference:.2g}, allowed are "
                f"{tolerance.difference:.2g}"
            )
        if self._examples(1 - self.same) > self._allowed(1 - tolerance.same):
            found.append(
                f"{self.same:.1%} of {self.n} texts have the same answer, needed are "
                f"{tolerance.same:.0%}"
            )
        lost = self.student - self.export
        if self._examples(-lost if self.figure in ERRORS else lost) > self._allowed(tolerance.loss):
            found.append(
                f"{self.figure} on {self.n} texts is {self.export:.3f}, the student's "
                f"{self.student:.3f}, and may be worse by {tolerance.loss:.3f}"
            )
        return found

    def _examples(self, share: float) -> int:
        """How many examples a share of them is."""
        return round(share * self.n)

    def _allowed(self, share: float) -> int:
        """How many examples may differ: one always may, for 1% of fewer than a hundred is none."""
        return max(1, math.floor(share * self.n + 1e-9))

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            name: round(value, 8) if isinstance(value, float) else value
            for name, value in asdict(self).items()
        }


def compare(
    task: Task, before: Sequence[Answer], after: Sequence[Answer], examples: Sequence[Example]
) -> Parity:
    """Compare two models' answers to the same examples, at least one."""
    pairs = list(zip(before, after, strict=True))
    numbers = [
        abs(one[name] - other.get(name, math.nan))
        for one, other in ((dict(_numbers(a)), dict(_numbers(b))) for a, b in pairs)
        for name in one
    ]
    figures = [task.figures(answers, examples) for answers in (before, after)]
    name = next(iter(figures[0]))
    return Parity(
        n=len(pairs),
        difference=float(np.max(numbers)) if numbers else 0.0,
        same=sum(task.agreement(one, other) for one, other in pairs) / len(pairs),
        figure=name,
        student=figures[0][name],
        export=figures[1][name],
    )


def _numbers(answer: Answer) -> Iterator[tuple[str, float]]:
    """The numbers of an answer, and of the mappings in it, by name."""
    for name, value in answer.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{key}", number) for key, number in _numbers(value))
        elif isinstance(value, float):
            yield name, value


Choice = Literal["auto", "all"] | Format
CHOICES: tuple[Choice, ...] = ("auto", "all", *FORMATS)

_MANY = 2000  # examples to compare on, at most


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
        choice: a format; ``"auto"`` takes the best one for a server, ``"all"`` takes all. Where
            ``onnx-int8`` is refused, ``onnx`` is made too.
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
    has: Any = run.task.formats(student)
    wanted = _wanted(has, choice)
    for name in wanted:
        _check_free(out / name)
    dataset = run.dataset()
    examples = compared_on(dataset)
    answers = student.answers([run.task.input(example) for example in examples])
    done: list[Exported] = []
    while wanted:
        name = wanted.pop(0)
        on_format(name)
        exporter = _Exporter(run, dataset, student, examples, answers, which)
        done.append(exporter.make(name, out / name))
        tried = {found.format for found in done}
        refused = name == "onnx-int8" and done[-1].folder is None
        if refused and "onnx" in has and "onnx" not in {*tried, *wanted}:
            _check_free(out / "onnx")
            wanted.insert(0, "onnx")
    return done


def _wanted(has: Sequence[Format], choice: Choice) -> list[Format]:
    """The formats to make, in order, of those that a student has."""
    if choice not in CHOICES:
        raise ConfigError(f"There is no format '{choice}'. There are: {', '.join(CHOICES)}.")
    if choice == "all":
        return list(has)
    if choice == "auto":
        return [has[0]]
    if choice not in has:
        raise ConfigError(
            f"This student is not exported as {choice}: it has {', '.join(has)}. Leave --format "
            "away."
        )
    return [choice]


def _check_free(folder: Path) -> None:
    """An export takes the place of an older one, and of nothing else."""
    if folder.exists() and not (folder / predictor.FILE).is_file():
        raise ExportError(
            f"{folder} is there and no export: choose another folder with --out, or remove it."
        )


def compared_on(dataset: Dataset) -> Sequence[Example]:
    """Examples to compare on: of validation where there are any.

    Of one that it was trained on, a student is surer. Where every row trains, those have to do.
    """
    return (dataset.validation or dataset.train)[:_MANY]


@dataclass(frozen=True)
class _Exporter:
    """Makes exports of one student, and compares them with it."""

    run: RunFolder
    dataset: Dataset
    student: Any
    examples: Sequence[Example]
    answers: Sequence[Answer]
    which: str

    def make(self, name: Format, folder: Path) -> Exported:
        """Write one format, compare it, and keep it if it agrees."""
        tolerance = ROUNDED if name == "onnx-int8" else EXACT
        task = self.run.task
        found: list[Parity] = []

        def write(new: Path) -> None:
            details = task.export(self.student, self.dataset, name, new)
            manifest = Manifest(name, task.name, details)
            manifest.write(new)
            exported = load_any(new, manifest, 1)
            answers = exported.answers([task.input(example) for example in self.examples])
            parity = compare(task, self.answers, answers, self.examples)
            found.append(parity)
            if parity.faults(tolerance):
                raise _RefusedError
            replace(manifest, parity=parity.to_json()).write(new)
            card = ModelCard.of(self.run, self.student, name, parity, self.which)
            (new / "README.md").write_text(card.markdown(), encoding="utf-8")

        try:
            write_anew(folder, write)
        except _RefusedError:
            return Exported(name, None, 0, found[0], tuple(found[0].faults(tolerance)))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        return Exported(name, folder, size, found[0])


class _RefusedError(Exception):
    """An export does not agree with its student."""
