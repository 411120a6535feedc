"""What kinds of task that learn from rows and samples have in common."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

from pgkd.curation import Curator
from pgkd.encoders.devices import find_device
from pgkd.events import Hooks
from pgkd.runs.folder import RunFolder
from pgkd.synthesis import Synthesizer
from pgkd.task import Example, Task
from pgkd.tasks.common.learning import WEIGHTS, RowLearner
from pgkd.tasks.common.rows import Rows
from pgkd.teachers.base import Teacher


class RowsTask(Task):
    """A task with `Rows` and a `RowLearner`.

    Attributes:
        example_type: the task's kind of `Example`.
    """

    example_type: ClassVar[type[Example]]

    def example(self, data: dict[str, Any]) -> Example:
        """See `Task.example`."""
        return self.example_type.from_json(data)

    @abstractmethod
    def row_learner(
        self, config: Any, dataset: Any, weights: tuple[float, ...], student: Any = None
    ) -> RowLearner[Any, Any]:
        """A learner that chooses the weight of synthetic examples among these.

        Args:
            config: the settings of the run.
            dataset: the rows.
            weights: one or more.
            student: of a finished run: its recipe is kept, where the kind has several.
        """

    def learner(
        self, config: Any, dataset: Any, synthesizer: Any, run: RunFolder, hooks: Hooks
    ) -> RowLearner[Any, Any]:
        """See `Task.learner`."""
        weight = config.synthetic_weight
        return self.row_learner(config, dataset, WEIGHTS if weight == "auto" else (weight,))

    def retrainer(
        self, run: RunFolder, config: Any, dataset: Any, student: Any
    ) -> RowLearner[Any, Any]:
        """See `Task.retrainer`: with the weight and the recipe of the run's best student."""
        kept = [line for line in run.events("round ended") if line["keep"]]
        weights = [line["synthetic_weight"] for line in kept if line["synthetic_weight"]]
        return self.row_learner(config, dataset, tuple(weights[-1:]) or (1.0,), student)

    def synthesizer(
        self, config: Any, dataset: Any, teacher: Teacher, run: RunFolder, hooks: Hooks
    ) -> Synthesizer:
        """See `Task.synthesizer`."""
        curation = config.curation
        curator = Curator(
            dataset.train, dataset.validation,
            near_duplicate=curation.near_duplicate, max_words=curation.max_words,
        )  # fmt: skip
        return Synthesizer(teacher, curator, run, hooks, repairs=curation.repairs)

    def dataset(self, data: dict[str, Any]) -> Rows[Any]:
        """See `Task.dataset`."""
        return Rows.from_json(data, self.example)

    def environment(self, config: Any) -> dict[str, str]:
        """See `Task.environment`."""
        return find_device(config.student.device, config.student.precision).describe()
