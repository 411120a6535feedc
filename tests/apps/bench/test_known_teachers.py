"""Teachers of known quality: real rows as texts, and a classifier that labels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.apps.bench.teachers import LabellerTeacher, OracleTeacher, SharedReplies
from pgkd.errors import TeacherRequestError
from pgkd.tasks.classification.data.examples import LabelledText, Taxonomy
from pgkd.tasks.classification.prompts.labelling import label_texts
from pgkd.tasks.classification.prompts.writing import GenerationSettings
from pgkd.tasks.classification.students import make_student
from pgkd.tasks.common.samples import LengthTarget
from pgkd.teachers.fake import FakeTeacher
from pgkd.usage.cache import ReplyCache
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.teachers.base import Reply, Request

TEXTS, LABELS = make_rows(20)
ROWS = [
    LabelledText(t, c, f"train:{i}") for i, (t, c) in enumerate(zip(TEXTS, LABELS, strict=True))
]
TRUE = dict(zip(TEXTS, LABELS, strict=True))
CLASSES = tuple(sorted(set(LABELS)))
WRITING = GenerationSettings(LengthTarget(4, 8, 12))


def request(*labels: str, count: int, user: str = "write", number: str = "r1-0001") -> Request:
    return WRITING.request(number, "system", user, labels, count)


def samples(reply: Reply) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(reply.text)["samples"]
    return found


def test_the_oracle_gives_rows_of_the_class_each_once_until_they_run_out() -> None:
    oracle = OracleTeacher(ROWS)
    first = samples(oracle.complete(request("billing", count=12)))
    second = samples(oracle.complete(request("billing", count=12)))
    assert (len(first), len(second)) == (12, 8)
    assert {TRUE[s["text"]] for s in (*first, *second)} == {"billing"}
    assert len({s["text"] for s in (*first, *second)}) == 20
    assert samples(oracle.complete(request("billing", count=3))) == []


def test_two_arms_get_the_same_rows_of_a_class_however_they_ask() -> None:
    one, two = OracleTeacher(ROWS, seed=3), OracleTeacher(ROWS, seed=3)
    whole = samples(one.complete(request("billing", count=6)))
    two.complete(request("account", count=4))
    parts = [s for n in (2, 4) for s in samples(two.complete(request("billing", count=n)))]
    assert parts == whole
    assert samples(OracleTeacher(ROWS, seed=4).complete(request("billing", count=6))) != whole


def test_a_share_of_errors_are_rows_of_one_other_class() -> None:
    oracle = OracleTeacher(ROWS, error_share=0.4, seed=1)
    found = samples(oracle.complete(request("billing", count=20)))
    assert {s["label"] for s in found} == {"billing"}
    true = [TRUE[s["text"]] for s in found]
    assert 3 <= sum(label != "billing" for label in true) <= 13
    assert len(set(true)) == 2  # the class asked for and its most similar one


def test_a_resumed_oracle_goes_on_where_it_was() -> None:
    whole = OracleTeacher(ROWS, error_share=0.3, seed=2)
    replies = [whole.complete(request("billing", count=3)) for _ in range(4)]
    resumed = OracleTeacher(ROWS, error_share=0.3, seed=2)
    resumed.recall(replies[:2])
    assert [resumed.complete(request("billing", count=3)) for _ in range(2)] == replies[2:]


def test_left_to_choose_the_oracle_writes_for_the_mistakes_that_it_is_shown() -> None:
    shown = "- a => billing (student says account, confidence 0.90)\n- b => product\n"
    found = samples(OracleTeacher(ROWS).complete(request(*CLASSES, count=8, user=shown)))
    assert {s["label"] for s in found} == {"billing"}
    found = samples(OracleTeacher(ROWS).complete(request(*CLASSES, count=16)))
    assert len({s["label"] for s in found}) == 4


def test_the_oracle_labels_the_rows_that_it_knows_and_no_other() -> None:
    held, held_labels = make_rows(2, start=80)
    known = [LabelledText(t, c, t) for t, c in zip(held, held_labels, strict=True)]
    oracle, taxonomy = OracleTeacher(ROWS, known), Taxonomy.from_names(CLASSES)
    found = label_texts(oracle, [*TEXTS[:9], *held], taxonomy)
    assert [answer.label for answer in found] == [*LABELS[:9], *held_labels]
    assert label_texts(oracle, ["another text"], taxonomy)[0].label is None
    assert samples(oracle.complete(request(LABELS[0], count=1)))[0]["text"] in TEXTS


def test_each_refuses_what_the_other_does() -> None:
    student = make_student("linear", CLASSES).fit(TEXTS, LABELS)
    with pytest.raises(TeacherRequestError, match="nothing else"):
        LabellerTeacher(student).complete(request("billing", count=2))
    found = label_texts(OracleTeacher(ROWS), ["another text"], Taxonomy.from_names(CLASSES))
    assert found[0].label is None  # one text refused is one wrong answer


def test_the_labeller_answers_as_its_classifier_predicts() -> None:
    student = make_student("linear", CLASSES).fit(TEXTS, LABELS)
    texts, _ = make_rows(3, start=50)
    found = label_texts(LabellerTeacher(student), texts, Taxonomy.from_names(CLASSES))
    assert [answer.label for answer in found] == student.predict(texts)
    best = student.predict_proba(texts).max(axis=1)
    assert [answer.confidence for answer in found] == pytest.approx(best.tolist())


def test_a_reply_is_asked_for_once_by_all_that_share_it(tmp_path: Path) -> None:
    fake = FakeTeacher()
    cache = ReplyCache(tmp_path / "replies")
    one, two = SharedReplies(fake, cache), SharedReplies(fake, cache)
    asked = request("billing", count=2)
    assert one.complete(asked) == two.complete(asked)
    assert len(fake.requests) == 1
    assert (one.asked, one.found, two.asked, two.found) == (1, 0, 0, 1)
