"""Curation: what is dropped, with which reason, and what is not."""

from __future__ import annotations

import inspect

import pytest

from pgkd.curation import Curator, Reason
from pgkd.tasks.classification.data.examples import LabelledText

REAL = [
    LabelledText("My card has not arrived yet", "card", "train:1"),
    LabelledText("Where is my refund?", "refund", "train:2"),
]
VALIDATION = [LabelledText("How do I top up my account", "top_up", "validation:1")]


def curator(**settings: float) -> Curator:
    return Curator(REAL, VALIDATION, **settings)  # type: ignore[arg-type]


def samples_of(*texts: str) -> list[LabelledText]:
    return [LabelledText(text, "card") for text in texts]


def reasons_of(found: Curator, *texts: str, shown: tuple[str, ...] = ()) -> list[str]:
    return [drop.reason for drop in found.curate(samples_of(*texts), shown)[1]]


def test_a_new_text_is_kept() -> None:
    curation = curator().curate(samples_of("The post office lost the letter with my card"))
    assert len(curation[0]) == 1
    assert curation[1] == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("my card has NOT arrived yet!!", Reason.REAL_DUPLICATE),
        ("My cards has not arrived yet", Reason.REAL_DUPLICATE),
        ("how do i top-up my account?", Reason.CONTAMINATION),
        ("word " * 60, Reason.RUNAWAY),
        ("and then get a new one " * 8, Reason.RUNAWAY),
        (" ".join(f"word{i}" for i in range(60)), Reason.TOO_LONG),
    ],
)
def test_every_drop_has_its_reason(text: str, reason: Reason) -> None:
    assert reasons_of(curator(), text) == [reason]


def test_a_copy_of_a_shown_example_is_told_apart() -> None:
    shown = ("Where is my refund?", "Nobody answers my mails about the card")
    copies = ("where's my refund", "Nobody answers my mail about the card")
    assert reasons_of(curator(near_duplicate=0.85), *copies, shown=shown) == [Reason.COPY] * 2


def test_duplicates_are_found_in_a_batch_and_across_batches() -> None:
    found = curator()
    text = "I still wait for the plastic card"
    assert reasons_of(found, text, text + "!") == [Reason.DUPLICATE]
    assert reasons_of(found, "i still wait for the plastic  card") == [Reason.DUPLICATE]


def test_the_detail_names_the_twin() -> None:
    [drop] = curator().curate(samples_of("where is my refund"))[1]
    assert "100% like: where is my refund" in drop.detail


def test_a_longer_bound_can_be_set_and_real_rows_set_it_otherwise() -> None:
    text = " ".join(f"word{i}" for i in range(40))
    assert reasons_of(curator(), text) == [Reason.TOO_LONG]
    assert reasons_of(curator(max_words=50), text) == []
    long = [LabelledText(" ".join(f"real{i}" for i in range(100)), "a", "train:1")]
    assert not Curator(long, []).curate(samples_of(text))[1]


def test_what_the_student_thinks_is_no_reason() -> None:
    """The trap: filtering by agreement with the student loses half of the gain."""
    parameters = {
        *inspect.signature(Curator).parameters,
        *inspect.signature(Curator.curate).parameters,
    }
    assert not {name for name in parameters if "student" in name or "prob" in name}
    assert not {reason for reason in Reason if "student" in reason or "agree" in reason}


def test_an_ordinary_repetition_is_no_runaway() -> None:
    text = "I sent it back, I sent it back twice, and nobody refunds the money"
    assert reasons_of(curator(), text) == []
