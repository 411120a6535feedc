"""`Distiller`: puts the parts together from a config and runs the loop."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pgkd.config import Config, merge
from pgkd.errors import ConfigError
from pgkd.events import HookList, Hooks, Outcome
from pgkd.integrations.tracking import make_tracker
from pgkd.integrations.tracking.hook import Tracking
from pgkd.loop import distill
from pgkd.runs.control import Control, clear_signal
from pgkd.runs.folder import RunFolder
from pgkd.runs.journal import Journal
from pgkd.runs.resume import begin_or_resume, resuming
from pgkd.runs.review import ReviewedLearner, Reviews
from pgkd.stopping import StopRule
from pgkd.task import Dataset
from pgkd.tasks import make_task
from pgkd.teachers import teacher_from
from pgkd.usage import metered_teacher
from pgkd.usage.estimate import Estimate, estimate
from pgkd.usage.prices import BatchPrices, prices_from

if TYPE_CHECKING:
    from pgkd.integrations.tracking import Tracker
    from pgkd.teachers import Teacher


class Distiller:
    """Distils a teacher into a student.

    Args:
        config: all settings; default: the defaults.
        teacher: a `Teacher` to ask instead of the one that the config describes, or the name of
            a provider.
        hooks: hear what happens.
        track: trackers of the run, besides those of the config: names such as ``"mlflow"``, or a
            `Tracker`.
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
    student_: Any

    def __init__(
        self,
        config: Config | None = None,
        *,
        teacher: Teacher | str | None = None,
        hooks: Sequence[Hooks] = (),
        track: Sequence[Tracker | str] = (),
        **settings: Any,
    ) -> None:
        if isinstance(teacher, str):
            settings = merge(settings, {"teacher": {"provider": teacher}})
        before = config or Config.parse({})
        names = dict.fromkeys([*before.track, *(name for name in track if isinstance(name, str))])
        self.config = Config.parse(merge(before.model_dump(), {**settings, "track": tuple(names)}))
        self.task = make_task(self.config.task)
        self._trackers = tuple(tracker for tracker in track if not isinstance(tracker, str))
        self._teacher = None if isinstance(teacher, str) else teacher
        self._hooks = tuple(hooks)

    def fit(self, inputs: Any = None, outputs: Any = None, **data: Any) -> Self:
        """Run the loop on these examples, or on the files that the config names.

        Args:
            inputs: n inputs, such as texts; None reads the config's files.
            outputs: n outputs, such as labels.
            data: more that the task takes; for classification ``classes`` (all label names, where
                some have no row yet), ``validation`` (a pair of texts and labels) and
                ``unlabelled`` (texts that the teacher may be asked to label).

        Raises:
            ConfigError: neither rows nor a training file were given, or inputs without outputs.
            DataError: lists everything that is wrong with the rows, before any teacher call.
            RunError: as `fit_dataset`.
        """
        if (inputs is None) != (outputs is None):
            raise ConfigError("Give texts and labels, or neither of them.")
        if inputs is None:
            return self.fit_dataset(self.load())
        return self.fit_dataset(self.task.from_arrays(self.config, inputs, outputs, **data))

    def load(self) -> Any:
        """Read and check the files that the config names; a `Dataset` of its task.

        Raises:
            ConfigError: no training file is named.
            DataError: lists everything that is wrong with the rows.
        """
        return self.task.load(self.config)

    def estimate(self, dataset: Dataset) -> Estimate:
        """What a run on these examples will use and cost. No teacher is asked.

        Raises:
            ConfigError: there is no such teacher, or it lacks a setting.
        """
        teacher = self._teacher or teacher_from(self.config)
        try:
            return self._estimate(dataset, teacher)
        finally:
            if self._teacher is None:
                teacher.close()

    def _estimate(self, dataset: Dataset, teacher: Teacher) -> Estimate:
        prices = prices_from(self.config, teacher)
        if self.config.teacher.batch:
            prices = BatchPrices(prices)
        requests = self.task.estimate(self.config, dataset, teacher)
        return estimate(requests, [row.text for row in dataset.train], prices, teacher.model)

    def fit_dataset(self, dataset: Dataset) -> Self:
        """Run the loop on examples that have been read and checked; an old run is resumed.

        Raises:
            RunError: the folder holds something else, or a run with other settings or rows, or
                another process is running it.
            ConfigError, MissingExtraError: there is no such tracker, or it is not installed.
        """
        config = self.config
        trackers = [*map(make_tracker, config.track), *self._trackers]
        run = RunFolder.create(config.out or default_out(config))
        with run.locked(), resuming(run) as settling, run.ledger() as ledger:
            resumed = begin_or_resume(run, ledger, config, dataset)
            clear_signal(run)  # whoever starts a run wants it to go
            tracking = Tracking(trackers, run, config)
            hooks = HookList([Journal(run), settling, *self._hooks, tracking, Control(run)])
            if resumed is None:
                run.log("run begun")  # before the first call, so that the ledger is never alone
            else:
                hooks.on_resumed(resumed)
            teacher = self._teacher or teacher_from(config)
            if resumed is None and teacher.biller is not None and config.rounds:
                hooks.on_estimate(self._estimate(dataset, teacher))
            try:
                with tracking.heard_by(hooks, self._hooks):
                    asked = tracking.traced(teacher)
                    metered = metered_teacher(config, asked, ledger, hooks.on_batch)
                    self.outcome_ = self._run(dataset, metered, run, hooks)
            finally:
                if self._teacher is None:
                    teacher.close()
        self.run_ = run
        self.student_ = run.student("best")
        return self

    def _run(self, dataset: Dataset, teacher: Teacher, run: RunFolder, hooks: Hooks) -> Outcome:
        config, task = self.config, self.task
        synthesizer = task.synthesizer(config, dataset, teacher, run, hooks)
        learner = task.learner(config, dataset, synthesizer, run, hooks)
        reviewed = ReviewedLearner(learner, Reviews(run.path))
        rule = StopRule(config.patience)
        return distill(reviewed, synthesizer, rule, run, hooks, rounds=config.rounds)


def default_out(config: Config) -> Path:
    """``runs/NAME`` with the first number that is free, named after the training file."""
    name = config.data.train.name.partition(".")[0] if config.data.train else "run"
    number = 1
    while (path := Path("runs") / f"{name}-{number}").exists():
        number += 1
    return path
