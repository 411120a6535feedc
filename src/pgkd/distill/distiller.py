"""`Distiller`: puts the parts together from a config and runs the loop."""

from __future__ import annotations

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pgkd.config import Config, merge
from pgkd.curation import Curator
from pgkd.distill.events import HookList, Hooks, Outcome
from pgkd.distill.journal import Journal
from pgkd.distill.loop import distill
from pgkd.distill.stopping import StopRule
from pgkd.distill.store import RunFolder
from pgkd.distill.writing import Writer
from pgkd.errors import ConfigError
from pgkd.guidance import (
    ClassificationGuide,
    LengthTarget,
    PaperAsking,
    TargetedAsking,
    Writing,
    description_request,
)
from pgkd.student import make_student
from pgkd.task import Task, load_task, stratified_folds, task_from_arrays
from pgkd.teacher import make_teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.guidance import Asking
    from pgkd.student import Student
    from pgkd.teacher import Teacher

_PACKAGES = (
    "pgkd", "numpy", "scikit-learn", "cleanlab", "rapidfuzz", "datasets", "pyarrow", "torch",
    "transformers", "tokenizers", "xllamacpp", "openai",
)  # fmt: skip


class Distiller:
    """Distils a teacher into a student.

    Args:
        config: all settings; default: the defaults.
        teacher: a `Teacher` to ask instead of the one that the config describes, or the name of
            a provider.
        hooks: told what happens.
        settings: single settings that win over `config`'s, nested like it, e.g. ``rounds=3`` or
            ``student={"kind": "linear"}``.

    Attributes:
        run_: the run folder, after `fit`.
        outcome_: how the run ended, after `fit`.
        student_: the best student, after `fit`.

    Example:
        >>> from pgkd import Distiller, FakeTeacher
        >>> Distiller(teacher=FakeTeacher(), out="runs/first").fit(texts, labels)  # doctest: +SKIP
    """

    run_: RunFolder
    outcome_: Outcome
    student_: Student

    def __init__(
        self,
        config: Config | None = None,
        *,
        teacher: Teacher | str | None = None,
        hooks: Sequence[Hooks] = (),
        **settings: Any,
    ) -> None:
        if isinstance(teacher, str):
            settings = merge(settings, {"teacher": {"provider": teacher}})
        self.config = Config.parse(merge((config or Config()).model_dump(), settings))
        self._teacher = None if isinstance(teacher, str) else teacher
        self._hooks = tuple(hooks)

    def fit(
        self,
        texts: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        *,
        classes: Sequence[str] | None = None,
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
    ) -> Self:
        """Run the loop on these rows, or on the files that the config names.

        Args:
            texts: n texts; None reads the config's files.
            labels: n class names.
            classes: all class names, where some have no row yet.
            validation: texts and labels of validation rows; default: split off the rows given.

        Raises:
            ConfigError: neither rows nor a training file were given, or texts without labels.
            DataError: lists everything that is wrong with the rows, before any teacher call.
            RunError: the run folder is not empty.
        """
        if (texts is None) != (labels is None):
            raise ConfigError("Give texts and labels, or neither of them.")
        if texts is None or labels is None:
            task = self.load_task()
        else:
            task = task_from_arrays(
                texts,
                labels,
                validation=validation,
                classes=classes,
                validation_fraction=self.config.data.validation_fraction,
                seed=self.config.seed,
                on_conflict=self.config.data.on_conflict,
            )
        return self.fit_task(task)

    def load_task(self) -> Task:
        """Read and check the files that the config names.

        Raises:
            ConfigError: no training file is named.
            DataError: lists everything that is wrong with the rows.
        """
        data = self.config.data
        if data.train is None:
            raise ConfigError("No training rows: give --train FILE, or data.train in pgkd.yaml.")
        return load_task(
            train=data.train,
            validation=data.validation,
            classes=data.classes,
            text_column=data.text_column,
            label_column=data.label_column,
            validation_fraction=data.validation_fraction,
            limit=data.limit,
            seed=self.config.seed,
            on_conflict=data.on_conflict,
        )

    def fit_task(self, task: Task) -> Self:
        """Run the loop on a task that has been read and checked."""
        config = self.config
        run = RunFolder.create(config.out or default_out(config))
        _describe(run, config, task)
        hooks = HookList([Journal(run), *self._hooks])
        teacher = self._teacher or teacher_of(config)
        writer = Writer(
            teacher, curator_of(config, task), run, hooks, repairs=config.curation.repairs
        )
        try:
            self.outcome_ = distill(
                guide_of(config, task, writer),
                writer,
                StopRule(config.patience),
                run,
                hooks,
                rounds=config.rounds,
            )
        finally:
            if self._teacher is None:
                teacher.close()
        self.run_ = run
        self.student_ = run.student("best")
        return self


