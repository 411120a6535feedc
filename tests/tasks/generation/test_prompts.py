"""What the teacher is asked, and hostile replies."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from pgkd.tasks.common.learning import Judged
from pgkd.tasks.common.samples import SamplesPrompt
from pgkd.tasks.generation.config import GenerationConfig
from pgkd.tasks.generation.data import GenerationExample
from pgkd.tasks.generation.learner import GenerationLearner
from pgkd.tasks.generation.task import Generation
from pgkd.teachers.base import Reply
from tests.tasks.generation.conftest import pairs


def prompts_of(
    config: GenerationConfig, outputs: Sequence[str] | None = None
) -> list[SamplesPrompt]:
    """The prompts after a round whose student gave these outputs."""
    dataset = Generation().from_arrays(config, *pairs(24))
    learner, rows = GenerationLearner(config, dataset, (1.0,)), dataset.train
    given = outputs or [row.target.replace('"lamp"', '"fan"') for row in rows]
    answers = [{"output": output, "probability": i / 99} for i, output in enumerate(given)]
    mined = Judged(rows, tuple(answers), np.zeros(len(rows)))
    return learner.prompts(1, learner.evaluation(mined, mined, losses=mined.losses), ())


def test_the_weak_part_gets_more_and_its_mistakes_are_shown(config: GenerationConfig) -> None:
    prompts = prompts_of(config)
    asked = {name: sum(p.count for p in prompts if p.cell == name) for name in ("device", "state")}
    assert asked["device"] > asked["state"]
    assert sum(asked.values()) == config.texts
    text = prompts[0].request.messages[-1].content
    assert "The model wrongly answered" in text
    assert "wrong value" in text


def test_even_allocation_divides_evenly(settings: dict[str, Any]) -> None:
    config = GenerationConfig.parse({**settings, "guidance": {"allocation": "even"}})
    assert [prompt.count for prompt in prompts_of(config)] == [6, 6]


def test_a_prompt_shows_rows_of_one_fold_and_none_of_validation(config: GenerationConfig) -> None:
    dataset = Generation().from_arrays(config, *pairs(24))
    folds = GenerationLearner(config, dataset, (1.0,))._folds
    number = {row.id: int(fold) for row, fold in zip(dataset.train, folds, strict=True)}
    for prompt in prompts_of(config):
        assert len({number[row.id] for row in prompt.shown}) == 1
        text = prompt.request.messages[-1].content
        assert not any(row.text in text for row in dataset.validation)


GOOD = {"input": "kiwi lamp on moth", "output": '{"device": "lamp", "state": "on"}'}


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ("text", "wrong type"),
        ({}, "wrong type"),
        ({**GOOD, "input": ["a"]}, "wrong type"),
        ({**GOOD, "input": ""}, "no text"),
        ({**GOOD, "output": None}, "wrong type"),
        ({**GOOD, "output": "{"}, "invalid output"),
        ({**GOOD, "output": "[1]"}, "invalid output"),
        ({**GOOD, "output": "[" * 5000}, "invalid output"),
        ({**GOOD, "output": '{"a":' * 50}, "invalid output"),
        ({**GOOD, "output": '{"device": "lamp", "colour": "red"}'}, "invalid output"),
        ({**GOOD, "output": '{"device": 3, "state": "on"}'}, "invalid output"),
        ({**GOOD, "output": '{"device": "fan", "state": "on"}'}, "invalid output"),
        ({**GOOD, "output": '"\ud800"'}, "invalid output"),
    ],
)
def test_a_bad_item_is_rejected_with_a_reason(
    config: GenerationConfig, item: Any, reason: str
) -> None:
    found = prompts_of(config)[0].parse(Reply(json.dumps({"samples": [GOOD, item]}), "m"), 2)
    assert [row.text for row in found.accepted] == [GOOD["input"]]
    assert [fault.reason for fault in found.rejected] == [reason]


@pytest.mark.parametrize(
    "text",
    ["", "null", "{" * 100_000, "x" * 10_000_000, '{"samples": 3}', '{"samples": [[[]]]}', "\x00"],
)
def test_a_hostile_reply_raises_nothing(config: GenerationConfig, text: str) -> None:
    found = prompts_of(config)[0].parse(Reply(text, "m"), 2)
    assert not found.accepted
    assert found.rejected


def test_an_output_may_come_as_an_object(config: GenerationConfig) -> None:
    item = {**GOOD, "output": {"state": "on", "device": "lamp"}}
    (found,) = prompts_of(config)[0].parse(Reply(json.dumps({"samples": [item]}), "m"), 1).accepted
    assert isinstance(found, GenerationExample)
    assert json.loads(found.target) == {"device": "lamp", "state": "on"}
