"""Which texts come first, why, and how ten thousand of them are paged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pgkd.apps.report.gather import read_records
from pgkd.apps.ui.queue import (
    Candidate,
    Filter,
    Opinion,
    Why,
    find_candidates,
    make_page,
    sort_queue,
)
from pgkd.apps.ui.review import Reader
from pgkd.runs.review import Decision
from pgkd.task import Origin
from pgkd.tasks.classification.data.examples import LabelledText

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.runs.folder import RunFolder


def written(i: int, label: str = "billing", number: int = 1) -> Candidate:
    row = LabelledText(f"text {i}", label, f"r{number}-0001-{i}", Origin(number, f"r{number}-0001"))
    return Candidate(row, number)


def decided(id_: str, kind: str = "accept", **fields: str) -> Decision:
    return Decision(id_, kind, "ann", "2026-01-01", **fields)  # type: ignore[arg-type]


def test_what_is_likelier_wrong_comes_first_and_says_why() -> None:
    texts = [written(i) for i in range(4)]
    doubted = Candidate(LabelledText("mine", "billing", "train:1"), 0, (Why.LABEL_ISSUE,))
    opinions = {
        "r1-0001-0": Opinion("billing", 0.95),
        "r1-0001-1": Opinion("delivery", 0.9),
        "r1-0001-2": Opinion("billing", 0.3),
        "r1-0001-3": Opinion("delivery", 0.6),
        "train:1": Opinion("account", 0.7),
    }
    queue = sort_queue([*texts, doubted], opinions)
    assert [(item.id, item.reasons) for item in queue] == [
        ("train:1", (Why.LABEL_ISSUE,)),  # of its own training rows, the student is not asked
        ("r1-0001-1", (Why.DISAGREES,)),
        ("r1-0001-3", (Why.DISAGREES,)),
        ("r1-0001-2", (Why.UNSURE,)),
        ("r1-0001-0", (Why.SYNTHETIC,)),
    ]


def test_until_the_student_has_read_the_queue_is_in_the_order_of_the_run() -> None:
    texts = [written(i) for i in range(3)]
    assert [item.candidate for item in sort_queue(texts, {})] == texts


def test_filters_by_class_round_reason_words_and_decision() -> None:
    texts = [written(0), written(1, "delivery"), written(2, number=2)]
    queue = sort_queue(texts, {"r1-0001-0": Opinion("delivery", 0.9)})
    decisions = {"r1-0001-1": decided("r1-0001-1", "relabel", label="product")}

    def shown(**wanted: object) -> set[str]:
        page = make_page(queue, decisions, Filter(**{"decided": "all", **wanted}))  # type: ignore[arg-type]
        return {item.id[-1] for _, item in page.items}

    assert shown() == {"0", "1", "2"}
    assert shown(decided="open") == {"0", "2"}
    assert shown(decided="decided") == {"1"}
    assert shown(output="billing") == {"0", "2"}
    assert shown(output="product") == shown(output="delivery") == {"1"}  # as given, and as decided
    assert shown(round=2) == {"2"}
    assert shown(why="student disagrees") == {"0"}
    assert shown(words="TEXT 1") == {"1"}


def test_the_next_page_leaves_nothing_out_though_texts_of_this_one_were_decided() -> None:
    queue = sort_queue([written(i) for i in range(25)], {})
    first = make_page(queue, {}, Filter(), size=10)
    assert (first.before, first.after, first.matching) == (None, 10, 25)
    decisions = {item.id: decided(item.id) for _, item in first.items}
    second = make_page(queue, decisions, Filter(), begin=10, size=10)
    assert [rank for rank, _ in second.items] == list(range(10, 20))
    assert (second.before, second.after, second.matching) == (None, 20, 15)
    last = make_page(queue, {}, Filter(), begin=20, size=10)
    assert (last.before, last.after, len(last.items)) == (10, None, 5)


def test_ten_thousand_texts_are_paged() -> None:
    queue = sort_queue([written(i) for i in range(10_000)], {})
    page = make_page(queue, {}, Filter(words="text"), begin=9_000)
    assert len(page.items) == 50


def test_candidates_are_kept_near_and_doubted_texts_and_no_validation_row(run: RunFolder) -> None:
    task, request = run.dataset(), run.synthetic()[0].origin
    assert request is not None
    run.append("rejected.jsonl", [
        {"request": request.request, "reason": "near an earlier text", "detail": "91% like: x",
         "label": "billing", "text": "nearly the same"},
    ])  # fmt: skip
    run.append("label_issues.jsonl", [
        {"id": task.train[0].id, "label": task.train[0].label, "by": "confident learning",
         "suggested": "product", "confidence": 0.9, "round": 1, "text": task.train[0].text},
        {"id": task.train[0].id, "label": task.train[0].label, "by": "teacher",
         "request": "r2-0001", "text": task.train[0].text},
        {"id": task.validation[0].id, "label": "x", "by": "teacher", "request": "r1-1", "text": ""},
        {"id": "train:9999", "label": "x", "by": "teacher", "request": "r1-1", "text": ""},
    ])  # fmt: skip
    found = {candidate.row.id: candidate for candidate in find_candidates(run, read_records(run))}
    doubted = found[task.train[0].id]
    assert doubted.reasons == (Why.LABEL_ISSUE, Why.TEACHER_DOUBTS)
    assert doubted.detail == "rather product, 0.90"
    [near] = [c for c in found.values() if c.reasons == (Why.NEAR_DUPLICATE,)]
    assert near.row.text == "nearly the same"
    held = {row.text for row in task.validation}
    assert not [c for c in found.values() if c.row.text in held]
    assert {row.id for row in run.synthetic()} <= found.keys()


@pytest.fixture
def run(folder: Path) -> RunFolder:
    from pgkd.runs.folder import RunFolder

    return RunFolder.open(folder / "plain")


def read(reader: Reader, rows: list[Any]) -> dict[str, Opinion]:
    for _ in range(200):
        opinions, progress = reader.opinions(rows)
        if progress.is_done:
            assert not progress.error
            return opinions
        reader.wait(0.1)
    raise AssertionError("the student never ended")


def test_the_student_reads_in_the_background_and_anew_when_it_is_another(run: RunFolder) -> None:
    rows = list(run.synthetic())
    texts = [row.text for row in rows]
    reader = Reader(run)
    opinions = read(reader, rows)
    student = run.student("best")
    probabilities = student.predict_proba(texts)
    for row, found in zip(probabilities, (opinions[each.id] for each in rows), strict=True):
        assert found.output == student.classes[int(row.argmax())]
        assert found.confidence == pytest.approx(row.max())
    before, first = reader.student, run.student("first")
    run.save_student(first, 9, best=True)
    again = read(reader, rows)
    assert reader.student != before
    assert again[rows[0].id].confidence == pytest.approx(first.predict_proba(texts[:1]).max())


def test_a_run_without_a_student_says_so(run: RunFolder) -> None:
    import shutil

    shutil.rmtree(run.path / "students")
    _, progress = Reader(run).opinions([LabelledText("a", "billing", "r1-0001-1")])
    assert progress.is_done
    assert progress.error == "There is no student yet."


def test_a_damaged_student_is_told_once(run: RunFolder) -> None:
    (run.path / "students" / "best" / "student.json").write_text("{}")
    reader = Reader(run)
    reader.opinions([LabelledText("a", "billing", "r1-0001-1")])
    reader.wait(20)
    _, progress = reader.opinions([LabelledText("a", "billing", "r1-0001-1")])
    assert "The student cannot read the texts" in progress.error
