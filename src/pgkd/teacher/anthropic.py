"""Claude models through Anthropic's Messages API."""

from __future__ import annotations

import time
from typing import Any

from pgkd.errors import TeacherRequestError
from pgkd.teacher.base import FinishReason, Reply, Request
from pgkd.teacher.endpoint import count_of
from pgkd.teacher.sdk import SdkTeacher

_DEFAULT_MODEL = "claude-haiku-4-5"  # answers at once; from 5 on they think first
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "max_tokens": "length",
    "refusal": "refusal",
}


class AnthropicTeacher(SdkTeacher):
    """Asks a Claude model through the official SDK.

    A request's schema goes out as ``output_config.format``, the structured output that is generally
    available; the newest models refuse a forced tool call. What it cannot say, such as the number
    of items, the SDK moves into the schema's descriptions.

    No temperature, top_p or seed is sent: the API version that the SDK speaks from 2.0 on refuses
    the first two at any value, and never knew the third.

    Args:
        model: the model's name. Models that think before they answer count that as output: give
            them a larger ``max_tokens``.
        base_url: the endpoint; None is Anthropic's own, or what ``ANTHROPIC_BASE_URL`` names.
        api_key_env: environment variable that holds the key. With a `base_url` it may be unset.
            The key is read when the teacher is made, and taken out of every error message.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that the SDK repeats a call after a rate limit or server trouble. A run
            repeats calls itself, and writes down each attempt.

    Raises:
        MissingExtraError: the extra ``anthropic`` is not installed.
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

    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherAuthError: the key is refused.
            TeacherRateLimitError: too many requests, also after the retries.
            TeacherRequestError: the endpoint refuses this request, or no schema can say it.
            TeacherUnavailableError: no connection, a timeout, an overload or a server error after
                the retries; or an answer that is none.
        """
        payload = self._payload(request)
        start = time.perf_counter()
        message = self._answer(self._client.messages.create, payload)
        return self._reply(message, time.perf_counter() - start)

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
        # The SDK builds its objects without checking them: any part may be missing or odd.
        blocks = getattr(message, "content", None)
        reason = getattr(message, "stop_reason", None)
        finish = _FINISH.get(reason, "other") if isinstance(reason, str) else "other"
        texts = [
            block.text
            for block in (blocks if isinstance(blocks, list) else [])
            if getattr(block, "type", None) == "text" and isinstance(block.text, str)
        ]
        # A model that refuses, or thinks until its tokens are spent, may say nothing.
        silent = not texts and finish not in ("refusal", "length")
        text = self._endpoint.checked(None if silent else "".join(texts))
        usage, served = getattr(message, "usage", None), getattr(message, "model", None)
        return Reply(
            text=text,
            model=served if isinstance(served, str) and served else self.model,
            input_tokens=count_of(getattr(usage, "input_tokens", None)),
            output_tokens=count_of(getattr(usage, "output_tokens", None)),
            seconds=round(seconds, 3),
            finish_reason=finish,
        )
