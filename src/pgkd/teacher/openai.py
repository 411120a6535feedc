"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from pgkd.errors import (
    TeacherAuthError,
    TeacherError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)
from pgkd.extras import require
from pgkd.teacher.base import FinishReason, Reply, Request, Teacher

if TYPE_CHECKING:
    from types import ModuleType

_LONGEST_REPLY = 1_000_000  # characters; more is refused
_DEFAULT_MODEL = "gpt-4o-mini"
_FINISH: dict[str | None, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAITeacher(Teacher):
    """Asks an OpenAI-compatible endpoint through the official SDK.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None is OpenAI's own, or what ``OPENAI_BASE_URL`` names.
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset:
            local servers want none. The key is read when the teacher is made and kept nowhere else.
        timeout: seconds that one attempt may take.
        max_retries: times that the SDK repeats a call after a rate limit or server trouble.

    Raises:
        MissingExtraError: the extra ``openai`` is not installed.
        TeacherAuthError: the variable is empty, and there is no `base_url`.
    """

    name = "openai"

    def __init__(
        self,
        model: str = _DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 3,
    ) -> None:
        self._sdk: ModuleType = require("openai", extra="openai", job="The openai teacher")
        key = os.environ.get(api_key_env)
        if not key and base_url is None:
            raise TeacherAuthError(f"The environment variable {api_key_env} holds no key.")
        self._model = model
        self._client = self._sdk.OpenAI(
            api_key=key or "none", base_url=base_url, timeout=timeout, max_retries=max_retries
        )

    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherAuthError: the key is refused.
            TeacherRateLimitError: too many requests, also after the retries.
            TeacherRequestError: the endpoint refuses this request.
            TeacherUnavailableError: no connection, a timeout or a server error after the retries.
        """
        start = time.perf_counter()
        try:
            completion = self._client.chat.completions.create(**_payload(request, self._model))
        except self._sdk.OpenAIError as error:
            raise self._told(error) from error
        except ValueError as error:  # the body was no JSON
            raise TeacherUnavailableError(f"{self._where} sent no JSON: {error}") from error
        return self._reply(completion, time.perf_counter() - start)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def _where(self) -> str:
        return f"The endpoint {self._client.base_url}"

    def _reply(self, completion: Any, seconds: float) -> Reply:
        choices = getattr(completion, "choices", None)
        if not choices:
            raise TeacherUnavailableError(f"{self._where} answered without a choice.")
        message, usage = choices[0].message, completion.usage
        text = message.content or ""
        if len(text) > _LONGEST_REPLY:
            raise TeacherRequestError(
                f"{self._where} answered {len(text)} characters; more than {_LONGEST_REPLY} "
                "are not read."
            )
        refused = bool(getattr(message, "refusal", None))
        return Reply(
            text=text,
            model=completion.model or self._model,
            input_tokens=usage.prompt_tokens if usage else None,
            output_tokens=usage.completion_tokens if usage else None,
            seconds=round(seconds, 3),
            finish_reason="refusal" if refused else _FINISH.get(choices[0].finish_reason, "other"),
        )

    def _told(self, error: Any) -> TeacherError:
        """An error of the SDK as one of ours; the SDK keeps keys out of its messages."""
        sdk, message = self._sdk, f"{self._where}: {error}"
        if isinstance(error, (sdk.AuthenticationError, sdk.PermissionDeniedError)):
            # Its text may quote a part of the key.
            return TeacherAuthError(f"{self._where} refuses the key ({error.status_code}).")
        if isinstance(error, sdk.RateLimitError):
            return TeacherRateLimitError(message, _retry_after(error))
        if isinstance(error, sdk.APIStatusError) and error.status_code < 500:
            return TeacherRequestError(message)
        return TeacherUnavailableError(message)


def _payload(request: Request, model: str) -> dict[str, Any]:
    sampling = request.sampling
    payload: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in request.messages],
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens,
    }
    if sampling.seed is not None:
        payload["seed"] = sampling.seed
    if request.schema is not None:
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def _retry_after(error: Any) -> float | None:
    try:
        return float(error.response.headers["retry-after"])
    except (AttributeError, KeyError, ValueError):
        return None
