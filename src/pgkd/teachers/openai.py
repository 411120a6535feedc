"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from pgkd.errors import TeacherError
from pgkd.teachers.base import BatchState, FinishReason, FoundBatch, Reply, Request
from pgkd.teachers.endpoint import token_count
from pgkd.teachers.refusals import (
    Payload,
    Refusals,
    Workaround,
    fewer_enums,
    is_about_system,
    leave_out,
    schema_prompt,
    without,
)
from pgkd.teachers.sdk import CLOCK_SKEW, SdkBatches, SdkTeacher

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


class OpenAITeacher(SdkTeacher):
    """A model behind an OpenAI-compatible endpoint, through the official SDK.

    A request's schema goes out as a strict ``json_schema`` response format. What an endpoint
    refuses of a request is learnt from its error, left out or expressed otherwise from then on,
    and logged once (`pgkd.teachers.refusals`). The reader of a reply checks it in any case.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None is OpenAI's own, or what ``OPENAI_BASE_URL`` names.
        api_key_env: environment variable with the key. With a `base_url` it may be unset:
            local servers need none. The key is read when the teacher is made, and removed from
            every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server error. A run
            repeats calls itself, and records each attempt.
        reasoning_effort: how long a reasoning model thinks, such as ``"low"``; None leaves it to
            the model.

    Raises:
        MissingExtraError: the extra ``openai`` is not installed.
        ConfigError: `base_url` is not a valid address.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry its value.
    """

    name = "openai"
    client_class = "OpenAI"
    path = "/chat/completions"

    def __init__(
        self,
        model: str = "gpt-4o-mini",
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 0,
        reasoning_effort: str | None = None,
    ) -> None:
        super().__init__(
            model, base_url=base_url, api_key_env=api_key_env, timeout=timeout,
            max_retries=max_retries,
        )  # fmt: skip
        fields = ("logprobs", "seed", "reasoning_effort", "top_p", "temperature")
        self.refusals = Refusals(
            _renamed_bound, *map(leave_out, fields), fewer_enums, _plainer_format, _no_system
        )
        self._effort = reasoning_effort
        if "/v" not in urlsplit(self.biller).path:
            self._endpoint.hint = " Most base_urls end in /v1, and this one does not."

    def batches(self) -> OpenAIBatches:
        """OpenAI's Batch API; few other endpoints have it."""
        return OpenAIBatches(self)

    def _payload(self, request: Request) -> Payload:
        payload = {"model": self.model, **request.chat_payload(strict=True)}
        if self._effort is not None:
            payload["reasoning_effort"] = self._effort
        return payload

    def _reply(self, answer: Any, seconds: float) -> Reply:
        choices = getattr(answer, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        error = getattr(answer, "error", None) or getattr(choice, "error", None)
        if error and not getattr(message, "content", None):
            raise self._endpoint.error_within(error)
        text = self._endpoint.check_text(_text(message))
        usage, served = getattr(answer, "usage", None), getattr(answer, "model", None)
        details = getattr(usage, "prompt_tokens_details", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=token_count(getattr(usage, "prompt_tokens", None)),
            output_tokens=token_count(getattr(usage, "completion_tokens", None)),
            seconds=seconds,
            finish_reason=_finish_reason(choice, message),
            logprob=_logprob(choice),
            cached_tokens=token_count(getattr(details, "cached_tokens", None)),
        )


class OpenAIBatches(SdkBatches):
    """The Batch API: a file of requests goes up, files of answers and of errors come down."""

    _teacher: OpenAITeacher
    most_requests = 50_000
    most_bytes = 200_000_000

    def submit(self, tag: str, bodies: Mapping[str, Payload]) -> str:
        """Upload the file, and have it answered."""
        where = {"method": "POST", "url": "/v1/chat/completions"}
        requests = [{"custom_id": name, **where, "body": body} for name, body in bodies.items()]
        lines = b"".join(json.dumps(request).encode() + b"\n" for request in requests)
        file = self._call(self._client.files.create, file=(f"{tag}.jsonl", lines), purpose="batch")
        batch = self._call(
            self._client.batches.create,
            input_file_id=self._id(file),
            endpoint=where["url"],
            completion_window="24h",
            metadata={"pgkd": tag},
        )
        return self._id(batch)

    def state(self, id_: str) -> BatchState | None:
        """The state of a batch."""
        batch = self._retrieve(self._client.batches.retrieve, id_)
        if batch is None:
            return None
        status, counts = getattr(batch, "status", None), getattr(batch, "request_counts", None)
        done = [token_count(getattr(counts, name, None)) or 0 for name in ("completed", "failed")]
        refusal = ""
        if status == "failed":
            refusal = self._endpoint.describe(f"refuses the batch: {_failure(batch)}")
        ended = status in ("completed", "expired", "cancelled", "failed")
        return BatchState(ended, sum(done), refusal)

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """Answers first, then errors: they are in two files."""
        batch = self._retrieve(self._client.batches.retrieve, id_)
        for kind in ("output", "error"):
            file = getattr(batch, f"{kind}_file_id", None)
            if isinstance(file, str) and file:
                for name, record in self._records(f"/files/{quote(file, safe='')}/content"):
                    yield name, self._end(record)

    def find(self, tag: str, since: datetime, size: int) -> FoundBatch:
        """Search the batches made since for the tag."""
        earliest = (since - CLOCK_SKEW).timestamp()
        for batch in self._list(self._client.batches.list):
            made, metadata = getattr(batch, "created_at", None), getattr(batch, "metadata", None)
            if isinstance(made, int | float) and made < earliest:
                break  # the newest come first
            if isinstance(metadata, dict) and metadata.get("pgkd") == tag:
                return FoundBatch(self._id(batch))
        return FoundBatch()

    def _end(self, record: Any) -> Reply | TeacherError:
        response = getattr(record, "response", None)
        status, body = getattr(response, "status_code", None), getattr(response, "body", None)
        try:
            if status == 200:
                return self._teacher._reply(body, 0.0)
        except TeacherError as unreadable:
            return unreadable
        error = getattr(record, "error", None) or getattr(body, "error", None)
        problem = f"{getattr(error, 'code', None)}: {getattr(error, 'message', None)}"
        if isinstance(status, int) and status >= 400:
            return self._endpoint.error(status, problem)
        return TeacherError(self._endpoint.describe(f"gave no answer in the batch: {problem}"))


def _failure(batch: Any) -> str:
    """Why a batch was refused as a whole."""
    errors = getattr(getattr(batch, "errors", None), "data", None)
    found = (
        [getattr(error, "message", None) for error in errors] if isinstance(errors, list) else []
    )
    return " ".join(str(message) for message in found if message) or "no reason is given"


def _text(message: Any) -> str | None:
    """The text of an answer, or the words of a refusal; None where there is no text."""
    content = getattr(message, "content", None)
    if not isinstance(content, list):
        refusal = getattr(message, "refusal", None)
        words = refusal if isinstance(refusal, str) else ""
        return None if message is None else content or words
    texts = [
        part.text
        for part in content
        if getattr(part, "type", None) in ("text", "output_text")  # not the thinking
        and isinstance(getattr(part, "text", None), str)
    ]
    return "".join(texts) if texts else None


def _finish_reason(choice: Any, message: Any) -> FinishReason:
    if getattr(message, "refusal", None):
        return "refusal"
    reason = getattr(choice, "finish_reason", None)
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "other"


def _logprob(choice: Any) -> float | None:
    """Log-probability of the whole answer: the sum over its tokens."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(tokens, list) or not tokens:
        return None
    found = [getattr(token, "logprob", None) for token in tokens]
    numbers = [float(value) for value in found if isinstance(value, int | float)]
    return min(0.0, sum(numbers)) if len(numbers) == len(found) else None


# What an endpoint may refuse; a schema is given up in steps, the mildest first.


def _renamed_bound(complaint: str, payload: Payload) -> Workaround | None:
    """OpenAI's reasoning models call ``max_tokens`` by another name, for it bounds thinking, too.

    An endpoint that finds the number too large mentions the field as well; that is no refusal.
    """

    def rename(payload: Payload) -> Payload:
        bound = payload["max_tokens"]
        return without(payload, "max_tokens") | {"max_completion_tokens": bound}

    mentioned = "max_tokens" in payload and "max_tokens" in complaint
    if not mentioned or not _UNKNOWN_BOUND.search(complaint.lower()):
        return None
    return Workaround("max_completion_tokens replaces max_tokens", rename, thinks=True)


def _plainer_format(complaint: str, payload: Payload) -> Workaround | None:
    """A schema that is not strict, then JSON mode, then words alone."""
    format_ = payload.get("response_format")
    if format_ is None or not _FORMAT.search(complaint):
        return None
    if format_["type"] == "json_object":
        return Workaround("only the prompt asks for JSON", lambda p: without(p, "response_format"))
    if "strict" in complaint.lower() and "strict" in format_["json_schema"]:
        return Workaround(
            "schemas are not strict",
            lambda p: without(p, "response_format", "json_schema", "strict") if _schema(p) else p,
        )
    return Workaround("JSON mode and the prompt replace the schema", _use_json_mode)


def _use_json_mode(payload: Payload) -> Payload:
    schema = _schema(payload)
    if schema is None:
        return payload
    first, *others = payload["messages"]
    # At the end of what all requests begin with, for caches of prefixes.
    extended = {**first, "content": f"{first['content']}\n\n{schema_prompt(schema['schema'])}"}
    return {**payload, "messages": [extended, *others], "response_format": {"type": "json_object"}}


def _schema(payload: Payload) -> dict[str, Any] | None:
    format_: dict[str, Any] = payload.get("response_format", {})
    return format_.get("json_schema")


def _no_system(complaint: str, payload: Payload) -> Workaround | None:
    has_system = any(message["role"] == "system" for message in payload["messages"])
    if not has_system or not is_about_system(complaint):
        return None
    return Workaround("the system message is part of the user's message", _merge_system)


def _merge_system(payload: Payload) -> Payload:
    system = [m["content"] for m in payload["messages"] if m["role"] == "system"]
    others = [m for m in payload["messages"] if m["role"] != "system"]
    if not system or not others:
        return payload
    first = {**others[0], "content": "\n\n".join((*system, others[0]["content"]))}
    return {**payload, "messages": [first, *others[1:]]}
