"""A whole run: it learns, resumes where it was killed, and a weak teacher does no harm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pgkd import RunFolder
from pgkd.errors import DataError
from pgkd.tasks.pairs.task import Pairs
from pgkd.teachers.base import Request
from tests.tasks.pairs.conftest import distil, make_labelled, make_scored, right, weak


def figures(run: RunFolder, which: str = "best", make: Any = make_labelled) -> dict[str, float]:
    """Of a student on new pairs."""
    task = Pairs()
    rows = task.from_arrays(task.config(), *make(200, seed=9)).train
    return task.figures(run.student(which).answers([task.input(row) for row in rows]), rows)


def files(run: RunFolder) -> dict[str, bytes]:
    names = [f"students/{w}/{f}" for w in ("best", "last") for f in STUDENT]
    return {
        name: (run.path / name).read_bytes() for name in ("examples.jsonl", "result.json", *names)
    }


STUDENT = ("student.json", "head.safetensors")


def test_it_runs_and_its_pairs_teach(settings: dict[str, Any]) -> None:
    data = make_labelled(12)
    alone = distil(settings, data=data, rounds=0, out=settings["out"] + "0")
    run = distil(settings, data=data, texts=160)
    result = run.read_json("result.json")
    assert [line["asked"] for line in result["rounds"]] == [0, 80, 80]
    assert run.synthetic()[0].origin.round == 1
    assert figures(run, "last")["accuracy"] > figures(alone)["accuracy"] + 0.05


def test_scores_have_intervals_that_cover(settings: dict[str, Any]) -> None:
    run = distil(settings, data=make_scored(100), rounds=1, texts=20)
    found = figures(run, make=make_scored)
    assert 0.8 <= found["coverage"] <= 0.98
    assert found["spearman"] > 0.2
    [answer] = run.student("best").answers([("invoice fee", "card price")])
    assert 0 <= answer["low"] <= answer["score"] <= answer["high"] <= 4
    cells = run.read_json("result.json")["rounds"][0]["validation"]["cells"]
    assert [cell["name"] for cell in cells][:2] == ["0 to 0.8", "0.8 to 1.6"]


def test_a_weak_teacher_does_no_harm(settings: dict[str, Any]) -> None:
    alone = distil(settings, rounds=0, out=settings["out"] + "0")
    run = distil(settings, weak, texts=80)
    assert run.read_json("result.json")["rounds"][-1]["synthetic_weight"] == 0.1
    assert figures(run)["accuracy"] > figures(alone)["accuracy"] - 0.04


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> dict[str, bytes]:
    return files(distil(fixed(tmp_path_factory.mktemp("whole"), tiny_encoder)))


def fixed(folder: Path, encoder: Path) -> dict[str, Any]:
    """A run of ten calls."""
    return {
        "task": "pairs", "rounds": 2, "patience": 9, "texts": 36, "out": str(folder / "run"),
        "student": {"encoder": str(encoder), "recipe": "frozen"},
        "guidance": {"folds": 2, "texts_per_request": 4}, "teacher": {"concurrency": 1},
    }  # fmt: skip


@pytest.mark.parametrize("calls", range(10))
def test_killed_at_any_call_it_ends_as_if_it_had_not_been(
    tmp_path: Path, tiny_encoder: Path, calls: int, whole: dict[str, bytes]
) -> None:
    settings, made, again = fixed(tmp_path, tiny_encoder), list[str](), list[str]()

    def cut(request: Request) -> str:
        if len(made) == calls:
            raise SystemExit
        made.append(request.id)
        return right(request)

    with pytest.raises(SystemExit):
        distil(settings, cut)
    run = distil(settings, lambda request: again.append(request.id) or right(request))  # type: ignore[func-returns-value]
    assert files(run) == whole
    assert not set(made) & set(again)  # nothing is paid twice


def test_people_correct_its_pairs(settings: dict[str, Any]) -> None:
    run = distil(settings, data=make_scored(40), rounds=1, texts=8)
    first = run.synthetic()[0]
    learner = Pairs().retrainer(run, run.config(), run.dataset(), run.student("best"))
    revised = first.revised(None, "2.5")
    assert (revised.score, revised.text_pair, revised.human_verified) == (
        2.5,
        first.text_pair,
        True,
    )
    learner.evaluate(learner.train([revised]), [revised])
    with pytest.raises(DataError, match="is no score"):
        first.revised(None, "high")
    with pytest.raises(DataError, match=r"score 77.0 is not from 0 to 4"):
        learner.train([first.revised(None, "77")])


def test_a_student_is_read_as_it_was_written(settings: dict[str, Any]) -> None:
    run = distil(settings, rounds=0)
    pairs = make_labelled(10, seed=3)[0]
    student = run.student("best")
    answers = student.answers(pairs)
    assert answers == student.answers(pairs[::-1])[::-1]
    assert answers[0]["probability"] == max(answers[0]["probabilities"].values())
    assert json.loads(json.dumps(answers)) == answers
    assert Pairs().output(answers[0]) in ("billing", "other")


def test_figures_are_those_of_the_field() -> None:
    task = Pairs()
    labels = ["a", "a", "b", "c"]
    rows = task.from_arrays(
        task.config(), [(f"text {i}", "x") for i in range(12)], labels * 3
    ).train
    answers = [{"label": label} for label in ["a", "b", "b", "b"] * 3]
    found = task.figures(answers, rows)
    assert found["accuracy"] == 0.5
    assert found["macro_f1"] == pytest.approx((2 / 3 + 0.5 + 0) / 3)
    scores = np.array([0.5, 1, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1])
    rows = task.from_arrays(task.config(), [(f"text {i}", "x") for i in range(12)], scores).train
    same = [{"score": s, "low": s, "high": s + (s > 1)} for s in scores.tolist()]
    assert task.figures(same, rows) == pytest.approx(
        {"mae": 0, "spearman": 1, "pearson": 1, "coverage": 1}
    )
