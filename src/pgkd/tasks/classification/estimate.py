"""What a run will cost, before it costs anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.task import Assessment
from pgkd.tasks.classification.assembly import (
    Known,
    asking_of,
    folds_of,
    label_asking_of,
    self_verification_of,
    teacher_prices,
)
from pgkd.tasks.classification.data.example import Example, Origin
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.exam import exam_calls
from pgkd.tasks.classification.feedback.mining import Mined
from pgkd.tasks.classification.prompts.glossary import Glossary, glossary_requests
from pgkd.tasks.classification.prompts.labelling import label_many_request, label_request
from pgkd.usage.budget import most_tokens, prompt_bytes
from pgkd.usage.prices import BatchPrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from decimal import Decimal

    from pgkd.config import Config
    from pgkd.tasks.classification.data.assembly import Task
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.teachers.base import Request, Teacher
    from pgkd.usage.prices import Prices

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the label around each text of an answer
_A_DESCRIPTION = "Short messages that customers of a shop write to its support, about an order."
"""A sentence like the one with which a teacher describes a task, or a class."""
_UNKNOWN = evaluate(np.empty((0, 2)), [], ("", " "))
_NOTHING_KNOWN = Assessment(_UNKNOWN, _UNKNOWN, Mined((), (), (), ()), np.empty(0))


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


def estimate_of(config: Config, task: Task, teacher: Teacher) -> Estimate:
    """What a run will use if the student is equally weak in all classes. No teacher is asked."""
    prices = teacher_prices(config, teacher)
    if config.teacher.batch:
        prices = BatchPrices(prices)
    labelling = _rounds_that_label(config, task)
    rows = [row.text for row in task.train]
    # What the examination will find is not known yet; a model on this machine is a small one.
    packs = not config.exam or teacher.biller is not None or teacher.concurrency > 1
    asks = list(_asks(config, task, config.rounds - labelling, packs=packs))
    requests = [(ask.request, ask.count) for ask in asks]
    if config.exam and config.rounds:
        n_rows, n_texts = min(config.exam, len(rows)), sum(ask.count for ask in asks)
        many, single = exam_calls(n_rows, n_texts, packs=packs)
        requests += [(label_many_request(rows[:16], task.taxonomy), 0)] * many
        requests += [(label_request(rows[0], task.taxonomy), 0)] * single
    if packs and asks and config.guidance.mode == "targeted":
        requests += [
            (request, len(task.taxonomy))
            for request in glossary_requests(task.taxonomy, task.train, "", seed=config.seed)
            if config.guidance.glossary == "auto"
        ]
    verification = self_verification_of(config, task, teacher)
    if verification is not None:
        requests += [
            (verification.typical(text), 0) for ask in asks for text in _texts_of(ask, task)
        ]
    if labelling:
        asked = label_asking_of(config, task, folds_of(config, task), scored=teacher.scores_choices)
        questions = asked.ask("r1", task.pool.texts[: config.pool.samples], "")
        requests += [(ask.request, 0) for ask in questions] * labelling
    return estimate(requests, rows, prices, teacher.model)


def _rounds_that_label(config: Config, task: Task) -> int:
    """Rounds that ask for labels, about: every other one, where the run is to find it out."""
    share = 0.5 if config.pool.share == "auto" else config.pool.share
    return math.ceil(config.rounds * share) if task.pool.texts else 0


def _asks(config: Config, task: Task, rounds: int, *, packs: bool) -> Iterator[Ask]:
    """The requests of all rounds; a sentence stands for what the teacher will say of the task."""
    about = config.guidance.instructions or _A_DESCRIPTION
    lines = dict.fromkeys(task.taxonomy.names, _A_DESCRIPTION) if packs else {}
    known = Known(lambda: Glossary(about, lines), lambda: packs)
    asking = asking_of(config, task, folds_of(config, task), known)
    written: list[Example] = []
    for number in range(1, rounds + 1):
        for ask in asking.ask(number, _NOTHING_KNOWN, written):
            written += _texts_of(ask, task, number)
            yield ask


def _texts_of(ask: Ask, task: Task, number: int = 0) -> list[Example]:
    """As many texts as are asked for, each as long as a real one."""
    texts = cycle(row.text for row in task.train)
    labels, origin = cycle(ask.labels), Origin(number, ask.id)
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
