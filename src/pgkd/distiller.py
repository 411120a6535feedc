"""`Distiller`: puts the parts together from a config and runs the loop."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pgkd.config import Config, merge
from pgkd.data.arrays import one_column
from pgkd.errors import ConfigError
from pgkd.events import HookList, Hooks, Outcome
from pgkd.integrations.tracking.hook import Tracking
from pgkd.integrations.tracking.registry import make_tracker
from pgkd.loop import distill
from pgkd.runs.control import Control, clear_signal
from pgkd.runs.folder import RunFolder
from pgkd.runs.journal import Journal
from pgkd.runs.resume import begin_or_resume, resuming
from pgkd.runs.review.guide import ReviewedGuide
from pgkd.runs.review.journal import Reviews
from pgkd.stopping import StopRule
from pgkd.tasks.classification.assembly import employed, guide_of, teacher_of, writer_of
from pgkd.tasks.classification.data.loading import load_task, task_from_arrays
from pgkd.tasks.classification.data.pool import Pool, pool_of, read_pool
from pgkd.tasks.classification.data.unlabelled import without_rows
from pgkd.tasks.classification.estimate import Estimate, estimate_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from pgkd.integrations.tracking.base import Tracker
    from pgkd.tasks.classification.assembly import GuideMaker
    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Teacher


class Distiller:
    """Distils a teacher into a student.

    Args:
        config: all settings; default: the defaults.
        teacher: a `Teacher` to ask instead of the one that the config describes, or the name of
            a provider.
        hooks: told what happens.
        track: where else the run is told of, besides what the config says: names of trackers such
            as ``"mlflow"``, or a `Tracker`.
        guide: makes another guide than the config describes; see `task.py`.
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
        track: Sequence[Tracker | str] = (),
        guide: GuideMaker = guide_of,
        **settings: Any,
    ) -> None:
        if isinstance(teacher, str):
            settings = merge(settings, {"teacher": {"provider": teacher}})
        before = config or Config()
        names = dict.fromkeys([*before.track, *(name for name in track if isinstance(name, str))])
        self.config = Config.parse(merge(before.model_dump(), {**settings, "track": tuple(names)}))
        self._trackers = tuple(tracker for tracker in track if not isinstance(tracker, str))
        self._teacher = None if isinstance(teacher, str) else teacher
        self._hooks = tuple(hooks)
        self._make_guide = guide

    def fit(
        self,
        texts: Sequence[str] | NDArray[Any] | None = None,
        labels: Sequence[Any] | NDArray[Any] | None = None,
        *,
        classes: Sequence[Any] | NDArray[Any] | None = None,
        validation: tuple[Sequence[str], Sequence[str]] | None = None,
        unlabelled: Sequence[str] = (),
    ) -> Self:
        """Run the loop on these rows, or on the files that the config names.

        Args:
            texts: n texts; None reads the config's files.
            labels: n class names, or numbers as names.
            classes: all of them, where some have no row yet.
            validation: texts and labels of validation rows; default: split off the rows given.
            unlabelled: texts that the teacher may be asked to label; with the config's files, those
                of ``data.unlabelled`` are.

        Raises:
            ConfigError: neither rows nor a training file were given, or texts without labels.
            DataError: lists everything that is wrong with the rows, before any teacher call.
            RunError: as `fit_task`.
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
            given = one_column(unlabelled, "texts")
            pool = pool_of(given, limit=self.config.pool.limit, seed=self.config.seed)
            task = self._with_pool(task, pool)
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
        task = load_task(
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
        if data.unlabelled is None:
            return task
        limit = self.config.pool.limit
        pool = read_pool(data.unlabelled, data.text_column, limit=limit, seed=self.config.seed)
        return self._with_pool(task, pool)

    def _with_pool(self, task: Task, pool: Pool) -> Task:
        """The task with those texts of a pool that may be trained on."""
        near = self.config.curation.near_duplicate
        return replace(task, pool=without_rows(pool, task, near_duplicate=near))

    def estimate(self, task: Task) -> Estimate:
        """What a run on this task will use and cost. No teacher is asked.

        Raises:
            ConfigError: there is no such teacher, or it lacks a setting.
        """
        config = self.config
        teacher = self._teacher or teacher_of(config)
        try:
            return estimate_of(config, task, teacher)
        finally:
            if self._teacher is None:
                teacher.close()

    def fit_task(self, task: Task) -> Self:
        """Run the loop on a task that has been read and checked; a run that was begun is resumed.

        Raises:
            RunError: the folder holds something else, or a run with other settings or rows, or
                another process is running it.
            ConfigError, MissingExtraError: there is no such tracker, or it is not installed.
        """
        config = self.config
        trackers = [*map(make_tracker, config.track), *self._trackers]
        run = RunFolder.create(config.out or default_out(config))
        with run.locked(), resuming(run) as settling, run.ledger() as ledger:
            resumed = begin_or_resume(run, ledger, config, task)
            clear_signal(run)  # whoever starts a run wants it to go
            tracking = Tracking(trackers, run, config)
            hooks = HookList([Journal(run), settling, *self._hooks, tracking, Control(run)])
            if resumed is None:
                run.log("run begun")  # before the first call, so that the ledger is never alone
            else:
                hooks.on_resumed(resumed)
            teacher = self._teacher or teacher_of(config)
            foreseen = self._make_guide is guide_of  # what another guide asks, it alone knows
            if resumed is None and teacher.biller is not None and config.rounds and foreseen:
                hooks.on_estimate(estimate_of(config, task, teacher))
            try:
                with tracking.heard_by(hooks, self._hooks):
                    asked = tracking.traced(teacher)
                    teaching = employed(config, asked, ledger, hooks.on_batch)
                    self.outcome_ = self._run(task, teaching, run, hooks)
            finally:
                if self._teacher is None:
                    teacher.close()
        self.run_ = run
        self.student_ = run.student("best")
        return self

    def _run(self, task: Task, teacher: Teacher, run: RunFolder, hooks: Hooks) -> Outcome:
        config = self.config
        writer = writer_of(config, task, teacher, run, hooks)
        made = self._make_guide(config, task, writer, run, hooks)
        guide = ReviewedGuide(made, Reviews(run.path))
        rule = StopRule(config.patience, lambda: writer.margin)
        return distill(guide, writer, rule, run, hooks, rounds=config.rounds)


def default_out(config: Config) -> Path:
    """``runs/NAME`` with the first number that is free, named after the training file."""
    name = config.data.train.name.partition(".")[0] if config.data.train else "run"
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path
