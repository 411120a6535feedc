"""Models on Amazon Bedrock through its Converse API."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

from pgkd.errors import ConfigError, TeacherAuthError, TeacherError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.base import FinishReason, Reply, Request
from pgkd.teachers.endpoint import Endpoint, RedactingFilter, root_cause, token_count
from pgkd.teachers.refusals import (
    AdaptingTeacher,
    Payload,
    Refusals,
    Workaround,
    fewer_enums,
    is_about_system,
    leave_out,
    may_think,
    schema_prompt,
    without,
)

_JOB = {"extra": "bedrock", "job": "The bedrock teacher"}
_CREDENTIAL_ERRORS = (
    "CredentialRetrievalError", "LoginError", "NoAuthTokenError", "NoCredentialsError",
    "PartialCredentialsError", "SSOError", "TokenRetrievalError",
)  # fmt: skip
_CLIENT_ERRORS = ("ParamValidationError", "InvalidEndpointConfigurationError")
# What botocore's parser raises at JSON that is not shaped as it expects.
_ODD = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
_LOGGERS = [
    f"botocore.{part}" for part in ("auth", "endpoint", "httpsession", "parsers", "regions")
]
_BEARER = "AWS_BEARER_TOKEN_BEDROCK"  # a key of Bedrock's own, in place of AWS credentials
_TOOL = "answer"
_FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "stop",
    "max_tokens": "length",
    "guardrail_intervened": "refusal",
    "content_filtered": "refusal",
}
# Better HTTP statuses than AWS's own: it answers 429 for a model that is not ready.
_STATUS = {
    code: status
    for status, codes in {
        403: "AccessDeniedException ExpiredToken ExpiredTokenException "
        "IncompleteSignatureException InvalidClientTokenId InvalidSignatureException "
        "MissingAuthenticationTokenException UnrecognizedClientException",
        429: "ServiceQuotaExceededException ThrottlingException TooManyRequestsException",
        400: "ResourceNotFoundException ValidationException",
        503: "InternalServerException ModelErrorException ModelNotReadyException "
        "ModelTimeoutException ServiceUnavailableException",
    }.items()
    for code in codes.split()
}
# Claude models refuse temperature, top_p or the pair; a profile of one's own hides its model.
_UNSAMPLED = ("anthropic.", "application-inference-profile/")
_TOOLS = re.compile(r"\btools?\b|tool.?(?:config|choice|use)|\bschema\b", re.I)


class BedrockTeacher(AdaptingTeacher):
    """A model on Amazon Bedrock, through boto3.

    A request's schema goes out as the one tool that the model has to call, and the tool's input
    comes back as the reply. A model that cannot be made to call a tool is asked for JSON in words,
    and what else it refuses is left out, once that is known (`pgkd.teachers.refusals`). Temperature
    and top_p go out unless the model is a Claude, or an application inference profile that may be
    one; there is no seed.

    Credentials come from AWS's own chain, such as the environment and profiles. pgkd does not read
    them, and removes what was sent of them from every error message.

    Args:
        model: a model id, or an inference profile's id or ARN.
        region: AWS region; None is what AWS's own configuration says.
        base_url: another endpoint, such as one in a VPC.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that boto3 repeats a call after a rate limit or server error. A run
            repeats calls itself, and records each attempt.

    Raises:
        MissingExtraError: the extra ``bedrock`` is not installed.
        ConfigError: there is no region, or AWS's configuration or `base_url` is invalid.
        TeacherAuthError: AWS's configuration gives no credentials.
    """

    name = "bedrock"
    concurrency = 64
    biller = "aws"

    def __init__(
        self,
        model: str,
        *,
        region: str | None = None,
        base_url: str | None = None,
        timeout: float = 120.0,
        max_retries: int = 0,
    ) -> None:
        boto3 = require("boto3", **_JOB)
        self._errors: Any = require("botocore.exceptions", **_JOB)
        self._http_errors: Any = require("urllib3.exceptions", **_JOB)
        self._parser_error = require("botocore.parsers", **_JOB).ResponseParserError
        self.model = model
        self.thinks = may_think(model)
        self.refusals = Refusals(
            leave_out("inferenceConfig", "topP", names=("top_p", "topP")),
            leave_out("inferenceConfig", "temperature"),
            fewer_enums,
            _no_tool,
            _no_system,
        )
        config = require("botocore.config", **_JOB).Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": max_retries + 1},
        )
        try:
            session = boto3.session.Session(region_name=region)
            self._client = session.client("bedrock-runtime", endpoint_url=base_url, config=config)
            # Without this check, a run would train first, then fail.
            if session.get_credentials() is None and not os.environ.get(_BEARER):
                raise self._errors.NoCredentialsError
        except self._errors.BotoCoreError as error:
            if _lacks_credentials(error):
                raise _no_credentials(error) from None
            raise ConfigError(f"The bedrock teacher cannot be set up: {error}") from error
        except ValueError:  # its text repeats the address, which may have a password
            raise ConfigError("The bedrock teacher's base_url is not a valid address.") from None
        if not self._client.meta.endpoint_url.startswith(("http://", "https://")):
            self._client.close()
            raise ConfigError("The bedrock teacher's base_url needs http:// or https://.")
        self._endpoint = Endpoint(self._client.meta.endpoint_url)
        self._filter = RedactingFilter(lambda text: self._endpoint.redact(text), *_LOGGERS)
        self._client.meta.events.register("before-send.bedrock-runtime.Converse", self._send)

    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""
        start = time.perf_counter()
        answer, text = self.refusals.send(_payload(request, self.model), self._converse)
        seconds, usage = time.perf_counter() - start, answer.get("usage") or {}
        cached, written = usage.get("cacheReadInputTokens"), usage.get("cacheWriteInputTokens")
        return Reply(
            text=self._endpoint.check_text(text),
            model=self.model,
            input_tokens=token_count(usage.get("inputTokens"), cached, written),
            output_tokens=token_count(usage.get("outputTokens")),
            seconds=round(seconds, 3),
            finish_reason=_finish_reason(answer),
            cached_tokens=token_count(cached),
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._filter.stop()

    def _converse(self, payload: Payload) -> tuple[dict[str, Any], str | None]:
        """The model's answer, and its text."""
        try:
            answer = self._client.converse(**payload)
            return answer, _text(answer)
        # `from None`: a traceback that shows botocore's error would show what it may quote.
        except (self._errors.ClientError, self._errors.BotoCoreError) as error:
            raise self._convert_error(error) from None
        except (self._parser_error, *_ODD) as error:
            message = self._endpoint.describe(f"sent no answer of Converse: {error}")
            raise TeacherUnavailableError(message) from None

    def _send(self, request: Any, **_: Any) -> Any:
        """Send in botocore's place: it would read a body of any size."""
        self._endpoint = Endpoint(self._client.meta.endpoint_url, *_secrets(request.headers))
        request.stream_output = True  # botocore then leaves the body to us
        response = self._client._endpoint.http_session.send(request)
        try:
            body = b"".join(self._endpoint.limit(response.raw.stream()))
        except self._http_errors.HTTPError as error:
            raise self._errors.HTTPClientError(error=error) from None
        finally:
            response.raw.close()
        response.raw = _Body(body)
        return response

    def _convert_error(self, error: Any) -> TeacherError:
        if isinstance(error, self._errors.ClientError):
            details, meta = error.response.get("Error", {}), error.response["ResponseMetadata"]
            code = details.get("Code") or ""
            status = _STATUS.get(code, meta.get("HTTPStatusCode", 500))
            if status == 403 and code in _STATUS:
                return TeacherAuthError(
                    f"{self._endpoint} refuses the credentials, or their access to the model "
                    f"({code})."
                )
            problem = f"{code}: {details.get('Message') or 'no message'}"
            return self._endpoint.error(status, problem, meta.get("HTTPHeaders"))
        kind = type(error).__name__
        if _lacks_credentials(error):
            return _no_credentials(error)
        if kind in _CLIENT_ERRORS:
            return self._endpoint.error(400, str(error))
        # What has no class of its own may quote the headers, and in them the credentials.
        quoted = kind if kind == "HTTPClientError" else f"{kind}: {error}"
        why = root_cause(error, OSError)
        return TeacherUnavailableError(self._endpoint.describe(f"failed: {quoted}{why}"))


