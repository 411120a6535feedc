"""Decisions: the last one counts, none is lost, and two who decide at once hear of each other."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING

import pytest

from pgkd.errors import ConflictError, DataError, RunError
from pgkd.runs.review import Reviews

if TYPE_CHECKING:
    from pathlib import Path

CLASSES = ("billing", "delivery")


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "reviews.jsonl").read_text().splitlines()]


def test_a_decision_is_a_line_with_who_and_when(tmp_path: Path) -> None:
    reviews = Reviews(tmp_path, CLASSES, clock=lambda: "2026-03-01T10:00:00+00:00")
    reviews.decide("r1-0001-1", "relabel", "ann", label="billing")
    assert lines(tmp_path) == [
        {
            "id": "r1-0001-1", "decision": "relabel", "label": "billing", "text": None,
            "by": "ann", "time": "2026-03-01T10:00:00+00:00",
        }
    ]  # fmt: skip


def test_the_last_decision_counts_and_keeps_what_was_made_of_the_text(tmp_path: Path) -> None:
    reviews = Reviews(tmp_path, CLASSES)
    reviews.decide("a", "relabel", "ann", label="billing")
    reviews.decide("a", "edit", "bob", text="new words")
    assert (reviews.latest()["a"].label, reviews.latest()["a"].text) == ("billing", "new words")
    reviews.decide("a", "accept", "bob")
    assert (reviews.latest()["a"].kind, reviews.latest()["a"].label) == ("accept", "billing")
    reviews.decide("a", "reject", "ann")
    assert reviews.latest()["a"].kind == "reject"
    reviews.decide("a", "undo", "ann")
    assert reviews.latest() == {}
    reviews.decide("a", "accept", "ann")
    assert reviews.latest()["a"].text is None  # what was undone is gone
    assert len(lines(tmp_path)) == 6  # nothing is ever taken out


def test_what_another_process_wrote_is_seen(tmp_path: Path) -> None:
    mine, theirs = Reviews(tmp_path, CLASSES), Reviews(tmp_path, CLASSES)
    mine.decide("a", "accept", "ann")
    assert theirs.latest()["a"].by == "ann"
    theirs.decide("b", "reject", "bob")
    assert set(mine.latest()) == {"a", "b"}


def test_who_did_not_know_of_a_decision_hears_of_it(tmp_path: Path) -> None:
    mine, theirs = Reviews(tmp_path, CLASSES), Reviews(tmp_path, CLASSES)
    theirs.decide("a", "reject", "bob", seen=0)
    with pytest.raises(ConflictError, match="Meanwhile bob has decided on it: reject"):
        mine.decide("a", "accept", "ann", seen=0)
    assert mine.decide("a", "accept", "ann", seen=1).kind == "accept"


@pytest.mark.parametrize(
    ("kind", "label", "text", "message"),
    [
        ("relabel", None, None, "Give a class"),
        ("relabel", "nonsense", None, 'Unknown class "nonsense"'),
        ("edit", None, " \n", "The text is empty"),
        ("burn", None, None, 'Unknown decision "burn"'),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, kind: str, label: str | None, text: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        Reviews(tmp_path, CLASSES).decide("a", kind, "ann", label=label, text=text)  # type: ignore[arg-type]
    assert not (tmp_path / "reviews.jsonl").exists()


def test_half_a_line_is_forgotten_and_written_over(tmp_path: Path) -> None:
    Reviews(tmp_path, CLASSES).decide("a", "accept", "ann")
    with (tmp_path / "reviews.jsonl").open("a") as file:
        file.write('{"id": "b", "decisi')
    reviews = Reviews(tmp_path, CLASSES)
    assert set(reviews.latest()) == {"a"}
    reviews.decide("c", "accept", "ann")
    assert [line["id"] for line in lines(tmp_path)] == ["a", "c"]


def test_a_damaged_line_is_told(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").write_text('{"id": "b"}\n')
    with pytest.raises(RunError, match=r"reviews\.jsonl is damaged"):
        Reviews(tmp_path, CLASSES).latest()


def test_a_lone_surrogate_does_not_lose_the_line(tmp_path: Path) -> None:
    reviews = Reviews(tmp_path, CLASSES)
    reviews.decide("a", "edit", "ann", text="broken \ud800 emoji")
    assert "broken" in str(Reviews(tmp_path).latest()["a"].text)


def test_a_round_keeps_the_decisions_it_was_trained_with(tmp_path: Path) -> None:
    reviews = Reviews(tmp_path, CLASSES)
    assert reviews.pin(0) == {}
    reviews.decide("a", "accept", "ann")
    assert set(reviews.pin(1)) == {"a"}
    reviews.decide("b", "reject", "ann")
    again = Reviews(tmp_path, CLASSES)
    assert again.pin(0) == {}
    assert set(again.pin(1)) == {"a"}
    assert set(again.pin(2)) == {"a", "b"}


def test_rounds_from_before_there_were_decisions_stay_without(tmp_path: Path) -> None:
    reviews = Reviews(tmp_path, CLASSES)
    reviews.decide("a", "accept", "ann")
    reviews.pin_without([0, 1])
    assert reviews.pin(1) == {}
    assert set(reviews.pin(2)) == {"a"}


def _decide_often(folder: Path, who: str, times: int) -> None:
    reviews = Reviews(folder, CLASSES)
    for i in range(times):
        reviews.decide(f"{who}-{i}", "accept", who)


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [
        context.Process(target=_decide_often, args=(tmp_path, who, 25)) for who in ("ann", "bob")
    ]
    for process in both:
        process.start()
    for process in both:
        process.join()
        assert process.exitcode == 0
    wanted = {f"{who}-{i}" for who in ("ann", "bob") for i in range(25)}
    assert set(Reviews(tmp_path).latest()) == wanted
