"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from pgkd.errors import TeacherError
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.batch import BatchState, Trace
from pgkd.teachers.chat import finish_of, logprob_of, payload_of, refusals, text_of
from pgkd.teachers.endpoint import count_of
from pgkd.teachers.sdk import SdkTeacher
from pgkd.teachers.sdk_batches import CLOCKS_DIFFER, SdkBatches

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from datetime import datetime

_DEFAULT_MODEL = "gpt-4o-mini"


class OpenAITeacher(SdkTeacher):
    """Asks an OpenAI-compatible endpoint through the official SDK.

    A request's schema goes out as a strict ``json_schema`` response format. What an endpoint
    refuses of a request is learnt from its error, left out or expressed otherwise from then on,
    and logged once (`pgkd.teachers.refusals`). The reader of a reply checks it in any case.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None is OpenAI's own, or what ``OPENAI_BASE_URL`` names.
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset:
            local servers want none. The key is read when the teacher is made, and taken out of
            every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server trouble. A run
            repeats calls itself, and writes down each attempt.
        reasoning_effort: how long a reasoning model thinks, such as ``"low"``; None leaves it to
            the model.

    Raises:
        MissingExtraError: the extra ``openai`` is not installed.
        ConfigError: `base_url` is no address.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry what it holds.
    """

    name = "openai"
    client_class = "OpenAI"

    def __init__(
        self,
        model: str = _DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 0,
        reasoning_effort: str | None = None,
    ) -> None:
        super().__init__(
            model,
            base_url=base_url,
            api_key_env=api_key_env,
            timeout=timeout,
            max_retries=max_retries,
        )
        self.refusals = refusals()
        self._effort = reasoning_effort
        if "/v" not in urlsplit(self.biller).path:
            self._endpoint.hint = " Most base_urls end in /v1, and this one does not."

    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""
        start = time.perf_counter()

        def post(payload: dict[str, Any]) -> Reply:
            completion = self._posted("/chat/completions", payload)
            return self._reply(completion, time.perf_counter() - start)

        return self.refusals.send(payload_of(request, self.model, self._effort), post)

    def batches(self) -> OpenAIBatches:
        """OpenAI's Batch API; few other endpoints have it."""
        return OpenAIBatches(self)

    def _reply(self, completion: Any, seconds: float) -> Reply:
        # Nobody has checked it: any part may be missing or odd.
        choices = getattr(completion, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        error = getattr(completion, "error", None) or getattr(choice, "error", None)
        if error and not getattr(message, "content", None):
            raise self._endpoint.refusal_within(error)
        text = self._endpoint.checked(text_of(message))
        usage, served = getattr(completion, "usage", None), getattr(completion, "model", None)
        details = getattr(usage, "prompt_tokens_details", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=count_of(getattr(usage, "prompt_tokens", None)),
            output_tokens=count_of(getattr(usage, "completion_tokens", None)),
            seconds=round(seconds, 3),
            finish_reason=finish_of(choice, message),
            logprob=logprob_of(choice),
            cached_tokens=count_of(getattr(details, "cached_tokens", None)),
        )


class OpenAIBatches(SdkBatches):
    """The Batch API: a file of requests goes up, files of answers and of errors come down."""

    _teacher: OpenAITeacher
    most_requests = 50_000
    most_bytes = 200_000_000
    _ended = ("completed", "expired", "cancelled", "failed")
    _tagged = "pgkd"  # the key of the batch's metadata that holds our tag

    def body(self, request: Request) -> dict[str, Any]:
        """A request as the endpoint wants it."""
        payload = payload_of(request, self._teacher.model, self._teacher._effort)
        return self._teacher.refusals.applied(payload)

    def submit(self, tag: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Send the file up, and have it answered."""
        lines = b"".join(_line(name, body) for name, body in bodies.items())
        file = {"file": (f"{tag}.jsonl", lines), "purpose": "batch"}
        sent = self._id_of(self._answer(self._client.files.create, file))
        batch = {
            "input_file_id": sent,
            "endpoint": "/v1/chat/completions",
            "completion_window": "24h",
            "metadata": {self._tagged: tag},
        }
        return self._id_of(self._answer(self._client.batches.create, batch))

    def state(self, id_: str) -> BatchState | None:
        """How far it is."""
        batch = self._found(self._client.batches.retrieve, id_)
        if batch is None:
            return None
        status, counts = getattr(batch, "status", None), getattr(batch, "request_counts", None)
        done = [count_of(getattr(counts, name, None)) or 0 for name in ("completed", "failed")]
        refused = status == "failed"
        refusal = self._endpoint.told(f"refuses the batch: {_why(batch)}") if refused else ""
        return BatchState(status in self._ended, sum(done), refusal)

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """Answers first, then errors: they lie in two files."""
        batch = self._found(self._client.batches.retrieve, id_)
        files = [getattr(batch, f"{name}_file_id", None) for name in ("output", "error")]
        for file in files:
            if not isinstance(file, str) or not file:
                continue
            for record in self._records(f"/files/{quote(file, safe='')}/content"):
                name = getattr(record, "custom_id", None)
                if isinstance(name, str):
                    yield name, self._outcome(record)

    def find(self, tag: str, since: datetime, size: int) -> Trace:
        """Look for the tag among the batches made since."""
        earliest = (since - CLOCKS_DIFFER).timestamp()
        for batch in self._listed(self._client.batches.list):
            made, marks = getattr(batch, "created_at", None), getattr(batch, "metadata", None)
            if isinstance(made, int | float) and made < earliest:
                break  # the newest come first
            if isinstance(marks, dict) and marks.get(self._tagged) == tag:
                return Trace(self._id_of(batch))
        return Trace()

    def _outcome(self, record: Any) -> Reply | TeacherError:
        response = getattr(record, "response", None)
        status, body = getattr(response, "status_code", None), getattr(response, "body", None)
        try:
            if status == 200:
                return self._teacher._reply(body, 0.0)
        except TeacherError as unread:
            return unread
        error = getattr(record, "error", None) or getattr(body, "error", None)
        told = f"{getattr(error, 'code', None)}: {getattr(error, 'message', None)}"
        if isinstance(status, int) and status >= 400:
            return self._endpoint.refusal(status, told)
        return TeacherError(self._endpoint.told(f"did not answer it in the batch: {told}"))


def _line(name: str, body: dict[str, Any]) -> bytes:
    request = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
    return json.dumps(request).encode() + b"\n"


def _why(batch: Any) -> str:
    """Why a batch was refused as a whole."""
    errors = getattr(getattr(batch, "errors", None), "data", None)
    told = [getattr(error, "message", None) for error in errors] if isinstance(errors, list) else []
    return " ".join(str(message) for message in told if message) or "no reason is given"
