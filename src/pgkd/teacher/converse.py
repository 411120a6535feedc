"""The wire format of Amazon Bedrock's Converse API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgkd.teacher.base import FinishReason, Request

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
