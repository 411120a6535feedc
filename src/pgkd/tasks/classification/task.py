"""Classification as a kind of task: see `pgkd.task.Task`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from pgkd.data.cells import one_column
from pgkd.encoders.devices import find_device
from pgkd.errors import ConfigError
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.task import Learner, Task
from pgkd.tasks.classification.assembly import learner_again, make_learner, make_synthesizer
from pgkd.tasks.classification.config import ClassificationConfig
from pgkd.tasks.classification.data.dataset import TextDataset, dataset_from_arrays, load_dataset
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.data.pool import Pool, make_pool, read_pool, without_rows
from pgkd.tasks.classification.estimate import list_requests
from pgkd.tasks.classification.forms import FORMS
from pgkd.tasks.classification.students import load_student
from pgkd.tasks.classification.students.base import Student
from pgkd.tasks.classification.synthesizer import ClassificationSynthesizer
from pgkd.teachers.base import Request, Teacher


class Classification(Task):
    """One label a text."""

    name = "classification"
    config = ClassificationConfig
    forms = FORMS
    files = ("glossary.yaml",)

    def load(self, config: ClassificationConfig) -> TextDataset:
        """See `Task.load`."""
        data = config.data
        if data.train is None:
            raise ConfigError("No training rows: give --train FILE, or data.train in pgkd.yaml.")
        dataset = load_dataset(
            train=data.train,
            validation=data.validation,
            classes=data.classes,
            text_column=data.text_column,
            label_column=data.label_column,
            validation_fraction=data.validation_fraction,
            limit=data.limit,
            seed=config.seed,
            on_conflict=data.on_conflict,
        )
        if data.unlabelled is None:
            return dataset
        pool = read_pool(
            data.unlabelled, data.text_column, limit=config.pool.limit, seed=config.seed
        )
        return with_pool(config, dataset, pool)

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
        dataset = dataset_from_arrays(
            inputs,
            outputs,
            validation=validation,
            classes=classes,
            validation_fraction=config.data.validation_fraction,
            seed=config.seed,
            on_conflict=config.data.on_conflict,
        )
        texts = one_column(unlabelled, "texts")
        return with_pool(
            config, dataset, make_pool(texts, limit=config.pool.limit, seed=config.seed)
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
        return make_learner(config, dataset, synthesizer, run, hooks)

    def retrainer(
        self, run: RunFolder, config: ClassificationConfig, dataset: TextDataset, student: Student
    ) -> Learner:
        """See `Task.retrainer`."""
        return learner_again(run, config, dataset, student)

    def estimate(
        self, config: ClassificationConfig, dataset: TextDataset, teacher: Teacher
    ) -> Iterable[tuple[Request, int]]:
        """See `Task.estimate`."""
        return list_requests(config, dataset, teacher)

    def load_student(self, folder: Path) -> Student:
        """See `Task.load_student`."""
        return load_student(folder)

    def environment(self, config: ClassificationConfig) -> dict[str, str]:
        """See `Task.environment`: device and precision, where the student has a choice of them."""
        student = config.student
        if student.kind != "encoder":
            return {}
        return find_device(student.device, student.precision).describe()


def with_pool(config: ClassificationConfig, dataset: TextDataset, pool: Pool) -> TextDataset:
    """The data set with those texts of a pool that may be trained on."""
    near = config.curation.near_duplicate
    return replace(dataset, pool=without_rows(pool, dataset, near_duplicate=near))
