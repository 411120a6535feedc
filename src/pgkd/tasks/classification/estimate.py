"""What a run will cost, before it costs anything."""

from __future__ import annotations

import math
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from pgkd.task import Origin
from pgkd.tasks.classification.assembly import (
    LearnerParts,
    PromptContext,
    make_folds,
    make_self_verification,
    make_strategy,
)
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.evaluation.metrics import evaluate
from pgkd.tasks.classification.feedback.acquisition import LabelPrompts
from pgkd.tasks.classification.feedback.examination import exam_calls
from pgkd.tasks.classification.feedback.mining import ClassifierEvaluation, Mined
from pgkd.tasks.classification.prompts.glossary import Glossary, glossary_requests
from pgkd.tasks.classification.prompts.labelling import label_many_request, label_request
from pgkd.tasks.classification.prompts.writing import WritePrompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pgkd.tasks.classification.config import ClassificationConfig
    from pgkd.tasks.classification.data.dataset import TextDataset
    from pgkd.teachers.base import Request, Teacher

_BYTES_A_TOKEN = 4  # of usual prose in the usual vocabularies
_AROUND_A_TEXT = 16  # tokens of JSON and of the label around each text of an answer
_A_DESCRIPTION = "Short messages that customers of a shop write to its support, about an order."
"""A sentence like the one with which a teacher describes a dataset, or a class."""
_UNKNOWN = evaluate(np.empty((0, 2)), [], ("", " "))
_NOTHING_KNOWN = ClassifierEvaluation(np.empty(0), _UNKNOWN, _UNKNOWN, Mined((), (), (), ()))


def list_requests(
    config: ClassificationConfig,
    dataset: TextDataset,
    teacher: Teacher,
    parts: LearnerParts | None = None,
) -> list[tuple[Request, int]]:
    """The requests of a run if the student is equally weak in all classes; see `Task.estimate`."""
    labelling = _rounds_that_label(config, dataset)
    rows = [row.text for row in dataset.train]
    # What the examination will find is not known yet; a model on this machine is a small one.
    packs = not config.exam or teacher.biller is not None or teacher.concurrency > 1
    parts = parts or LearnerParts()
    prompts = list(_prompts(config, dataset, config.rounds - labelling, parts, packs=packs))
    requests = [(prompt.request, prompt.count) for prompt in prompts]
    if config.exam and config.rounds:
        n_rows, n_texts = min(config.exam, len(rows)), sum(prompt.count for prompt in prompts)
        many, single = exam_calls(n_rows, n_texts, packs=packs)
        requests += [(label_many_request(rows[:16], dataset.taxonomy), 0)] * many
        requests += [(label_request(rows[0], dataset.taxonomy), 0)] * single
    if packs and prompts and config.guidance.mode == "targeted":
        requests += [
            (request, len(dataset.taxonomy))
            for request in glossary_requests(dataset.taxonomy, dataset.train, "", seed=config.seed)
            if config.guidance.glossary == "auto"
        ]
    verification = make_self_verification(config, dataset, teacher)
    if verification is not None:
        requests += [
            (verification.typical(text), 0)
            for prompt in prompts
            for text in _texts_of(prompt, dataset)
        ]
    if labelling:
        asked = LabelPrompts(dataset.taxonomy, scored=teacher.scores_choices, seed=config.seed)
        questions = asked.prompts("r1", dataset.pool.texts[: config.pool.samples], "")
        requests += [(prompt.request, 0) for prompt in questions] * labelling
    return requests


def _rounds_that_label(config: ClassificationConfig, dataset: TextDataset) -> int:
    """Rounds that ask for labels, about: every other one, where the run is to find it out."""
    share = 0.5 if config.pool.share == "auto" else config.pool.share
    return math.ceil(config.rounds * share) if dataset.pool.texts else 0


def _prompts(
    config: ClassificationConfig,
    dataset: TextDataset,
    rounds: int,
    parts: LearnerParts,
    *,
    packs: bool,
) -> Iterator[WritePrompt]:
    """The requests of all rounds; a sentence stands for what the teacher will say."""
    about = config.guidance.instructions or _A_DESCRIPTION
    lines = dict.fromkeys(dataset.taxonomy.names, _A_DESCRIPTION) if packs else {}
    known = PromptContext(lambda: Glossary(about, lines), lambda: packs)
    strategy = make_strategy(config, dataset, make_folds(config, dataset), known, parts)
    synthetic: list[LabelledText] = []
    for number in range(1, rounds + 1):
        for prompt in strategy.prompts(number, _NOTHING_KNOWN, synthetic):
            synthetic += _texts_of(prompt, dataset, number)
            yield prompt


def _texts_of(prompt: WritePrompt, dataset: TextDataset, number: int = 0) -> list[LabelledText]:
    """As many texts as are asked for, each as long as a real one."""
    texts = cycle(row.text for row in dataset.train)
    labels, origin = cycle(prompt.labels), Origin(number, prompt.id)
    return [LabelledText(next(texts), next(labels), prompt.id, origin) for _ in range(prompt.count)]
