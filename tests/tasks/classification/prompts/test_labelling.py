"""The teacher as a classifier: its answer, or none, and never another in its place."""

from __future__ import annotations

import json
import math
import threading
import time

import numpy as np
import pytest

from pgkd.errors import ConfigError, TeacherDownError, TeacherRequestError, TeacherUnavailableError
from pgkd.tasks.classification.data.examples import LabelClass, LabelledText, Taxonomy
from pgkd.tasks.classification.prompts.labelling import (
    Labelled,
    label_request,
    label_texts,
    without_prior,
)
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.teachers.fake import FakeTeacher

TAXONOMY = Taxonomy((LabelClass("card", "about cards"), LabelClass("refund")))


def test_every_text_gets_its_label() -> None:
    heard: list[str] = []
    teacher = FakeTeacher(
        lambda asked: json.dumps({"label": asked.messages[-1].content.split()[1]})
    )
    found = label_texts(
        teacher, ["card", "refund"], TAXONOMY, on_reply=lambda r: heard.append(r.text)
    )
    assert [answer.label for answer in found] == ["card", "refund"]
    assert [json.loads(text)["label"] for text in heard] == ["card", "refund"]


@pytest.mark.parametrize(
    "reply", ["", "card", "[]", '{"label": "Card"}', '{"label": ["card"]}', '{"label": null}', "9"]
)
def test_an_invalid_answer_is_none(reply: str) -> None:
    assert label_texts(FakeTeacher([reply]), ["text"], TAXONOMY) == [Labelled(None)]


def test_the_classes_are_an_enum_and_come_before_the_text() -> None:
    request = label_request("where is it", TAXONOMY)
    assert request.schema is not None
    assert request.schema["properties"]["label"]["enum"] == ["card", "refund"]
    assert "card: about cards" in request.messages[0].content
    assert "where is it" in request.messages[1].content
    assert request.sampling.temperature == 0


def test_examples_come_before_the_text_with_their_labels_as_they_are_spelt() -> None:
    taxonomy = Taxonomy((LabelClass("Home & Garden"), LabelClass("d'été")))
    rows = [
        LabelledText("a <rake>", "Home & Garden", "t1"),
        LabelledText("la plage", "d'été", "t2"),
    ]
    system = label_request("where is it", taxonomy, examples=rows).messages[0].content
    assert '- a <rake>\n  {"label": "Home & Garden"}\n- la plage\n  {"label": "d\'été"}' in system
    assert "is known" not in label_request("where is it", taxonomy).messages[0].content


def test_all_requests_share_their_beginning_and_carry_the_seed() -> None:
    teacher = FakeTeacher()
    rows = [LabelledText("my card", "card", "t1")]
    label_texts(teacher, ["one", "two"], TAXONOMY, examples=rows, seed=7)
    first, second = teacher.requests
    assert first.messages[0] == second.messages[0]
    assert first.messages[1] != second.messages[1]
    assert (first.sampling.seed, first.purpose) == (7, "label")


class ScoringTeacher(FakeTeacher):
    """Tells scores: of `card` what the text says, of `refund` the rest."""

    scores_choices = True

    def complete(self, request: Request) -> Reply:
        super().complete(request)
        assert request.choices == ("card", "refund")
        p = float(request.messages[-1].content.split()[1])
        return Reply("{}", "m", scores=(math.log(p), math.log(1 - p)))


def test_scores_give_probabilities_of_all_classes() -> None:
    [found] = label_texts(ScoringTeacher(), [".3"], TAXONOMY)
    assert found.label == "refund"
    assert found.probabilities == pytest.approx((0.3, 0.7))
    assert found.confidence == pytest.approx(0.7)


def test_what_the_model_prefers_whatever_the_text_is_taken_off() -> None:
    """Every text scores `refund` higher; the upper half is `card` once that is known."""
    texts = [f"{p:.3f}" for p in np.linspace(0.02, 0.4, 20)]
    raw = label_texts(ScoringTeacher(), texts, TAXONOMY, calibrate=False)
    assert {answer.label for answer in raw} == {"refund"}
    found = label_texts(ScoringTeacher(), texts, TAXONOMY)
    assert [a.label for a in found] == sorted((a.label for a in found), reverse=True)  # type: ignore[type-var]
    assert 5 < sum(a.label == "card" for a in found) < 15
    few = label_texts(ScoringTeacher(), texts[:19], TAXONOMY)  # too few to know
    assert {answer.label for answer in few} == {"refund"}


