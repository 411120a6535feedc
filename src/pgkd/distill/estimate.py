"""What a run will cost, before it costs anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgkd.distill.assembly import (
    asking_of,
    folds_of,
    guide_of,
    label_asking_of,
    teacher_prices,
    writer_of,
)
from pgkd.distill.events import Hooks
from pgkd.distill.store import RunFolder
from pgkd.teacher import FakeTeacher
from pgkd.teacher.account import BatchPrices
from pgkd.teacher.account.budget import most_tokens, prompt_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pgkd.config import Config
    from pgkd.distill.events import Round
    from pgkd.guidance import Ask
    from pgkd.guidance.base import Assessment
    from pgkd.task import Task
    from pgkd.teacher import Teacher
    from pgkd.teacher.account import Prices

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the label around each text of an answer
_A_DESCRIPTION = "Short messages that customers of a shop write to its support, about an order."
"""A sentence like the one with which a teacher describes a task."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all rounds will use if each asks like the first, and none is left out.

    Attributes:
        calls: requests, without repairs.
        input_tokens: of prompts, about.
        output_tokens: of answers, about.
        most_tokens: what a budget would reserve for all of them.
        usd: US dollars, about; None where no price is known.
    """

    calls: int
    input_tokens: int
    output_tokens: int
    most_tokens: int
    usd: Decimal | None

    def __add__(self, other: Estimate) -> Estimate:
        """Both together; no dollars where one of them has none."""
        both = self.usd is not None and other.usd is not None
        return Estimate(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.most_tokens + other.most_tokens,
            (self.usd or Decimal(0)) + (other.usd or Decimal(0)) if both else None,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; dollars as a decimal in words."""
        return {
            "calls": self.calls,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "most_tokens": self.most_tokens,
            "usd": None if self.usd is None else str(self.usd),
        }


class EstimateFirst(Hooks):
    """Works out what a run will cost when round 0 is over, before the teacher is first asked.

    Args:
        config: the settings of the run.
        task: that it is run on.
        teacher: who will be asked.
        told: hears it.
    """

    def __init__(
        self, config: Config, task: Task, teacher: Teacher, told: Callable[[Estimate], None]
    ) -> None:
        self._config = config
        self._task = task
        self._teacher = teacher
        self._told = told

    def on_round_end(self, finished: Round) -> None:
        """Tell it once."""
        if finished.number == 0:
            found = estimate_of(self._config, self._task, self._teacher, finished.assessment)
            self._told(found)


def estimate_of(config: Config, task: Task, teacher: Teacher, assessment: Assessment) -> Estimate:
    """What a run will use, from what its round 0 showed. No teacher is asked."""
    prices = teacher_prices(config, teacher)
    if config.teacher.batch:
        prices = BatchPrices(prices)
    labelling = _rounds_that_label(config, task)
    asks = _first_asks(config, task, assessment) if config.rounds > labelling else ()
    rows = [row.text for row in task.train]
    writing = estimate(asks, config.rounds - labelling, rows, prices, teacher.model)
    if not labelling:
        return writing
    asked = label_asking_of(config, task, folds_of(config, task), scored=teacher.scores_choices)
    texts = task.pool.texts[: config.samples]
    questions = asked.ask("r1", texts, "")
    return writing + estimate(questions, labelling, rows, prices, teacher.model)


def _rounds_that_label(config: Config, task: Task) -> int:
    """Rounds that ask for labels, about: every other one, where the run is to find it out."""
    share = 0.5 if config.pool.share == "auto" else config.pool.share
    return math.ceil(config.rounds * share) if task.pool.texts else 0


def round_zero(config: Config, task: Task) -> Assessment:
    """What round 0 of a run will show. Trains its student, and leaves nothing behind."""
    with TemporaryDirectory(prefix="pgkd-") as folder:
        run, hooks = RunFolder(Path(folder)), Hooks()
        writer = writer_of(config, task, FakeTeacher(), run, hooks)
        guide = guide_of(config, task, writer, run, hooks)
        return guide.assess(guide.train([]), [])


def _first_asks(config: Config, task: Task, assessment: Assessment) -> Sequence[Ask]:
    """The requests of round 1, but for what the teacher will say of the task in each."""
    guidance = config.guidance
    said = guidance.instructions or (_A_DESCRIPTION if guidance.describe else "")
    return asking_of(config, task, folds_of(config, task), lambda: said).ask(1, assessment, [])


def estimate(
    asks: Sequence[Ask], rounds: int, texts: Sequence[str], prices: Prices, model: str
) -> Estimate:
    """What `rounds` rounds of such requests will use.

    Args:
        asks: the requests of one round.
        rounds: rounds that will be run at most.
        texts: real texts, as long as those that will be written.
        prices: of the teacher.
        model: that is asked.
    """
    prompts = sum(prompt_bytes(ask.request) for ask in asks) // _BYTES_A_TOKEN
    length = sum(len(text.encode()) for text in texts) / len(texts) / _BYTES_A_TOKEN
    # A question is answered with a label alone.
    sizes = [ask.count * length if ask.question is None else 0 for ask in asks]
    answers = sum(
        round(size + ask.count * _AROUND_A_TEXT) for size, ask in zip(sizes, asks, strict=True)
    )
    most = sum(most_tokens(ask.request) for ask in asks)
    usd = prices.cost(model, prompts * rounds, answers * rounds)
    return Estimate(len(asks) * rounds, prompts * rounds, answers * rounds, most * rounds, usd)