def default_out(config: Config) -> Path:
    """``runs/NAME`` with the first number that is free, named after the training file."""
    name = config.data.train.name.partition(".")[0] if config.data.train else "run"
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path


def student_of(config: Config, classes: Sequence[str]) -> Student:
    """The unfitted student that a config describes."""
    settings = config.student.model_dump(exclude={"kind"})
    if config.student.kind == "linear":
        settings = {}
    return make_student(config.student.kind, classes, seed=config.seed, **settings)


def teacher_of(config: Config) -> Teacher:
    """The teacher that a config describes."""
    teacher = config.teacher
    if teacher.provider == "local":
        settings: dict[str, Any] = {"threads": teacher.threads, "context": teacher.context}
    elif teacher.provider == "openai":
        settings = {"base_url": teacher.base_url, "api_key_env": teacher.api_key_env}
    else:
        settings = {}
    if teacher.model is not None:
        settings["model"] = teacher.model
    return make_teacher(teacher.provider, **settings)


def curator_of(config: Config, task: Task) -> Curator:
    """The curator of a task's written texts."""
    curation = config.curation
    return Curator(
        task.train,
        task.validation,
        near_duplicate=curation.near_duplicate,
        max_words=curation.max_words,
    )


def guide_of(config: Config, task: Task, writer: Writer) -> ClassificationGuide:
    """The guide of a task, with a student whose hyper-parameters are chosen here, once."""
    texts, labels = [row.text for row in task.train], [row.label for row in task.train]
    student = student_of(config, task.taxonomy.names).tune(texts, labels, seed=config.seed)
    folds = stratified_folds(labels, min(config.guidance.folds, len(labels)), config.seed)
    return ClassificationGuide(
        task,
        student,
        _asking(config, task, folds, writer),
        folds=folds,
        written_weight=config.written_weight,
    )


def _asking(config: Config, task: Task, folds: NDArray[np.int64], writer: Writer) -> Asking:
    guidance, teacher = config.guidance, config.teacher
    writing = Writing(
        LengthTarget.of([row.text for row in task.train]),
        temperature=teacher.temperature,
        top_p=teacher.top_p,
        max_tokens=teacher.max_tokens,
        seed=config.seed,
    )
    if guidance.mode == "paper":
        return PaperAsking(
            task.taxonomy, task.train, writing,
            instructions=guidance.instructions, samples=config.samples,
            few_shot=guidance.few_shot, mined=guidance.mined,
        )  # fmt: skip
    return TargetedAsking(
        task.taxonomy, task.train, folds, writing, describe=_description(config, task, writer),
        samples=config.samples, rounds=config.rounds, floor_share=guidance.floor_share,
        per_request=guidance.texts_per_request, shown_examples=guidance.shown_examples,
    )  # fmt: skip


def _description(config: Config, task: Task, writer: Writer) -> Callable[[], str]:
    """What the texts are: the user's words, or the teacher's, asked for when first needed."""
    if config.guidance.instructions or not config.guidance.describe:
        return lambda: config.guidance.instructions
    request = description_request(task.taxonomy, task.train, seed=config.seed)
    return cache(lambda: writer.describe(request))


def _describe(run: RunFolder, config: Config, task: Task) -> None:
    """Write down what the run is made of."""
    run.write_text("config.yaml", _resolved(config, run).to_yaml())
    run.write_json("environment.json", environment())
    run.write_json(
        "task.json",
        {
            "classes": [
                {"name": c.name, "description": c.description, "parent": c.parent}
                for c in task.taxonomy
            ],
            "train": [row.to_json() for row in task.train],
            "validation": [row.to_json() for row in task.validation],
            "warnings": list(task.warnings),
        },
    )


def _resolved(config: Config, run: RunFolder) -> Config:
    """The config with absolute paths, which mean the same from the run folder as from here."""
    paths = {name: getattr(config.data, name) for name in ("train", "validation", "classes")}
    found = {name: path.resolve() for name, path in paths.items() if path is not None}
    data = config.data.model_copy(update=found)
    return config.model_copy(update={"data": data, "out": run.path.resolve()})


def environment() -> dict[str, str | None]:
    """Versions that a result rests on; None for what is not installed."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return {**versions, "platform": platform.platform(), "machine": platform.machine()}