def test_scored_requests_ask_for_the_name_alone() -> None:
    rows = [LabelledText("my card", "card", "t1")]
    request = label_request("where is it", TAXONOMY, examples=rows, scored=True)
    assert request.choices == TAXONOMY.names
    assert request.schema is None
    assert "JSON" not in request.messages[0].content
    assert "- my card\n  card\n" in request.messages[0].content


def test_the_prior_is_the_mean_probability() -> None:
    scores = np.log([[0.8, 0.2], [0.2, 0.8], [0.8, 0.2]])
    found = without_prior(scores)
    odds = (0.8 / 0.2) / ((1.8 + 0.5) / (1.2 + 0.5))
    assert found[0, 0] / found[0, 1] == pytest.approx(odds)
    assert found.sum(axis=1) == pytest.approx(1)


def test_a_class_that_is_unlikely_everywhere_does_not_win_where_it_is_less_so() -> None:
    rows = np.log([[0.7, 0.3, 1e-12]] * 10 + [[0.3, 0.7, 1e-12]] * 9 + [[0.3, 0.7, 1e-5]])
    assert without_prior(rows).argmax(axis=1).tolist() == [0] * 10 + [1] * 10


def test_scores_are_refused_where_the_teacher_tells_none() -> None:
    with pytest.raises(ConfigError, match="'answer' or 'agree'"):
        label_texts(FakeTeacher(), ["text"], TAXONOMY, method="score")


def test_several_answers_agree_or_not() -> None:
    told = iter(["card", "refund", "card", "plastic", "card", "x", "x", "x", "x", "x"])
    teacher = FakeTeacher(lambda _: json.dumps({"label": next(told)}))
    found = label_texts(teacher, ["one", "two"], TAXONOMY, method="agree", samples=5)
    assert found == [Labelled("card", 3 / 5), Labelled(None)]
    first = teacher.requests[:5]
    assert [r.repeat for r in first] == [0, 1, 2, 3, 4]
    assert len({r.key for r in first}) == len({r.id for r in first}) == 5
    assert all(r.sampling.temperature > 0 for r in first)


def test_one_answer_is_as_sure_as_the_provider_says() -> None:
    sure = Reply(json.dumps({"label": "card"}), "m", logprob=math.log(0.9))
    silent = Reply(json.dumps({"label": "card"}), "m")
    teacher = FakeTeacher([sure, silent])
    found = label_texts(teacher, ["one", "two"], TAXONOMY, method="answer")
    assert [a.confidence for a in found] == [pytest.approx(0.9), None]
    assert all(r.wants_logprob for r in teacher.requests)


def test_a_refused_text_has_no_label_and_three_in_a_row_are_a_refused_job() -> None:
    refused = TeacherRequestError("content filter")
    card = json.dumps({"label": "card"})
    found = label_texts(FakeTeacher([card, refused, refused, card]), ["t"] * 4, TAXONOMY)
    assert [a.label for a in found] == ["card", None, None, "card"]
    with pytest.raises(TeacherDownError, match=r"3 requests in a row[\s\S]*content filter"):
        label_texts(FakeTeacher([refused] * 3), ["t"] * 4, TAXONOMY)
    with pytest.raises(TeacherUnavailableError):
        label_texts(FakeTeacher([TeacherUnavailableError("down")]), ["t"], TAXONOMY)


def test_a_text_is_asked_by_the_same_name_wherever_it_stands() -> None:
    teacher = FakeTeacher()
    label_texts(teacher, ["one", "two"], TAXONOMY)
    label_texts(teacher, ["zero", "two"], TAXONOMY)
    assert teacher.requests[1] == teacher.requests[3]
    assert teacher.requests[0].id != teacher.requests[2].id


def test_many_texts_are_in_flight_and_come_back_in_order() -> None:
    class Slow(Teacher):
        concurrency = 4
        inside = most = 0
        lock = threading.Lock()

        def complete(self, request: Request) -> Reply:
            with self.lock:
                self.inside += 1
                self.most = max(self.most, self.inside)
            label = request.messages[-1].content.split()[1]
            time.sleep(0.05 if label == "card" else 0.01)
            with self.lock:
                self.inside -= 1
            return Reply(json.dumps({"label": label}), "m")

    slow = Slow()
    found = label_texts(slow, ["card", "refund"] * 8, TAXONOMY)
    assert [a.label for a in found] == ["card", "refund"] * 8
    assert slow.most == 4
