"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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
_LONGEST_TROUBLE = 500  # characters of an endpoint's error message that are told
_DEFAULT_MODEL = "gpt-4o-mini"
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAITeacher(Teacher):
    """Asks an OpenAI-compatible endpoint through the official SDK.

    A request's schema goes out as a strict ``json_schema`` response format. There is no silent
    fallback: an endpoint that rejects it raises `TeacherRequestError`, one that ignores it may
    answer anything, and the reader of the reply checks it in either case.

    Args:
        model: the model's name at the endpoint.
        base_url: the endpoint; None is OpenAI's own, or what ``OPENAI_BASE_URL`` names.
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset:
            local servers want none. The key is read when the teacher is made, and taken out of
            every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server trouble. A run
            repeats calls itself, and writes down each attempt.

    Raises:
        MissingExtraError: the extra ``openai`` is not installed.
        TeacherAuthError: the variable is empty, and there is no `base_url`; or no HTTP header can
            carry what it holds.
    """

    name = "openai"
    concurrency = 64

    def __init__(
        self,
        model: str = _DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        timeout: float = 120.0,
        max_retries: int = 0,
    ) -> None:
        self._sdk: ModuleType = require("openai", extra="openai", job="The openai teacher")
        self._key = _key(api_key_env, needed=base_url is None)
        self.model = model
        self.biller = base_url or "openai"
        self._client = self._sdk.OpenAI(
            api_key=self._key or "none",
            base_url=base_url,
            timeout=timeout,
            max_retries=max_retries,
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
            completion = self._client.chat.completions.create(**_payload(request, self.model))
        # `from None`: a traceback that shows the SDK's error would show the key it may quote.
        except self._sdk.OpenAIError as error:
            raise self._told(error) from None
        except ValueError as error:  # the body was no JSON
            raise TeacherUnavailableError(self._safe(f"sent no JSON: {error}")) from None
        return self._reply(completion, time.perf_counter() - start)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @property
    def _where(self) -> str:
        """The endpoint without a user, a password or a query: each may be a secret."""
        url = urlsplit(str(self._client.base_url))
        return f"The endpoint {url.scheme}://{url.netloc.rpartition('@')[2]}{url.path}"

    def _safe(self, trouble: str) -> str:
        """What an endpoint says of its trouble, without the key and of bounded length."""
        told = trouble.replace(self._key, "[key]") if self._key else trouble
        cut = told[:_LONGEST_TROUBLE] + (" …" if len(told) > _LONGEST_TROUBLE else "")
        return f"{self._where} {cut}"

    def _reply(self, completion: Any, seconds: float) -> Reply:
        # The SDK builds its objects without checking them: any part may be missing or odd.
        choices = getattr(completion, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        text = getattr(message, "content", None) or ""
        if message is None or not isinstance(text, str):
            raise TeacherUnavailableError(f"{self._where} answered without a message.")
        if len(text) > _LONGEST_REPLY:
            raise TeacherRequestError(
                f"{self._where} answered {len(text)} characters; more than {_LONGEST_REPLY} "
                "are not read."
            )
        usage, served = getattr(completion, "usage", None), getattr(completion, "model", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=_count(usage, "prompt_tokens"),
            output_tokens=_count(usage, "completion_tokens"),
            seconds=round(seconds, 3),
            finish_reason=_finish(choice, message),
        )

    def _told(self, error: Any) -> TeacherError:
        """An error of the SDK as one of ours."""
        sdk, message = self._sdk, self._safe(f"failed: {error}")
        if isinstance(error, (sdk.AuthenticationError, sdk.PermissionDeniedError)):
            # Its text may quote a part of the key, which cannot be found and taken out.
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


def _key(variable: str, *, needed: bool) -> str:
    """The key of an environment variable, empty where there is none."""
    key = os.environ.get(variable, "").strip()  # a key read from a file ends with a line break
    if needed and not key:
        raise TeacherAuthError(f"The environment variable {variable} holds no key.")
    if not (key.isascii() and key.isprintable()):
        raise TeacherAuthError(
            f"The environment variable {variable} holds characters that no key can have: "
            "copy the key again."
        )
    return key


def _count(usage: Any, name: str) -> int | None:
    tokens = getattr(usage, name, None)
    return tokens if isinstance(tokens, int) else None


def _finish(choice: Any, message: Any) -> FinishReason:
    if getattr(message, "refusal", None):
        return "refusal"
    reason = getattr(choice, "finish_reason", None)
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "other"


def _retry_after(error: Any) -> float | None:
    try:
        return float(error.response.headers["retry-after"])
    except (AttributeError, KeyError, ValueError):
        return None
