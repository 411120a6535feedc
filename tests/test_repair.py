"""Repair: the original request, the answer, its errors, and how many are missing."""

from __future__ import annotations

from pgkd.synthesis import repair_request
from pgkd.tasks.classification.prompts.parsing import parse_samples
from pgkd.tasks.classification.prompts.writing import samples_schema
from pgkd.teachers.base import Message, Reply, Request, Sampling

ORIGINAL = Request(
    (Message("system", "You write."), Message("user", "Write 3 texts of refund.")),
    samples_schema(["refund"], 3),
    Sampling(seed=5),
)
REPLY = Reply('{"samples": [{"label": "late", "text": "x y"}], "doubtful": []}', "m")


def repaired(missing: int = 2, reply: Reply = REPLY) -> Request:
    faults = parse_samples(reply.text, ["refund"]).faults
    return repair_request(ORIGINAL, reply, faults, missing=missing)


def test_the_original_request_comes_first_and_whole() -> None:
    """The trap: a repair prompt that drops what was asked."""
    assert repaired().messages[: len(ORIGINAL.messages)] == ORIGINAL.messages


def test_the_error_is_told_and_so_is_the_count() -> None:
    answer, ask = repaired().messages[-2:]
    assert answer == Message("assistant", REPLY.text)
    assert "sample 1: the label is 'late' and not 'refund'" in ask.content
    assert "2 new valid samples" in ask.content


def test_the_schema_asks_for_what_is_missing() -> None:
    schema = repaired(1).schema
    assert schema is not None
    assert schema["properties"]["samples"]["maxItems"] == 1
    assert ORIGINAL.schema is not None
    assert ORIGINAL.schema["properties"]["samples"]["maxItems"] == 3


def test_it_is_another_request_with_another_seed() -> None:
    request = repaired()
    assert request.key != ORIGINAL.key
    assert request.sampling.seed == 6
    assert request.purpose == "repair"


def test_a_huge_answer_is_not_sent_back_whole() -> None:
    request = repaired(reply=Reply("z" * 100_000, "m"))
    assert len(request.messages[-2].content) <= 4000