class _Body:
    """A body that is already read, as botocore's response reads one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


def _secrets(headers: Any) -> list[str]:
    """What a signed request carries that must not be shown: tokens, and the access key's id."""
    found = []
    for name, value in headers.items():
        if name.lower() in ("authorization", "x-amz-security-token"):
            whole = value.decode() if isinstance(value, bytes) else str(value)
            found += [whole.removeprefix("Bearer ").strip()]
            found += [whole.partition("Credential=")[2].partition("/")[0]]
    return [secret for secret in found if secret]


def _lacks_credentials(error: Exception) -> bool:
    # By name: older versions of botocore lack some of these classes.
    return any(kind.__name__ in _CREDENTIAL_ERRORS for kind in type(error).__mro__)


def _no_credentials(error: Exception) -> TeacherAuthError:
    # The error's text is not shown: it may be the output of a program that fetches credentials.
    return TeacherAuthError(
        f"AWS's configuration gives no credentials ({type(error).__name__}). Set AWS_PROFILE, or "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )


def _payload(request: Request, model: str) -> Payload:
    """The arguments of boto3's `converse`."""
    sampling = request.sampling
    inference: dict[str, Any] = {"maxTokens": sampling.max_tokens}
    if not any(part in model for part in _UNSAMPLED):
        inference |= {"temperature": sampling.temperature, "topP": sampling.top_p}
    system, turns = request.split_system()
    payload: Payload = {
        "modelId": model,
        "messages": [{"role": m.role, "content": [{"text": m.content}]} for m in turns],
        "inferenceConfig": inference,
    }
    if system:
        payload["system"] = [{"text": text} for text in system]
    if request.schema is not None:
        tool = {
            "name": _TOOL,
            "description": "Give the answer.",
            "inputSchema": {"json": request.schema},
        }
        # Of one tool, `any` forces the same as `tool` does, and more models know it.
        payload["toolConfig"] = {"tools": [{"toolSpec": tool}], "toolChoice": {"any": {}}}
    return payload


