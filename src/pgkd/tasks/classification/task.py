"""Classification as a kind of task: see `pgkd.task.Task`.

What makes a run is imported by the methods that need it: a server loads an export alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd.data.cells import one_column
from pgkd.errors import ConfigError
from pgkd.task import Answer, CardText, Learner, Task
from pgkd.tasks.classification.config import ClassificationConfig
from pgkd.tasks.classification.data.dataset import (
    TextDataset,
    dataset_from_arrays,
    load_dataset,
    read_rows,
)
from pgkd.tasks.classification.data.examples import LabelledText, label_indices
from pgkd.tasks.classification.data.pool import Pool, make_pool, read_pool, without_rows
from pgkd.tasks.classification.exporting import (
    Predictor,
    export_classifier,
    list_formats,
    load_classifier,
)
from pgkd.tasks.classification.students import load_student
from pgkd.tasks.classification.students.base import Student

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pgkd.events import Hooks
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.assembly import LearnerParts
    from pgkd.tasks.classification.synthesizer import ClassificationSynthesizer
    from pgkd.teachers.base import Request, Teacher


class Classification(Task):
    """One label a text."""

    name = "classification"
    config = ClassificationConfig
    files = ("glossary.yaml",)
    review = "one"

    @cached_property
    def forms(self) -> Mapping[str, type[BaseModel]]:  # type: ignore[override]
        """See `Task.forms`."""
        from pgkd.tasks.classification.forms import FORMS

        return FORMS

    def load(self, config: ClassificationConfig) -> TextDataset:
        """See `Task.load`."""
        data = config.data
        if data.train is None:
            raise ConfigError("No training rows: give --train FILE, or data.train in pgkd.yaml.")
        dataset = self._load_rows(config, data.train)
        if data.unlabelled is None:
            return dataset
        pool = read_pool(
            data.unlabelled, data.text_column, limit=config.pool.limit, seed=config.seed
        )
        return with_pool(config, dataset, pool)

    def _load_rows(self, config: ClassificationConfig, train: Path) -> TextDataset:
        data = config.data
        return load_dataset(
            train=train,
            validation=data.validation,
            classes=data.classes,
            text_column=data.text_column,
            label_column=data.label_column,
            validation_fraction=data.validation_fraction,
            limit=data.limit,
            seed=config.seed,
            on_conflict=data.on_conflict,
        )

    def from_arrays(
        self,
        config: ClassificationConfig,
        inputs: Sequence[str] | NDArray[Any],
        outputs: Sequence[Any] | NDArray[Any],
        *,
        classes: Sequence[Any] | NDArray[Any] | None = None,
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
        unlabelled: Sequence[str] = (),
    ) -> TextDataset:
        """See `Task.from_arrays`.

        Args:
            config: the settings of the run.
            inputs: n texts.
            outputs: n label names, or numbers as names.
            classes: all label names, where some have no row yet.
            validation: texts and labels of validation rows; default: split off the rows given.
            unlabelled: texts that the teacher may be asked to label.
        """
        dataset = self._make_rows(config, inputs, outputs, classes, validation)
        texts = one_column(unlabelled, "texts")
        return with_pool(
            config, dataset, make_pool(texts, limit=config.pool.limit, seed=config.seed)
        )

    def _make_rows(
        self, config: ClassificationConfig, inputs: Any, outputs: Any, classes: Any, validation: Any
    ) -> TextDataset:
        return dataset_from_arrays(
            inputs,
            outputs,
            validation=validation,
            classes=classes,
            validation_fraction=config.data.validation_fraction,
            seed=config.seed,
            on_conflict=config.data.on_conflict,
        )

    def dataset(self, data: dict[str, Any]) -> TextDataset:
        """See `Task.dataset`; the unlabelled texts are not in it."""
        return TextDataset.from_json(data)

    def example(self, data: dict[str, Any]) -> LabelledText:
        """See `Task.example`."""
        return LabelledText.from_json(data)

    def synthesizer(
        self,
        config: ClassificationConfig,
        dataset: TextDataset,
        teacher: Teacher,
        run: RunFolder,
        hooks: Hooks,
    ) -> ClassificationSynthesizer:
        """See `Task.synthesizer`."""
        from pgkd.tasks.classification.assembly import make_synthesizer

        return make_synthesizer(config, dataset, teacher, run, hooks)

    def learner(
        self,
        config: ClassificationConfig,
        dataset: TextDataset,
        synthesizer: ClassificationSynthesizer,
        run: RunFolder,
        hooks: Hooks,
    ) -> Learner:
        """See `Task.learner`."""
        from pgkd.tasks.classification.assembly import make_learner

        return make_learner(config, dataset, synthesizer, run, hooks, self._parts())

    def retrainer(
        self, run: RunFolder, config: ClassificationConfig, dataset: TextDataset, student: Student
    ) -> Learner:
        """See `Task.retrainer`."""
        from pgkd.tasks.classification.assembly import learner_again

        return learner_again(run, config, dataset, student, parts=self._parts())

    def estimate(
        self, config: ClassificationConfig, dataset: TextDataset, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """See `Task.estimate`."""
        from pgkd.tasks.classification.estimate import list_requests

        return list_requests(config, dataset, teacher, self._parts())

    def _parts(self) -> LearnerParts:
        """What a learner is made of; a kind of task that stands on this one has its own."""
        from pgkd.tasks.classification.assembly import LearnerParts

        return LearnerParts()

    def load_student(self, folder: Path) -> Student:
        """See `Task.load_student`."""
        return load_student(folder)

    def environment(self, config: ClassificationConfig) -> dict[str, str]:
        """See `Task.environment`: device and precision, where the student has a choice of them."""
        from pgkd.encoders.devices import find_device

        student = config.student
        if student.kind != "encoder":
            return {}
        return find_device(student.device, student.precision).describe()

    def choices(self, dataset: TextDataset) -> tuple[str, ...]:
        """The label names."""
        return dataset.taxonomy.names

    def output(self, answer: Answer) -> str:
        """The label."""
        return str(answer["label"])

    def read(self, path: Path, config: ClassificationConfig) -> list[LabelledText]:
        """See `Task.read`."""
        texts, labels = read_rows(path, config.data.text_column, config.data.label_column)
        pairs = zip(texts, labels, strict=True)
        return [LabelledText(text, label, f":{i}") for i, (text, label) in enumerate(pairs, 1)]

    def figures(
        self, answers: Sequence[Answer], examples: Sequence[LabelledText]
    ) -> dict[str, float]:
        """Accuracy, and macro F1 over the labels that occur in rows or answers."""
        from pgkd.tasks.classification.evaluation.metrics import confusion_matrix, macro_f1

        given, wanted = [str(a["label"]) for a in answers], [row.label for row in examples]
        names = sorted({*given, *wanted})
        gold, predicted = label_indices(wanted, names), label_indices(given, names)
        return {
            "accuracy": float(np.mean(gold == predicted)),
            "macro_f1": macro_f1(confusion_matrix(gold, predicted, len(names))),
        }

    def formats(self, student: Student) -> tuple[str, ...]:
        """See `Task.formats`."""
        return list_formats(student)

    def export(
        self, student: Student, dataset: TextDataset, format: str, folder: Path
    ) -> dict[str, Any]:
        """See `Task.export`."""
        return export_classifier(student, dataset, format, folder)

    def load_export(
        self, folder: Path, format: str, details: dict[str, Any], threads: int | None
    ) -> Predictor:
        """See `Task.load_export`."""
        return load_classifier(folder, format, details, threads)

    def card(
        self,
        student: Any,
        config: ClassificationConfig,
        format: str,
        record: Mapping[str, Any] | None,
    ) -> CardText:
        """See `Task.card`."""
        from pgkd.export.card import named
        from pgkd.weights.pins import find

        settings = config.student
        limits = ["It answers with one of its classes, whatever the text is."]
        if student.kind != "linear":
            limits.append(f"It reads {settings.max_length} tokens of a text, and no more.")
        confused = sorted((record or {}).get("confused", ()), key=lambda c: -int(c["rows"]))[:5]
        if confused:
            told = "; ".join(
                f"{c['gold']} taken for {c['predicted']} ({c['rows']})" for c in confused
            )
            limits.append(f"Most confused: {told}.")
        weights = {"encoder": settings.encoder, "static": settings.embeddings}.get(student.kind)
        known = find(weights) if weights else None
        recipe = ""
        if student.kind == "encoder":
            recipe = f", {named(settings.encoder)}, {student.recipe}"
        predict = 'pgkd.load("FOLDER").predict(["a text", "another"])'
        use: tuple[str, ...] = ("import pgkd", "", predict)
        if format == "huggingface":
            use = (
                "from transformers import pipeline",
                "",
                'classify = pipeline("text-classification", "FOLDER")',
                'classify(["a text", "another"], truncation=True)',
            )
        return CardText(
            title="A text classifier, distilled with pgkd",
            pipeline_tag="text-classification",
            about=f"{len(student.classes)} classes: {', '.join(student.classes)}.",
            use=use,
            student=f"Student: {student.kind}{recipe}.",
            base_model=known.hub or "" if known else "",
            limits=tuple(limits),
        )

    def recognises(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Whether there is a column of texts and one of labels."""
        return {"text", "label"} <= set(columns)


def with_pool(config: ClassificationConfig, dataset: TextDataset, pool: Pool) -> TextDataset:
    """The data set with those texts of a pool that may be trained on."""
    near = config.curation.near_duplicate
    return replace(dataset, pool=without_rows(pool, dataset, near_duplicate=near))
