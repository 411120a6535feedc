"""Claude models through Anthropic's Messages API."""

from __future__ import annotations

import re
import time
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pgkd.errors import TeacherError, TeacherRequestError
from pgkd.teachers.base import FinishReason, Reply, Request
from pgkd.teachers.batch import BatchState, Trace
from pgkd.teachers.endpoint import count_of, count_of_all
from pgkd.teachers.refusals import Change, Payload, Refusals, asked_in_words, fewer_enums
from pgkd.teachers.sdk import SdkTeacher
from pgkd.teachers.sdk_batches import CLOCKS_DIFFER, SdkBatches

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

_DEFAULT_MODEL = "claude-haiku-4-5"  # answers at once; from 5 on they think first
_FORMAT = re.compile(r"output.?(?:config|format)|structured.?output|json.?schema|\bschema\b", re.I)
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "refusal": "refusal",
}


class AnthropicTeacher(SdkTeacher):
    """Asks a Claude model through the official SDK.

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
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset.
            The key is read when the teacher is made, and taken out of every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server trouble. A run
            repeats calls itself, and writes down each attempt.

    Raises:
        MissingExtraError: the extra ``anthropic`` is not installed.
        ConfigError: `base_url` is no address.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry what it holds.
    """

    name = "anthropic"
    client_class = "Anthropic"

    def __init__(
        self,
        model: str = _DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        api_key_env: str = "ANTHROPIC_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 0,
    ) -> None:
        super().__init__(
            model,
            base_url=base_url,
            api_key_env=api_key_env,
            timeout=timeout,
            max_retries=max_retries,
        )
        self.refusals = Refusals(fewer_enums, _no_schema)

    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`.

        Raises:
            TeacherRequestError: the endpoint refuses this request, or no schema can say it.
        """
        start = time.perf_counter()

        def post(payload: Payload) -> Reply:
            message = self._posted("/v1/messages", payload)
            return self._reply(message, time.perf_counter() - start)

        return self.refusals.send(self._payload(request), post)

    def batches(self) -> AnthropicBatches:
        """Anthropic's Message Batches API."""
        return AnthropicBatches(self)

    def _payload(self, request: Request) -> dict[str, Any]:
        said = [m for m in request.messages if m.role != "system"]
        payload: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": m.role, "content": m.content} for m in said],
            "max_tokens": request.sampling.max_tokens,
        }
        if system := [m.content for m in request.messages if m.role == "system"]:
            payload["system"] = "\n\n".join(system)
        if request.schema is not None:
            try:
                schema = self._sdk.transform_schema(request.schema)
            except (ValueError, AssertionError) as error:
                raise TeacherRequestError(
                    f"Anthropic's structured output knows no such schema: {error}"
                ) from error
            payload["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
        return payload

    def _reply(self, message: Any, seconds: float) -> Reply:
        # Nobody has checked it: any part may be missing or odd.
        blocks = getattr(message, "content", None)
        if blocks is None and (error := getattr(message, "error", None)):
            raise self._endpoint.refusal_within(error)
        reason = getattr(message, "stop_reason", None)
        finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
        texts = [
            block.text
            for block in (blocks if isinstance(blocks, list) else [])
            if getattr(block, "type", None) == "text"
            and isinstance(getattr(block, "text", None), str)
        ]
        # A model that refuses, or thinks until its tokens are spent, may say nothing.
        silent = not texts and finish not in ("refusal", "length")
        text = self._endpoint.checked(None if silent else "".join(texts))
        usage, served = getattr(message, "usage", None), getattr(message, "model", None)
        cached = getattr(usage, "cache_read_input_tokens", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=count_of_all(
                getattr(usage, "input_tokens", None),
                cached,
                getattr(usage, "cache_creation_input_tokens", None),
            ),
            output_tokens=count_of(getattr(usage, "output_tokens", None)),
            seconds=round(seconds, 3),
            finish_reason=finish,
            cached_tokens=count_of(cached),
        )


class AnthropicBatches(SdkBatches):
    """The Message Batches API.

    It keeps no mark of ours with a batch. So `find` looks at the names of the requests, which are
    told when the batch has ended, of those that were made since and have as many requests.
    """

    _teacher: AnthropicTeacher
    most_requests = 100_000
    most_bytes = 256_000_000
    _ends = ("succeeded", "errored", "canceled", "expired")

    def body(self, request: Request) -> dict[str, Any]:
        """A request as the endpoint wants it."""
        return self._teacher.refusals.applied(self._teacher._payload(request))

    def submit(self, tag: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Hand it in; the tag is in the requests' names."""
        requests = [{"custom_id": name, "params": body} for name, body in bodies.items()]
        made = self._answer(self._client.messages.batches.create, {"requests": requests})
        return self._id_of(made)

    def state(self, id_: str) -> BatchState | None:
        """How far it is."""
        batch = self._found(self._client.messages.batches.retrieve, id_)
        if batch is None:
            return None
        ended = getattr(batch, "processing_status", None) == "ended"
        return BatchState(ended, sum(_counts(batch, *self._ends)))

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """All of them lie in one file."""
        # Not at `results_url`, to which the SDK would take the key wherever it leads.
        path = f"/v1/messages/batches/{quote(id_, safe='')}/results"
        for record in self._records(path):
            name = getattr(record, "custom_id", None)
            if isinstance(name, str):
                yield name, self._outcome(getattr(record, "result", None))

    def find(self, tag: str, since: datetime, size: int) -> Trace:
        """Look for the tag in the names of requests, of batches that may be the one."""
        earliest = since - CLOCKS_DIFFER
        undecided = False
        for batch in self._listed(self._client.messages.batches.list):
            made = getattr(batch, "created_at", None)
            if isinstance(made, datetime) and made.replace(tzinfo=made.tzinfo or UTC) < earliest:
                break  # the newest come first
            gone = getattr(batch, "archived_at", None) is not None
            if gone or sum(_counts(batch, "processing", *self._ends)) != size:
                continue
            if getattr(batch, "processing_status", None) != "ended":
                undecided = True
                continue
            id_ = self._id_of(batch)
            if self._first_name(id_).startswith(tag):
                return Trace(id_)
        return Trace(undecided=undecided)

    def _first_name(self, id_: str) -> str:
        """Name of one of the requests of a batch; empty where its results are gone."""
        with closing(self.results(id_)) as results:
            try:
                name, _ = next(results, ("", None))
            except TeacherRequestError:
                return ""
        return name

    def _outcome(self, result: Any) -> Reply | TeacherError:
        kind = getattr(result, "type", None)
        if kind == "succeeded":
            try:
                return self._teacher._reply(getattr(result, "message", None), 0.0)
            except TeacherError as unread:
                return unread
        error = getattr(getattr(result, "error", None), "error", None)
        told = f"{getattr(error, 'type', None)}: {getattr(error, 'message', None)}"
        why = told if error is not None else f"it is {kind}"
        refused = getattr(error, "type", None) == "invalid_request_error"
        kind_of_error = TeacherRequestError if refused else TeacherError
        return kind_of_error(self._endpoint.told(f"did not answer it in the batch: {why}"))


def _no_schema(complaint: str, payload: Payload) -> Change | None:
    """A model without structured outputs: the prompt asks for JSON instead."""

    def in_words(payload: Payload) -> Payload:
        if "output_config" not in payload:
            return payload
        others = {name: value for name, value in payload.items() if name != "output_config"}
        asked = asked_in_words(payload["output_config"]["format"]["schema"])
        return others | {"system": "\n\n".join(filter(None, (others.get("system"), asked)))}

    if "output_config" not in payload or not _FORMAT.search(complaint):
        return None
    return Change("only the prompt asks for JSON", in_words)


def _counts(batch: Any, *states: str) -> list[int]:
    """Requests of a batch that are in each of these states."""
    counts = getattr(batch, "request_counts", None)
    return [count_of(getattr(counts, state, None)) or 0 for state in states]
