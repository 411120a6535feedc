"""From decisions to training rows, to the next round, and to a student of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.distiller import Distiller
from pgkd.errors import RunError
from pgkd.events import Hooks, Round
from pgkd.runs.folder import RunFolder
from pgkd.runs.retraining import retrain
from pgkd.runs.review import Decision, Reviews, applied, dropped_texts
from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelledText
from pgkd.tasks.classification.feedback.cross_validation import row_weights
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher
from tests.behaviour.test_resume import students
from tests.conftest import TOPICS, calls_of, make_rows

if TYPE_CHECKING:
    from pgkd.config import Config

ROWS = make_rows(10)
WRITTEN = [
    LabelledText(f"written {i}", "billing", f"r1-0001-{i}", Origin(1, "r1-0001", ("train:1",)))
    for i in range(5)
]


def decisions(**kinds: dict[str, Any]) -> dict[str, Decision]:
    made = [
        Decision(f"r1-0001-{i[1:]}", by="ann", time="", **fields) for i, fields in kinds.items()
    ]
    return {decision.id: decision for decision in made}


def test_rejected_texts_go_and_the_others_are_as_people_left_them() -> None:
    found = applied(
        WRITTEN,
        decisions(
            _0={"kind": "accept"},
            _1={"kind": "reject"},
            _2={"kind": "relabel", "label": "delivery"},
            _3={"kind": "edit", "text": "better words"},
        ),
    )
    assert [(row.id[-1], row.label, row.text, row.human_verified) for row in found] == [
        ("0", "billing", "written 0", True),
        ("2", "delivery", "written 2", True),
        ("3", "billing", "better words", True),
        ("4", "billing", "written 4", False),
    ]
    assert all(row.origin == WRITTEN[0].origin for row in found)  # parents stay, for the folds


def test_a_person_vouches_with_the_weight_of_a_row() -> None:
    real = LabelledText("mine", "billing", "train:1")
    human_verified = applied(WRITTEN[:1], decisions(_0={"kind": "accept"}))
    assert row_weights([real, *human_verified, WRITTEN[1]], 0.05).tolist() == [1.0, 1.0, 0.05]


def test_who_vouches_is_no_part_of_a_row_on_disk() -> None:
    [human_verified] = applied(WRITTEN[:1], decisions(_0={"kind": "accept"}))
    assert human_verified.to_json() == WRITTEN[0].to_json()


class Reviewer(Hooks):
    """Decides on a text of each round when the round has ended."""

    def __init__(self, run: Path, until: int = 9) -> None:
        self.run, self.until = run, until

    def on_round_end(self, finished: Round) -> None:
        if 1 <= finished.number <= self.until:
            reviews = Reviews(self.run, TOPICS)
            kept = [row for row in RunFolder(self.run).synthetic() if row.origin]
            mine = [row for row in kept if row.origin and row.origin.round == finished.number]
            reviews.decide(mine[0].id, "reject", "ann")
            reviews.decide(mine[1].id, "relabel", "ann", label="product")


def out_of(config: Config) -> Path:
    return Path(str(config.out))


def test_the_next_round_uses_decisions_and_a_resumed_run_the_same_ones(
    config: Config, tmp_path: Path
) -> None:
    plain = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "plain", rounds=3).fit(*ROWS)
    reviewer = Reviewer(tmp_path / "whole")
    whole = Distiller(
        config, teacher=FakeTeacher(), hooks=[reviewer], out=tmp_path / "whole", rounds=3
    ).fit(*ROWS)
    assert students(whole.run_.path) != students(plain.run_.path)
    assert whole.run_.read_json("result.json")["rounds"][2]["synthetic"] == 12  # as written
    before, result = students(whole.run_.path), whole.run_.read_json("result.json")
    # All decisions are there from the start now; each round has to take those of its time.
    fake = FakeTeacher()
    again = Distiller(config, teacher=fake, out=tmp_path / "whole", rounds=3).fit(*ROWS)
    assert fake.requests == []
    assert students(again.run_.path) == before
    assert again.run_.read_json("result.json") == result


class CutOffIn(Teacher):
    """Dies before its first call of a round."""

    def __init__(self, round_: int) -> None:
        self.fake, self.round = FakeTeacher(), round_

    def complete(self, request: Request) -> Reply:
        if request.id.startswith(f"r{self.round}-"):
            raise SystemExit("cut off")
        return self.fake.complete(request)


def test_a_run_cut_off_after_a_review_ends_as_one_that_was_not(
    config: Config, tmp_path: Path
) -> None:
    whole = Distiller(
        config, teacher=FakeTeacher(), hooks=[Reviewer(tmp_path / "whole", until=1)],
        out=tmp_path / "whole", rounds=3,
    ).fit(*ROWS)  # fmt: skip
    cut = Distiller(
        config, teacher=CutOffIn(3), hooks=[Reviewer(tmp_path / "cut", until=1)],
        out=tmp_path / "cut", rounds=3,
    )  # fmt: skip
    with pytest.raises(SystemExit):
        cut.fit(*ROWS)
    run = Distiller(config, teacher=FakeTeacher(), out=tmp_path / "cut", rounds=3).fit(*ROWS).run_
    assert students(run.path) == students(whole.run_.path)
    assert run.read_json("result.json") == whole.run_.read_json("result.json")


def test_decisions_on_a_run_of_an_older_pgkd_do_not_change_its_rounds(config: Config) -> None:
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    before, calls = students(run.path), len(calls_of(run))
    (run.path / "reviews.jsonl").unlink()  # an older pgkd pinned nothing
    for row in run.synthetic():
        Reviews(run.path).decide(row.id, "reject", "ann")
    again = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    assert students(again.path) == before
    assert len(calls_of(again)) == calls


def test_retraining_needs_a_decision(config: Config) -> None:
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    with pytest.raises(RunError, match="Nobody has decided"):
        retrain(run)
    Reviews(run.path).decide("gone-1", "accept", "ann")
    with pytest.raises(RunError, match="Nobody has decided"):
        retrain(run)


def test_retraining_takes_all_decisions_and_leaves_the_old_student(config: Config) -> None:
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    before = students(run.path)
    task, kept = run.dataset(), run.synthetic()
    reviews = Reviews(run.path, task.taxonomy.names)
    reviews.decide(task.train[0].id, "reject", "ann")
    wrong = next(row for row in task.train[1:] if row.label == "billing")
    reviews.decide(wrong.id, "relabel", "ann", label="product")
    reviews.decide(kept[0].id, "accept", "ann")
    reviews.decide(kept[1].id, "reject", "ann")
    found = retrain(run)
    assert found.decisions == {"accept": 1, "reject": 2, "relabel": 1}
    assert found.rows == len(task.train) - 1
    assert (found.synthetic, found.human_verified) == (len(kept) - 1, 1)
    assert {name: digest for name, digest in students(run.path).items() if name in before} == before
    made, best = run.student("reviewed"), run.student("best")
    texts = [row.text for row in task.validation]
    assert not np.allclose(made.predict_proba(texts), best.predict_proba(texts))
    kept_record = run.read_json("reviewed.json")
    assert kept_record["after"]["n"] == len(texts)
    assert run.compared()["reviewed"] == "reviewed"


def test_a_run_of_good_labels_gains_by_having_wrong_ones_put_right(
    config: Config, tmp_path: Path
) -> None:
    """What a person puts right shows: the teacher's labels are all wrong, and then none is."""
    order = list(TOPICS)
    texts, labels = make_rows(30, start=50)

    def answer(request: Request) -> str:
        wanted = request.messages[-1].content
        number = len(answered)
        answered.append(number)
        samples = []
        for i in range(number * 8, number * 8 + 8):
            text, label = texts[i % len(texts)], labels[i % len(texts)]
            samples.append({"text": text, "label": order[(order.index(label) + 1) % 4]})
        assert wanted
        return json.dumps({"samples": samples, "doubtful": []})

    answered: list[int] = []
    run = Distiller(
        config, teacher=FakeTeacher(answer), rounds=2, samples=24, synthetic_weight=1.0,
        guidance={"mode": "paper", "folds": 3}, out=tmp_path / "wrong",
    ).fit(*ROWS).run_  # fmt: skip
    right = dict(zip(texts, labels, strict=True))
    reviews = Reviews(run.path, TOPICS)
    for row in run.synthetic():
        reviews.decide(row.id, "relabel", "ann", label=right[row.text])
    assert run.synthetic()
    found = retrain(run)
    assert found.verdict.keep
    assert found.after.figures["log_loss"] < found.before.figures["log_loss"]


def test_dropped_texts_near_the_bound_can_be_taken_in(config: Config) -> None:
    run = Distiller(config, teacher=FakeTeacher()).fit(*ROWS).run_
    request = next(call.id for call in calls_of(run) if call.purpose == "write")
    drops = [
        ("near a training row", "91% like: case"), ("near an earlier text", "99% like: case"),
        ("matches a validation row", "91% like: case"), ("too long", "30 words"),
    ]  # fmt: skip
    (run.path / "rejected.jsonl").unlink(missing_ok=True)
    run.append("rejected.jsonl", [
        {"request": request, "reason": reason, "detail": detail, "label": "billing", "text": reason}
        for reason, detail in drops
    ])  # fmt: skip
    [found] = dropped_texts(run)
    assert (found.id, found.text) == ("rejected:1", "near a training row")
    assert found.origin is not None
    assert found.origin.request == request
    assert found.origin.parents
    reviews = Reviews(run.path, TOPICS)
    reviews.decide(found.id, "accept", "ann")
    assert retrain(run).synthetic == len(run.synthetic()) + 1
