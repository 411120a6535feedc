"""Any endpoint that speaks OpenAI's chat completions: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import time
from typing import Any

from pgkd.errors import TeacherRequestError
from pgkd.teacher.base import FinishReason, Reply, Request
from pgkd.teacher.endpoint import count_of
from pgkd.teacher.sdk import SdkTeacher

_DEFAULT_MODEL = "gpt-4o-mini"
_FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "refusal",
}


class OpenAITeacher(SdkTeacher):
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
    client_class = "OpenAI"

    def __init__(
        self,
        model: str = _DEFAULT_MODEL,
        *,
        base_url: str | None = None,
        api_key_env: str = "OPENAI_API_KEY",
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

    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherAuthError: the key is refused.
            TeacherRateLimitError: too many requests, also after the retries.
            TeacherRequestError: the endpoint refuses this request.
            TeacherUnavailableError: no connection, a timeout or a server error after the retries.
        """
        start = time.perf_counter()
        payload = _payload(request, self.model)
        try:
            completion = self._answer(self._client.chat.completions.create, payload)
        except TeacherRequestError as error:
            # A log-probability is wanted, not needed: reasoning models refuse to tell it.
            if "logprobs" not in payload or "logprobs" not in str(error):
                raise
            del payload["logprobs"]
            completion = self._answer(self._client.chat.completions.create, payload)
        return self._reply(completion, time.perf_counter() - start)

    def _reply(self, completion: Any, seconds: float) -> Reply:
        # The SDK builds its objects without checking them: any part may be missing or odd.
        choices = getattr(completion, "choices", None)
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = getattr(choice, "message", None)
        text = getattr(message, "content", None) or ""
        text = self._endpoint.checked(None if message is None else text)
        usage, served = getattr(completion, "usage", None), getattr(completion, "model", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=count_of(getattr(usage, "prompt_tokens", None)),
            output_tokens=count_of(getattr(usage, "completion_tokens", None)),
            seconds=round(seconds, 3),
            finish_reason=_finish(choice, message),
            logprob=_logprob(choice),
        )


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
    if request.wants_logprob:
        payload["logprobs"] = True
    if request.schema is not None:
        schema = {"name": "answer", "schema": request.schema, "strict": True}
        payload["response_format"] = {"type": "json_schema", "json_schema": schema}
    return payload


def _finish(choice: Any, message: Any) -> FinishReason:
    if getattr(message, "refusal", None):
        return "refusal"
    reason = getattr(choice, "finish_reason", None)
    return _FINISH.get(reason, "other") if isinstance(reason, str) else "other"


def _logprob(choice: Any) -> float | None:
    """Log-probability of the whole answer: the sum over its tokens."""
    tokens = getattr(getattr(choice, "logprobs", None), "content", None)
    if not isinstance(tokens, list) or not tokens:
        return None
    told = [getattr(token, "logprob", None) for token in tokens]
    numbers = [float(value) for value in told if isinstance(value, int | float)]
    return min(0.0, sum(numbers)) if len(numbers) == len(told) else None
