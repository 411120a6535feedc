"""Asking again for what was invalid: the original request, the answer, and its errors."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgkd.teachers.base import Message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.generation.rejection import Fault
    from pgkd.teachers.base import Reply, Request

_ANSWER = 4000  # characters of the faulty answer that are sent back
_TOLD = 10  # faults that are told one by one


def repair_request(
    original: Request,
    reply: Reply,
    faults: Sequence[Fault],
    *,
    missing: int,
    schema: dict[str, Any] | None = None,
) -> Request:
    """A request for the samples that are missing.

    It begins with all of the original request: an error message alone would leave the teacher to
    guess what was asked.

    Args:
        original: the request that was answered.
        reply: the answer.
        faults: what was wrong with it.
        missing: samples still wanted.
        schema: of the answer; default: the original's, for so many samples.
    """
    told = "\n".join(f"- {_told(fault)}" for fault in faults[:_TOLD])
    plural = "s" if missing > 1 else ""
    ask = (
        f"Some of your answer cannot be used:\n{told}\n"
        f"Answer again with {missing} new valid sample{plural} only, "
        "in the same JSON form, following all rules of the request above."
    )
    answer = Message("assistant", reply.text[:_ANSWER] or "{}")
    messages = (*original.messages, answer, Message("user", ask))
    schema = schema or _with_count(original.schema, missing)
    sampling = original.sampling
    if sampling.seed is not None:
        sampling = replace(sampling, seed=(sampling.seed + 1) % 2**31)
    return replace(original, messages=messages, schema=schema, sampling=sampling, purpose="repair")


def _told(fault: Fault) -> str:
    where = "the answer" if fault.position is None else f"sample {fault.position + 1}"
    return f"{where}: {fault.detail}"


def _with_count(schema: dict[str, Any] | None, count: int) -> dict[str, Any] | None:
    """The schema of the original request, for so many samples."""
    if schema is None or "samples" not in schema.get("properties", {}):
        return schema
    samples = {**schema["properties"]["samples"], "minItems": count, "maxItems": count}
    return {**schema, "properties": {**schema["properties"], "samples": samples}}
