"""Claude models through Anthropic's Messages API."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pgkd.errors import TeacherError, TeacherRequestError
from pgkd.teachers.base import BatchState, FinishReason, FoundBatch, Reply, Request
from pgkd.teachers.endpoint import token_count
from pgkd.teachers.refusals import (
    Payload,
    Refusals,
    Workaround,
    fewer_enums,
    schema_prompt,
    without,
)
from pgkd.teachers.sdk import CLOCK_SKEW, SdkBatches, SdkTeacher

_FORMAT = re.compile(r"output.?(?:config|format)|structured.?output|json.?schema|\bschema\b", re.I)
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "refusal": "refusal",
}


class AnthropicTeacher(SdkTeacher):
    """A Claude model, through the official SDK.

    A request's schema goes out as ``output_config.format``, the structured output that is generally
    available; the newest models refuse a forced tool call. What it cannot say, such as the number
    of items, the SDK moves into the schema's descriptions. Where a model refuses it, the prompt
    asks for JSON instead, from then on (`pgkd.teachers.refusals`).

    No temperature, top_p or seed is sent: the API version that the SDK speaks from 2.0 on refuses
    the first two at any value, and never knew the third.

    Args:
        model: the model's name. Models that think before they answer count that as output: a run
            allows for it in its bounds, unless ``max_tokens`` is given.
        base_url: the endpoint; None is Anthropic's own, or what ``ANTHROPIC_BASE_URL`` names.
        api_key_env: environment variable with the key. With a `base_url` it may be unset.
            The key is read when the teacher is made, and removed from every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server error. A run
            repeats calls itself, and records each attempt.

    Raises:
        MissingExtraError: the extra ``anthropic`` is not installed.
        ConfigError: `base_url` is not a valid address.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry its value.
    """

    name = "anthropic"
    client_class = "Anthropic"
    path = "/v1/messages"

    def __init__(
        self,
        model: str = "claude-haiku-4-5",  # answers at once; from 5 on they think first
        *,
        base_url: str | None = None,
        api_key_env: str = "ANTHROPIC_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 0,
    ) -> None:
        super().__init__(
            model, base_url=base_url, api_key_env=api_key_env, timeout=timeout,
            max_retries=max_retries,
        )  # fmt: skip
        self.refusals = Refusals(fewer_enums, _no_schema)

    def batches(self) -> AnthropicBatches:
        """Anthropic's Message Batches API."""
        return AnthropicBatches(self)

    def _payload(self, request: Request) -> Payload:
        system, turns = request.split_system()
        payload: Payload = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in turns],
            "max_tokens": request.sampling.max_tokens,
        }
        if system:
            payload["system"] = "\n\n".join(system)
        if request.schema is not None:
            try:
                schema = self._sdk.transform_schema(request.schema)
            except (ValueError, AssertionError) as error:
                raise TeacherRequestError(
                    f"Anthropic's structured output does not support this schema: {error}"
                ) from error
            payload["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return payload

    def _reply(self, answer: Any, seconds: float) -> Reply:
        blocks = getattr(answer, "content", None)
        if blocks is None and (error := getattr(answer, "error", None)):
            raise self._endpoint.error_within(error)
        reason = getattr(answer, "stop_reason", None)
        finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
        texts = [
            block.text
            for block in (blocks if isinstance(blocks, list) else [])
            if getattr(block, "type", None) == "text"
            and isinstance(getattr(block, "text", None), str)
        ]
        # A model that refuses, or thinks until its tokens are spent, may return no text.
        missing = not texts and finish not in ("refusal", "length")
        text = self._endpoint.check_text(None if missing else "".join(texts))
        usage, served = getattr(answer, "usage", None), getattr(answer, "model", None)
        cached = getattr(usage, "cache_read_input_tokens", None)
        written = getattr(usage, "cache_creation_input_tokens", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=token_count(getattr(usage, "input_tokens", None), cached, written),
            output_tokens=token_count(getattr(usage, "output_tokens", None)),
            seconds=seconds,
            finish_reason=finish,
            cached_tokens=token_count(cached),
        )


class AnthropicBatches(SdkBatches):
    """The Message Batches API.

    It stores no tag with a batch. So `find` looks at the names of the requests, which are known
    when the batch has ended, of those that were made since and have as many requests.
    """

    _teacher: AnthropicTeacher
    most_requests = 100_000
    most_bytes = 256_000_000
    _ends = ("succeeded", "errored", "canceled", "expired")

    def submit(self, tag: str, bodies: Mapping[str, Payload]) -> str:
        """Submit a batch; the tag is in the requests' names."""
        requests = [{"custom_id": name, "params": body} for name, body in bodies.items()]
        return self._id(self._call(self._client.messages.batches.create, requests=requests))

    def state(self, id_: str) -> BatchState | None:
        """The state of a batch."""
        batch = self._retrieve(self._client.messages.batches.retrieve, id_)
        if batch is None:
            return None
        ended = getattr(batch, "processing_status", None) == "ended"
        return BatchState(ended, _count_requests(batch, *self._ends))

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """All of them are in one file."""
        # Not at `results_url`, to which the SDK would take the key wherever it leads.
        for name, record in self._records(f"/v1/messages/batches/{quote(id_, safe='')}/results"):
            yield name, self._end(getattr(record, "result", None))

    def find(self, tag: str, since: datetime, size: int) -> FoundBatch:
        """Search the names of requests, of batches that may be the one, for the tag."""
        earliest = since - CLOCK_SKEW
        undecided = False
        for batch in self._list(self._client.messages.batches.list):
            made = getattr(batch, "created_at", None)
            if isinstance(made, datetime) and made.replace(tzinfo=made.tzinfo or UTC) < earliest:
                break  # the newest come first
            archived = getattr(batch, "archived_at", None) is not None
            if archived or _count_requests(batch, "processing", *self._ends) != size:
                continue
            if getattr(batch, "processing_status", None) != "ended":
                undecided = True
                continue
            id_ = self._id(batch)
            if self._first_name(id_).startswith(tag):
                return FoundBatch(id_)
        return FoundBatch(undecided=undecided)

    def _first_name(self, id_: str) -> str:
        """Name of one of the requests of a batch; empty where its results are gone."""
        with closing(self.results(id_)) as results:
            try:
                name, _ = next(results, ("", None))
            except TeacherRequestError:
                return ""
        return name

    def _end(self, result: Any) -> Reply | TeacherError:
        kind = getattr(result, "type", None)
        if kind == "succeeded":
            try:
                return self._teacher._reply(getattr(result, "message", None), 0.0)
            except TeacherError as unreadable:
                return unreadable
        error = getattr(getattr(result, "error", None), "error", None)
        problem = f"{getattr(error, 'type', None)}: {getattr(error, 'message', None)}"
        if error is None:
            problem = f"it is {kind}"
        refused = getattr(error, "type", None) == "invalid_request_error"
        error_class = TeacherRequestError if refused else TeacherError
        return error_class(self._endpoint.describe(f"gave no answer in the batch: {problem}"))


def _count_requests(batch: Any, *states: str) -> int:
    """Requests of a batch that are in one of these states."""
    counts = getattr(batch, "request_counts", None)
    return sum(token_count(getattr(counts, state, None)) or 0 for state in states)


def _no_schema(complaint: str, payload: Payload) -> Workaround | None:
    """A model without structured outputs: the prompt asks for JSON instead."""

    def move_to_prompt(payload: Payload) -> Payload:
        if "output_config" not in payload:
            return payload
        prompt = schema_prompt(payload["output_config"]["format"]["schema"])
        others = without(payload, "output_config")
        return others | {"system": "\n\n".join(filter(None, (others.get("system"), prompt)))}

    if "output_config" not in payload or not _FORMAT.search(complaint):
        return None
    return Workaround("only the prompt asks for JSON", move_to_prompt)