def _text(answer: dict[str, Any]) -> str | None:
    """The tool's input as JSON, else the text; None where there is neither and should be."""
    # botocore drops what it does not expect: any part may be missing.
    message = (answer.get("output") or {}).get("message") or {}
    blocks = message.get("content") or []
    inputs = [b["toolUse"]["input"] for b in blocks if "input" in (b.get("toolUse") or {})]
    if inputs:
        return json.dumps(inputs[0], ensure_ascii=False)
    texts = [block["text"] for block in blocks if block.get("text") is not None]
    missing = not texts and _finish_reason(answer) not in ("refusal", "length")
    return None if missing else "".join(texts)


def _finish_reason(answer: dict[str, Any]) -> FinishReason:
    return _FINISH.get(answer.get("stopReason") or "", "other")


def _no_tool(complaint: str, payload: Payload) -> Workaround | None:
    """A model that cannot be made to call a tool: the prompt asks for JSON instead."""

    def move_to_prompt(payload: Payload) -> Payload:
        if "toolConfig" not in payload:
            return payload
        others = without(payload, "toolConfig")
        tool = payload["toolConfig"]["tools"][0]["toolSpec"]
        prompt = {"text": schema_prompt(tool["inputSchema"]["json"])}
        if "system" in others:
            return others | {"system": [*others["system"], prompt]}
        return others | {"messages": _prepend(others["messages"], [prompt])}

    if "toolConfig" not in payload or not _TOOLS.search(complaint):
        return None
    return Workaround("the prompt asks for JSON, and no tool is forced", move_to_prompt)


def _no_system(complaint: str, payload: Payload) -> Workaround | None:
    def merge(payload: Payload) -> Payload:
        if "system" not in payload:
            return payload
        others = without(payload, "system")
        return others | {"messages": _prepend(others["messages"], payload["system"])}

    if "system" not in payload or not is_about_system(complaint):
        return None
    return Workaround("the system message is part of the user's message", merge)


def _prepend(messages: list[Any], blocks: list[Any]) -> list[Any]:
    """Messages whose first one begins with these blocks."""
    first, *others = messages
    return [{**first, "content": [*blocks, *first["content"]]}, *others]
