"""The arms of a benchmark: what each asks for, and of whom.

An arm is a few settings over those of the grid, and where settings cannot say it a guide of its
own. All else is the same for every arm: the student, the class list, the weight of texts, curation,
the stop rule and the number of texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pgkd.bench.asking import CountsAsking, EvoAsking, OneGoAsking
from pgkd.bench.pool import PoolGuide
from pgkd.distill.assembly import PAPER_SAMPLES, guide_of, texts_of_run, writing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.config import Config
    from pgkd.distill import Hooks, RunFolder
    from pgkd.distill.assembly import GuideMaker, Known
    from pgkd.distill.labelling import PoolWriter
    from pgkd.guidance import Asking, Guide
    from pgkd.task import Example, Task

    Folds = NDArray[np.int64]


@dataclass(frozen=True)
class Supplies:
    """What a guide of the bench may need beside the run.

    Attributes:
        pool: rows of the training file that the run does not have.
        counts: texts of every class that the arm's reference has kept, by round.
    """

    pool: Sequence[Example] = ()
    counts: Mapping[int, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """One way to spend the budget.

    Attributes:
        name: as grids name it.
        what: what it does, in a line.
        source: whose idea it is.
        asks: who answers: the teacher of the cell, the rows of the training file, or nobody.
        settings: over those of the grid, nested like pgkd.yaml.
        at_once: all texts in one round.
        guide: makes the guide; None takes the one that the settings describe.
        judged: which student is judged on the test rows.
        reference: the arm whose kept texts it copies the class counts of.
        labels: the teacher alone classifies test rows; nothing is distilled.
        shots: labelled rows that the teacher is shown when it classifies.
        pool: the rows that the run does not have are its pool of unlabelled texts.
    """

    name: str
    what: str
    source: str = "pgkd"
    asks: Literal["teacher", "rows", "nobody"] = "teacher"
    settings: Mapping[str, Any] = field(default_factory=dict)
    at_once: bool = False
    guide: Callable[[Supplies], GuideMaker] | None = None
    judged: Literal["best", "last"] = "best"
    reference: str | None = None
    labels: bool = False
    shots: int = 0
    pool: bool = False

    @property
    def named_by_teacher(self) -> bool:
        """Whether it differs from teacher to teacher."""
        return self.asks == "teacher" or self.reference is not None


def _one_go(supplies: Supplies, *, attributes: bool) -> GuideMaker:
    def asking(config: Config, task: Task, folds: Folds, known: Known) -> Asking:
        return OneGoAsking(
            task.taxonomy, writing_of(config, task),
            samples=texts_of_run(config, len(task.taxonomy), packs=False),
            per_request=4, attributes=attributes,
        )  # fmt: skip

    return partial(guide_of, asking=asking)


def _a_round(config: Config) -> int:
    return PAPER_SAMPLES if config.samples == "auto" else config.samples


def _evokd(supplies: Supplies) -> GuideMaker:
    def asking(config: Config, task: Task, folds: Folds, known: Known) -> Asking:
        return EvoAsking(
            writing_of(config, task), samples=_a_round(config), shown=config.guidance.mined
        )

    return partial(guide_of, asking=asking)


def _same_counts(supplies: Supplies) -> GuideMaker:
    def asking(config: Config, task: Task, folds: Folds, known: Known) -> Asking:
        return CountsAsking(writing_of(config, task), supplies.counts)

    return partial(guide_of, asking=asking)


def _pool(supplies: Supplies, *, by_margin: bool) -> GuideMaker:
    def guide(
        config: Config, task: Task, writer: PoolWriter, run: RunFolder, hooks: Hooks
    ) -> Guide:
        return PoolGuide(
            guide_of(config, task, writer, run, hooks), supplies.pool, task.taxonomy.names,
            writing_of(config, task), samples=_a_round(config), by_margin=by_margin,
        )  # fmt: skip

    return guide


_PAPER = "Di Palo et al., EMNLP 2024"
_NO_STOP: Mapping[str, Any] = {"patience": 10_000}
_ROWS: Mapping[str, Any] = {**_NO_STOP, "written_weight": 1.0, "curation": {"repairs": 0}}

_ALL = (
    Arm("alone", "the student of the labelled rows", asks="nobody",
        settings={"class_list": False}),
    Arm("class-list", "the student of the labelled rows and, where it helps, the class list",
        source="after SetFit, Tunstall et al., 2022", asks="nobody"),
    Arm("zero-shot", "the teacher classifies test rows", labels=True),
    Arm("few-shot", "the teacher classifies test rows, and is shown 16 labelled ones",
        labels=True, shots=16),
    Arm("one-shot", "all texts in one go, evenly, from the class name alone",
        source="after ZeroGen, Ye et al., EMNLP 2022", at_once=True,
        guide=partial(_one_go, attributes=False)),
    Arm("attributes", "the same, with attributes drawn for every text",
        source="after AttrPrompt, Yu et al., NeurIPS 2023", at_once=True,
        guide=partial(_one_go, attributes=True)),
    Arm("evokd", "a few right and wrong rows; no taxonomy, no report",
        source="after EvoKD, Liu et al., 2024", guide=_evokd,
        settings={"guidance": {"mode": "paper"}}),
    Arm("even", "the requests of `targeted`, spread evenly and blind to mistakes",
        settings={"guidance": {"allocation": "even"}}),
    Arm("paper", "the paper's one prompt a round", source=_PAPER,
        settings={"guidance": {"mode": "paper"}}),
    Arm("paper-no-report", "the paper's prompt without the report", source=f"{_PAPER}, Table 4",
        settings={"guidance": {"mode": "paper", "report": False}}),
    Arm("paper-no-hard-negatives", "the paper's prompt without hard negatives",
        source=f"{_PAPER}, Table 4",
        settings={"guidance": {"mode": "paper", "hard_negatives": False}}),
    Arm("targeted", "pgkd's default"),
    Arm("no-early-stopping", "`targeted`, all rounds, and the last student",
        settings=_NO_STOP, judged="last"),
    Arm("real-rows", "real rows with the class counts of the texts of `targeted`",
        asks="rows", reference="targeted", guide=_same_counts),
    Arm("random-rows", "as many real rows, drawn at random; they weigh as rows", asks="rows",
        settings=_ROWS, guide=partial(_pool, by_margin=False), judged="last"),
    Arm("uncertain-rows", "as many real rows, of the smallest margin; they weigh as rows",
        source="Scheffer et al., IDA 2001", asks="rows", settings=_ROWS,
        guide=partial(_pool, by_margin=True), judged="last"),
    Arm("pool-random", "the teacher labels texts of a pool, drawn at random", pool=True,
        settings={**_NO_STOP, "pool": {"share": 1.0, "choice": "random"}}, judged="last"),
    Arm("pool-guided", "the teacher labels texts of a pool that pgkd chooses", pool=True,
        source="after Bae et al., ICLR 2025", judged="last",
        settings={**_NO_STOP, "pool": {"share": 1.0, "choice": "guided"}}),
    Arm("pool-auto", "texts or labels of a pool, by which helped more for its cost", pool=True,
        settings=_NO_STOP, judged="last"),
)  # fmt: skip

ARMS: Mapping[str, Arm] = {arm.name: arm for arm in _ALL}
"""Every arm by its name. Another one is another line of the list."""
