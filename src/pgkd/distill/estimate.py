"""What a run will cost, before it costs anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pgkd.distill.assembly import (
    asking_of,
    folds_of,
    guide_of,
    label_asking_of,
    second_look_of,
    teacher_prices,
    writer_of,
)
from pgkd.distill.events import Hooks
from pgkd.distill.store import RunFolder
from pgkd.task import Example, Origin
from pgkd.teacher import FakeTeacher
from pgkd.teacher.account import BatchPrices
from pgkd.teacher.account.budget import most_tokens, prompt_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from decimal import Decimal

    from pgkd.config import Config
    from pgkd.distill.events import Round
    from pgkd.guidance import Ask
    from pgkd.guidance.base import Assessment
    from pgkd.task import Task
    from pgkd.teacher import Teacher
    from pgkd.teacher.account import Prices
    from pgkd.teacher.base import Request

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the label around each text of an answer
_A_DESCRIPTION = "Short messages that customers of a shop write to its support, about an order."
"""A sentence like the one with which a teacher describes a task."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What all rounds will use if none is left out, and every text that is asked for is kept.

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
    asks = list(_asks(config, task, assessment, config.rounds - labelling))
    requests = [(ask.request, ask.count) for ask in asks]
    look = second_look_of(config, task, teacher)
    if look is not None:
        requests += [(look.typical(text), 0) for ask in asks for text in _texts_of(ask, task)]
    if labelling:
        asked = label_asking_of(config, task, folds_of(config, task), scored=teacher.scores_choices)
        questions = asked.ask("r1", task.pool.texts[: config.samples], "")
        requests += [(ask.request, 0) for ask in questions] * labelling
        audited = min(config.pool.audited, len(task.train)) if config.pool.weight == "auto" else 0
        requests += [(questions[0].request, 0)] * audited
    return estimate(requests, [row.text for row in task.train], prices, teacher.model)


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


def _asks(config: Config, task: Task, assessment: Assessment, rounds: int) -> Iterator[Ask]:
    """The requests of all rounds, if the student stays weak where it is weak.

    What the teacher will say of the task in each is not known yet; a sentence stands for it.
    """
    guidance = config.guidance
    said = guidance.instructions or (_A_DESCRIPTION if guidance.describe else "")
    asking = asking_of(config, task, folds_of(config, task), lambda: said)
    written: list[Example] = []
    for number in range(1, rounds + 1):
        for ask in asking.ask(number, assessment, written):
            written += _texts_of(ask, task)
            yield ask


def _texts_of(ask: Ask, task: Task) -> list[Example]:
    """As many texts as are asked for, each as long as a real one."""
    texts = cycle(row.text for row in task.train)
    labels, origin = cycle(ask.labels), Origin(0, ask.id)
    return [Example(next(texts), next(labels), ask.id, origin) for _ in range(ask.count)]


def estimate(
    requests: Iterable[tuple[Request, int]], texts: Sequence[str], prices: Prices, model: str
) -> Estimate:
    """What requests will use.

    Args:
        requests: each with the number of texts that it asks for; 0 where a class is the answer.
        texts: real texts, as long as those that will be written.
        prices: of the teacher.
        model: that is asked.
    """
    length = sum(len(text.encode()) for text in texts) / len(texts) / _BYTES_A_TOKEN
    calls = prompts = answers = most = 0
    for request, count in requests:
        calls += 1
        prompts += prompt_bytes(request) // _BYTES_A_TOKEN
        answers += round(count * length + max(1, count) * _AROUND_A_TEXT)
        most += most_tokens(request)
    return Estimate(calls, prompts, answers, most, prices.cost(model, prompts, answers))
