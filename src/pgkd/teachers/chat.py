"""The wire format of OpenAI's chat completions, and what of it an endpoint may refuse."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pgkd.teachers.refusals import (
    Change,
    Payload,
    Refusals,
    about_system,
    asked_in_words,
    fewer_enums,
    leave_out,
)

if TYPE_CHECKING:
    from pgkd.teachers.base import FinishReason, Request

_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}
_UNKNOWN_BOUND = re.compile(r"max_completion_tokens|unsupported|not supported|unknown|unrecognized")
_FORMAT = re.compile(
    r"response.?format|json.?schema|json.?object|json.?mode|structured.?output|\bschema\b|\bstrict\b",
    re.I,
)


def payload_of(request: Request, model: str, effort: str | None = None) -> Payload:
    """What is sent for a request, before anything is known of the endpoint.

    Args:
        request: what is asked.
        model: the model's name.
        effort: how long a reasoning model thinks; None leaves it to the model.
    """
    sampling = request.sampling
    payload: Payload = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if effort is not None:
        payload["reasoning_effort"] = effort
    if sampling.seed is not None:
        payload["seed"] = sampling.seed
    if request.wants_logprob:
        payload["logprobs"] = True
    if request.schema is not None:
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def refusals() -> Refusals:
    """What an endpoint may refuse; a schema is given up in steps, the mildest first."""
    fields = ("logprobs", "seed", "reasoning_effort", "top_p", "temperature")
    rules = (_renamed_bound, *map(leave_out, fields), fewer_enums, _plainer_format, _no_system)
    return Refusals(*rules)


def text_of(message: Any) -> str | None:
    """The text of an answer, joined where it comes in parts; None where there is none.

    Of a refusal, its words: they tell people why there is no answer.
    """
    content = getattr(message, "content", None)
    if not isinstance(content, list):
        refusal = getattr(message, "refusal", None)
        told = refusal if isinstance(refusal, str) else ""
        return None if message is None else content or told
    texts = [
        part.text
        for part in content
        if getattr(part, "type", None) in ("text", "output_text")  # and none that was thought
        and isinstance(getattr(part, "text", None), str)
    ]
    return "".join(texts) if texts else None


def finish_of(choice: Any, message: Any) -> FinishReason:
    """How the reply ended."""
    if getattr(message, "refusal", None):
        return "refusal"
    reason = getattr(choice, "finish_reason", None)
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "other"


def logprob_of(choice: Any) -> float | None:
    """Log-probability of the whole answer: the sum over its tokens."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(tokens, list) or not tokens:
        return None
    found = [getattr(token, "logprob", None) for token in tokens]
    numbers = [float(value) for value in found if isinstance(value, int | float)]
    return min(0.0, sum(numbers)) if len(numbers) == len(found) else None


def _renamed_bound(complaint: str, payload: Payload) -> Change | None:
    """OpenAI's reasoning models know ``max_tokens`` by another name, for it bounds thinking, too.

    An endpoint that finds the number too large mentions the field as well; that is no refusal.
    """

    def renamed(payload: Payload) -> Payload:
        others = {name: value for name, value in payload.items() if name != "max_tokens"}
        return others | {"max_completion_tokens": payload["max_tokens"]}

    mentioned = "max_tokens" in payload and "max_tokens" in complaint
    if not mentioned or not _UNKNOWN_BOUND.search(complaint.lower()):
        return None
    return Change("max_completion_tokens replaces max_tokens", renamed, thinks=True)


def _plainer_format(complaint: str, payload: Payload) -> Change | None:
    """A schema that is not strict, then JSON mode, then words alone."""
    format_ = payload.get("response_format")
    if format_ is None or not _FORMAT.search(complaint):
        return None
    if format_["type"] == "json_object":
        return Change(
            "only the prompt asks for JSON",
            lambda p: {name: value for name, value in p.items() if name != "response_format"},
        )
    if "strict" in complaint.lower() and "strict" in format_["json_schema"]:
        return Change("schemas are not strict", _not_strict)
    return Change("JSON mode and the prompt replace the schema", _json_mode)


def _not_strict(payload: Payload) -> Payload:
    schema = _schema(payload)
    if schema is None:
        return payload
    loose = {name: value for name, value in schema.items() if name != "strict"}
    return {**payload, "response_format": {"type": "json_schema", "json_schema": loose}}


def _json_mode(payload: Payload) -> Payload:
    schema = _schema(payload)
    if schema is None:
        return payload
    first, *others = payload["messages"]
    # At the end of what all requests begin with, for caches of prefixes.
    extended = {**first, "content": f"{first['content']}\n\n{asked_in_words(schema['schema'])}"}
    return {**payload, "messages": [extended, *others], "response_format": {"type": "json_object"}}


def _schema(payload: Payload) -> dict[str, Any] | None:
    format_: dict[str, Any] = payload.get("response_format", {})
    return format_.get("json_schema")


def _no_system(complaint: str, payload: Payload) -> Change | None:
    there = any(message["role"] == "system" for message in payload["messages"])
    if not there or not about_system(complaint):
        return None
    return Change("the system message is part of the user's message", _merged)


def _merged(payload: Payload) -> Payload:
    system = [m["content"] for m in payload["messages"] if m["role"] == "system"]
    others = [m for m in payload["messages"] if m["role"] != "system"]
    if not system or not others:
        return payload
    first = {**others[0], "content": "\n\n".join((*system, others[0]["content"]))}
    return {**payload, "messages": [first, *others[1:]]}
