"""The estimate before a run: nothing is asked, and it is near what the run then uses."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.config import Config, merge
from pgkd.distiller import Distiller
from pgkd.events import Hooks
from pgkd.tasks.classification.data.dataset import dataset_from_arrays
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of, make_rows

if TYPE_CHECKING:
    from pgkd.usage.estimate import Estimate

TASK = dataset_from_arrays(*make_rows(10), seed=0)


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
    run = Distiller(config, teacher=FakeTeacher()).fit_dataset(TASK).run_
    asked = [call for call in calls_of(run) if call.purpose in ("write", "glossary")]
    assert found.calls == len(asked)
    sent = sum(len(m["content"]) for call in asked for m in call.request["messages"])
    assert 0.5 < found.input_tokens / (sent / 4) < 2
    assert found.most_tokens > found.input_tokens + found.output_tokens


def test_self_verification_is_foreseen(config: Config) -> None:
    config = merged(config, curation={"self_verification": True})
    found = Distiller(config, teacher=FakeTeacher()).estimate(TASK)
    run = Distiller(config, teacher=FakeTeacher()).fit_dataset(TASK).run_
    asked = [call for call in calls_of(run) if call.purpose in ("write", "glossary", "label")]
    assert found.calls == len(asked)
    sent = sum(len(m["content"]) for call in asked for m in call.request["messages"])
    assert 0.5 < found.input_tokens / (sent / 4) < 2


class Told(Hooks):
    """Remembers the estimate, and how many requests a teacher had seen by then."""

    def __init__(self, teacher: FakeTeacher) -> None:
        self.teacher = teacher
        self.told: list[tuple[Estimate, int]] = []

    def on_estimate(self, estimate: Estimate) -> None:
        self.told.append((estimate, len(self.teacher.requests)))


def test_a_run_tells_it_before_it_asks_a_teacher_that_bills(config: Config) -> None:
    config = merged(config, teacher={"cache": "off"})
    teacher = FakeTeacher(model="gpt-4o-mini")
    teacher.biller = "openai"
    hook = Told(teacher)
    run = Distiller(config, teacher=teacher, hooks=[hook]).fit_dataset(TASK).run_
    expected = Distiller(config, teacher=teacher).estimate(TASK)
    assert hook.told == [(expected, 0)]
    assert expected.usd is not None
    assert expected.usd > 0
    [noted] = [line for line in run.read_lines("journal.jsonl") if line["event"] == "estimated"]
    assert noted["calls"] == expected.calls
    Distiller(config, teacher=teacher, hooks=[hook]).fit_dataset(TASK)  # again: all is paid
    assert len(hook.told) == 1


def test_what_costs_nothing_needs_no_estimate(config: Config) -> None:
    hook = Told(FakeTeacher())
    Distiller(config, teacher=hook.teacher, hooks=[hook]).fit_dataset(TASK)
    assert hook.told == []


def test_batches_cost_half(config: Config) -> None:
    prices = {"price_input": 1, "price_output": 2}
    whole = Distiller(merged(config, teacher=prices), teacher=FakeTeacher()).estimate(TASK)
    half = merged(config, teacher={**prices, "batch": True})
    found = Distiller(half, teacher=FakeTeacher()).estimate(TASK)
    assert whole.usd is not None
    assert found.usd == whole.usd / 2
