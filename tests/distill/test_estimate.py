"""The estimate before a run: nothing is asked, and it is near what the run then uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pgkd.config import Config, merge
from pgkd.distill import Distiller
from pgkd.task import task_from_arrays
from pgkd.teacher import FakeTeacher
from tests.conftest import calls_of, make_rows

TASK = task_from_arrays(*make_rows(10), seed=0)


def merged(config: Config, **settings: Any) -> Config:
    return Config.parse(merge(config.model_dump(), settings))


def test_it_asks_nobody_and_leaves_nothing(config: Config) -> None:
    teacher = FakeTeacher()
    prices = {"price_input": 1_000_000, "price_output": 2_000_000}
    found = Distiller(merged(config, teacher=prices), teacher=teacher).estimate(TASK)
    assert teacher.requests == []
    assert not Path(str(config.out)).exists()
    assert found.usd == found.input_tokens + 2 * found.output_tokens


def test_an_unknown_price_stays_unknown(config: Config) -> None:
    teacher = FakeTeacher(model="a model of ours")
    teacher.biller = "openai"
    assert Distiller(config, teacher=teacher).estimate(TASK).usd is None
    assert Distiller(config, teacher=teacher, rounds=0).estimate(TASK).calls == 0


def test_calls_and_tokens_are_those_of_the_run(config: Config) -> None:
    found = Distiller(config, teacher=FakeTeacher()).estimate(TASK)
    run = Distiller(config, teacher=FakeTeacher()).fit_task(TASK).run_
    asked = [call for call in calls_of(run) if call.purpose == "write"]
    assert found.calls == len(asked)
    sent = sum(len(m["content"]) for call in asked for m in call.request["messages"])
    assert 0.5 < found.input_tokens / (sent / 4) < 2
    assert found.most_tokens > found.input_tokens + found.output_tokens
