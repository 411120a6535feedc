"""A run with a pool: what is labelled, what it weighs, what it costs, and what is never done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd import PGKDClassifier
from pgkd.config import merge
from pgkd.distiller import Distiller
from pgkd.errors import RunError, TeacherRequestError
from pgkd.events import Event, Hooks
from pgkd.runs.folder import RunFolder
from pgkd.tasks.classification.assembly import make_learner, make_synthesizer
from pgkd.tasks.classification.config import ClassificationConfig as Config
from pgkd.tasks.classification.data.dataset import TextDataset
from pgkd.tasks.classification.events import PoolRead
from pgkd.tasks.classification.feedback.examination import Exam, Share
from pgkd.tasks.classification.task import with_pool
from pgkd.teachers.base import Reply
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.estimate import Estimate
from tests.behaviour.test_resume import CutOff, students
from tests.conftest import TOPICS, calls_of, make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.teachers.base import Request

ROWS = make_rows(10)
WORDS = {word: label for label, words in TOPICS.items() for word in words.split()}


def pool_texts(n: int = 40) -> list[str]:
    """Texts like the rows, and near none of them."""
    rng = np.random.default_rng(5)
    names = sorted(TOPICS)
    fillers = ["tomorrow", "yesterday", "perhaps", "someone", "nothing", "kindly", "indeed"]
    return [
        " ".join(
            [*rng.choice(fillers, 3), *rng.choice(TOPICS[names[i % 4]].split(), 4), f"number{i}"]
        )
        for i in range(n)
    ]


def truth(text: str) -> str:
    return next(WORDS[word] for word in text.replace(",", " ").split() if word in WORDS)


def knowing(request: Request) -> str | Reply:
    """A teacher that labels rightly, and writes as the fake one does."""
    if request.purpose not in ("label", "exam") or "Text: " not in request.messages[-1].content:
        return FakeTeacher().complete(request)
    text = request.messages[-1].content.partition("Text: ")[2].partition("\n\n")[0]
    return Reply(json.dumps({"label": truth(text)}), "m", 20, 4, logprob=-0.1)


def labels_only(config: Config, **pool: Any) -> Config:
    return Config.parse(merge(config.model_dump(), {"pool": {"share": 1.0, **pool}}))


def distil(config: Config, teacher: Any, **how: Any) -> RunFolder:
    texts = how.pop("unlabelled", pool_texts())
    return Distiller(config, teacher=teacher, **how).fit(*ROWS, unlabelled=texts).run_


def journal(run: RunFolder, event: str) -> list[dict[str, Any]]:
    return [line for line in run.read_lines("journal.jsonl") if line["event"] == event]


def test_labelled_texts_are_the_users_own_under_the_teachers_label(
    config: Config,
) -> None:
    run = distil(labels_only(config), FakeTeacher(knowing))
    kept = run.synthetic()
    assert len(kept) == 12  # two rounds of six
    assert {text.text for text in kept} <= set(pool_texts())
    assert len({text.id for text in kept}) == 12
    assert all(text.label == truth(text.text) for text in kept)
    for text in kept:
        assert text.origin is not None
        assert text.origin.labelled
        assert text.origin.confidence == pytest.approx(np.exp(-0.1))
        assert not text.is_synthetic
        assert not text.is_real
    calls = calls_of(run)
    assert [call.purpose for call in calls] == ["label"] * 12
    assert [call.round for call in calls] == [1] * 6 + [2] * 6


def worth_of(run: RunFolder) -> float:
    """What the examination says a label is worth."""
    return float(journal(run, "teacher examined")[-1]["worth"])


def test_the_rows_say_what_labels_weigh(config: Config) -> None:
    right = distil(labels_only(config), FakeTeacher(knowing), exam=24)
    assert worth_of(right) > 0.8
    weights = [r["labelled_weight"] for r in right.read_json("result.json")["rounds"]]
    assert weights[0] is None
    assert weights[1:] == pytest.approx([worth_of(right)] * 2, abs=1e-4)
    assert right.read_json("result.json")["rounds"][1]["synthetic_weight"] is None


def test_labels_that_are_worth_nothing_weigh_next_to_nothing(config: Config) -> None:
    same = json.dumps({"label": "account"})
    run = distil(labels_only(config), FakeTeacher(lambda request: same), exam=24)
    assert worth_of(run) < 0.05  # a quarter of the rows, as chance has it
    assert run.read_json("result.json")["rounds"][1]["labelled_weight"] == 0.05


def test_a_weight_that_is_given_is_taken(config: Config) -> None:
    run = distil(labels_only(config, weight=0.5), FakeTeacher(knowing))
    assert run.read_json("result.json")["rounds"][1]["labelled_weight"] == 0.5


@pytest.mark.parametrize(
    ("right", "asked", "classes", "low", "high"),
    [(32, 32, 77, 0.9, 1.0), (16, 32, 77, 0.2, 0.3), (8, 32, 4, 0, 0.01), (0, 32, 4, 0, 0)],
)
def test_the_worth_follows_the_agreement_beyond_chance(
    right: int, asked: int, classes: int, low: float, high: float
) -> None:
    exam = Exam(Share(right, asked), None, packs=True, n_classes=classes)
    assert low <= exam.worth <= high


def test_labels_teach_what_no_row_says(config: Config) -> None:
    texts = [f"the zorg {word} number{i}" for i, word in enumerate(sorted(WORDS))]
    teacher = FakeTeacher(lambda request: '{"label": "delivery"}')
    run = distil(labels_only(config, weight=1.0, samples=12), teacher, unlabelled=texts)
    column = run.dataset().taxonomy.index["delivery"]
    shares = [
        run.student(which).predict_proba(["another zorg"])[0, column] for which in ("first", "last")
    ]
    assert shares[1] > shares[0] + 0.1


class Heard(Hooks):
    texts: tuple[str, ...] = ()

    def on_event(self, event: Event) -> None:
        if isinstance(event, PoolRead):
            self.texts = tuple(text.text for text in event.pool.texts)


def test_no_text_near_a_validation_row_is_asked_for_or_trained_on(
    config: Config,
) -> None:
    """The trap: it would flatter every round that is judged on the row."""
    first = distil(labels_only(config), FakeTeacher(knowing))
    held = [row["text"] for row in first.read_json("task.json")["validation"]]
    near = [text.replace("case", "Case").replace(":", " -") + "!" for text in held]
    own = pool_texts(3)
    heard, fake = Heard(), FakeTeacher(knowing)
    run = distil(
        labels_only(config), fake, unlabelled=[*near, *held, *own], hooks=[heard], rounds=1,
        out=str(config.out) + "-2",
    )  # fmt: skip
    assert heard.texts == tuple(own)
    assert {text.text for text in run.synthetic()} == set(own)
    sent = "".join(m.content for request in fake.requests for m in request.messages)
    assert not any(text in sent for text in (*near, *held))
    [read] = journal(run, "pool read")
    assert read["texts"] == 3
    assert read["rejected"] == {"matches a validation row": len(near) + len(held)}


@pytest.mark.parametrize(
    ("share", "after"),
    [
        ("auto", 8),
        (1.0, 5),
        pytest.param("auto", 5, marks=pytest.mark.slow),
        pytest.param("auto", 14, marks=pytest.mark.slow),
        pytest.param(1.0, 12, marks=pytest.mark.slow),
        pytest.param(1.0, 20, marks=pytest.mark.slow),
    ],
)
def test_a_resumed_run_ends_as_an_uninterrupted_one(
    config: Config, tmp_path: Path, after: int, share: Any
) -> None:
    config = labels_only(config, share=share)
    whole = distil(config, FakeTeacher(knowing), out=tmp_path / "whole", rounds=4)
    asked = len(calls_of(whole))
    cut, fake = CutOff(after), FakeTeacher(knowing)
    cut.fake = FakeTeacher(knowing)
    with pytest.raises(SystemExit):
        distil(config, cut, rounds=4)
    run = distil(config, fake, rounds=4)
    assert len(fake.requests) == asked - after
    assert students(run.path) == students(whole.path)
    for name in ("examples.jsonl", "result.json"):
        assert (run.path / name).read_text() == (whole.path / name).read_text()


def test_another_pool_is_another_run(config: Config) -> None:
    distil(labels_only(config), FakeTeacher(knowing))
    with pytest.raises(RunError, match=r"unlabelled: 40 texts \(\w+\) then, 39 texts"):
        distil(labels_only(config), FakeTeacher(knowing), unlabelled=pool_texts()[1:])
    with pytest.raises(RunError, match=r"unlabelled: 40 texts \(\w+\) then, none now"):
        distil(labels_only(config), FakeTeacher(knowing), unlabelled=[])


def test_without_a_share_both_ways_are_tried(config: Config) -> None:
    run = distil(config, FakeTeacher(knowing), rounds=3)
    kinds = {
        number: {
            text.is_synthetic
            for text in run.synthetic()
            if text.origin and text.origin.round == number
        }
        for number in (1, 2, 3)
    }
    assert kinds[1] == {False}
    assert kinds[2] == {True}
    assert len(kinds[3]) == 1


def test_an_empty_pool_leaves_the_rounds_to_writing(config: Config) -> None:
    run = distil(labels_only(config), FakeTeacher(knowing), unlabelled=pool_texts(4), rounds=2)
    assert [text.is_synthetic for text in run.synthetic()][:4] == [False] * 4
    assert all(text.is_synthetic for text in run.synthetic()[4:])
    assert len(run.synthetic()) > 4


def test_a_text_that_the_teacher_refuses_or_mislabels_is_dropped_and_not_asked_again(
    config: Config,
) -> None:
    seen: list[str] = []

    def answer(request: Request) -> Any:
        seen.append(request.messages[-1].content)
        if len(seen) == 2:
            return TeacherRequestError("content filter")
        return '{"label": "no such class"}' if len(seen) == 3 else knowing(request)

    run = distil(labels_only(config, weight=1.0), FakeTeacher(answer))
    assert len(run.synthetic()) == 10
    drops = list(run.read_lines("rejected.jsonl"))
    assert [drop["reason"] for drop in drops] == ["the teacher names no class"] * 2
    assert len(set(seen)) == len(seen) == 12


def test_a_budget_ends_labelling_with_what_it_bought(config: Config) -> None:
    config = labels_only(config, weight=1.0)
    spent = Distiller(config, teacher=FakeTeacher(knowing), budget={"calls": 8})
    outcome = spent.fit(*ROWS, unlabelled=pool_texts()).outcome_
    assert outcome.stopped_by == "budget"
    assert [done.accepted for done in outcome.rounds] == [0, 6, 2]


def estimated(config: Config, dataset: TextDataset) -> Estimate:
    return Distiller(config, teacher=FakeTeacher()).estimate(dataset)


def test_the_estimate_knows_of_questions(config: Config) -> None:
    task = with_pool(config, *_task_and_pool(config))
    labelling = estimated(labels_only(config, weight=1.0), task)
    assert labelling.calls == 12
    run = distil(labels_only(config, weight=1.0), FakeTeacher(knowing))
    assert len(calls_of(run)) == labelling.calls
    both = estimated(config, task)
    assert 6 < both.calls < 12  # a round of each: six labels, and three requests with the glossary


def _task_and_pool(config: Config) -> Any:
    from pgkd.tasks.classification.data.dataset import dataset_from_arrays
    from pgkd.tasks.classification.data.pool import make_pool

    return dataset_from_arrays(*ROWS, seed=config.seed), make_pool(pool_texts())


def test_the_estimator_takes_texts_without_labels() -> None:
    made = PGKDClassifier(
        FakeTeacher(knowing), student="linear", rounds=1, samples=4, unlabelled=pool_texts()
    )
    made.fit(*ROWS)
    assert made.outcome_.rounds[-1].evaluation.to_json()["labelled_weight"] is not None


def test_a_guide_of_a_task_without_a_pool_is_the_plain_one(config: Config, tmp_path: Path) -> None:
    task, _ = _task_and_pool(config)
    run = RunFolder(tmp_path)
    synthesizer = make_synthesizer(config, task, FakeTeacher(), run, Hooks())
    assert (
        type(make_learner(config, task, synthesizer, run, Hooks())).__name__
        == "ClassificationLearner"
    )
