"""The wire format of Amazon Bedrock's Converse API."""

from __future__ import annotations

import json
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

_TOOL = "answer"
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
# HTTP statuses that say what AWS's own would not: it answers 429 for a model that is not ready.
STATUS: dict[str, int] = {
    **dict.fromkeys(
        (
            "AccessDeniedException", "ExpiredToken", "ExpiredTokenException",
            "IncompleteSignatureException", "InvalidClientTokenId", "InvalidSignatureException",
            "MissingAuthenticationTokenException", "UnrecognizedClientException",
        ),
        403,
    ),
    **dict.fromkeys(
        ("ServiceQuotaExceededException", "ThrottlingException", "TooManyRequestsException"), 429
    ),
    **dict.fromkeys(("ResourceNotFoundException", "ValidationException"), 400),
    **dict.fromkeys(
        (
            "InternalServerException", "ModelErrorException", "ModelNotReadyException",
            "ModelTimeoutException", "ServiceUnavailableException",
        ),
        503,
    ),
}  # fmt: skip
# Claude models refuse temperature, top_p or the pair; a profile of one's own hides its model.
_UNSAMPLED = ("anthropic.", "application-inference-profile/")


_TOOLS = re.compile(r"\btools?\b|tool.?(?:config|choice|use)|\bschema\b", re.I)


def payload_of(request: Request, model: str) -> dict[str, Any]:
    """The arguments of boto3's `converse`."""
    sampling = request.sampling
    inference: dict[str, Any] = {"maxTokens": sampling.max_tokens}
    if not any(part in model for part in _UNSAMPLED):
        inference |= {"temperature": sampling.temperature, "topP": sampling.top_p}
    said = [m for m in request.messages if m.role != "system"]
    payload: dict[str, Any] = {
        "modelId": model,
        "messages": [{"role": m.role, "content": [{"text": m.content}]} for m in said],
        "inferenceConfig": inference,
    }
    if system := [{"text": m.content} for m in request.messages if m.role == "system"]:
        payload["system"] = system
    if request.schema is not None:
        tool = {
            "name": _TOOL,
            "description": "Give the answer.",
            "inputSchema": {"json": request.schema},
        }
        # Of one tool, `any` forces the same as `tool` does, and more models know it.
        payload["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"any": {}}}
    return payload


def text_of(answer: dict[str, Any]) -> str | None:
    """The tool's input as JSON, else the text; None where the model had to speak and did not."""
    # botocore drops what it does not expect: any part may be missing.
    message = (answer.get("output") or {}).get("message") or {}
    blocks = message.get("content") or []
    inputs = [b["toolUse"]["input"] for b in blocks if "input" in (b.get("toolUse") or {})]
    if inputs:
        return json.dumps(inputs[0], ensure_ascii=False)
    texts = [block["text"] for block in blocks if block.get("text") is not None]
    silent = not texts and finish_of(answer) not in ("refusal", "length")
    return None if silent else "".join(texts)


def finish_of(answer: dict[str, Any]) -> FinishReason:
    """How the reply ended."""
    return _FINISH.get(answer.get("stopReason") or "", "other")


def refusals() -> Refusals:
    """What a model may refuse."""
    return Refusals(
        leave_out("inferenceConfig", "topP", names=("top_p", "topP")),
        leave_out("inferenceConfig", "temperature"),
        fewer_enums,
        _no_tool,
        _no_system,
    )


def _no_tool(complaint: str, payload: Payload) -> Change | None:
    """A model that cannot be made to call a tool: the prompt asks for JSON instead."""

    def in_words(payload: Payload) -> Payload:
        if "toolConfig" not in payload:
            return payload
        others = {name: value for name, value in payload.items() if name != "toolConfig"}
        tool = payload["toolConfig"]["tools"][0]["toolSpec"]
        asked = {"text": asked_in_words(tool["inputSchema"]["json"])}
        if "system" in others:
            return others | {"system": [*others["system"], asked]}
        return others | {"messages": _with_first(others["messages"], [asked])}

    if "toolConfig" not in payload or not _TOOLS.search(complaint):
        return None
    return Change("the prompt asks for JSON, and no tool is forced", in_words)


def _no_system(complaint: str, payload: Payload) -> Change | None:
    def merged(payload: Payload) -> Payload:
        if "system" not in payload:
            return payload
        others = {name: value for name, value in payload.items() if name != "system"}
        return others | {"messages": _with_first(others["messages"], payload["system"])}

    if "system" not in payload or not about_system(complaint):
        return None
    return Change("the system message is part of the user's message", merged)


def _with_first(messages: list[Any], blocks: list[Any]) -> list[Any]:
    """Messages whose first one begins with these blocks."""
    first, *others = messages
    return [{**first, "content": [*blocks, *first["content"]]}, *others]
