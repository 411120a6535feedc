"""Models on Amazon Bedrock through its Converse API."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError, TeacherAuthError, TeacherError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.converse import STATUS, finish_of, payload_of, refusals, text_of
from pgkd.teachers.endpoint import Endpoint, cause_of, count_of, count_of_all
from pgkd.teachers.quiet import Quiet
from pgkd.teachers.refusals import AdaptingTeacher, may_think

if TYPE_CHECKING:
    from collections.abc import Iterator

_JOB = {"extra": "bedrock", "job": "The bedrock teacher"}
_CREDENTIAL_TROUBLE = (
    "CredentialRetrievalError", "LoginError", "NoAuthTokenError", "NoCredentialsError",
    "PartialCredentialsError", "SSOError", "TokenRetrievalError",
)  # fmt: skip
_OUR_FAULT = ("ParamValidationError", "InvalidEndpointConfigurationError")
# What botocore's parser raises at JSON that is not shaped as it expects.
_ODD = (AttributeError, LookupError, RecursionError, TypeError, ValueError)
_LOGGERS = (
    "botocore.auth", "botocore.endpoint", "botocore.httpsession", "botocore.parsers",
    "botocore.regions",
)  # fmt: skip
_BEARER = "AWS_BEARER_TOKEN_BEDROCK"  # a key of Bedrock's own, in place of AWS credentials


class BedrockTeacher(AdaptingTeacher):
    """Asks a model on Amazon Bedrock through boto3.

    A request's schema goes out as the one tool that the model has to call, and the tool's input
    comes back as the reply. A model that cannot be made to call a tool is asked for JSON in words,
    and what else it refuses is left out, once that is known (`pgkd.teachers.refusals`). Temperature
    and top_p go out unless the model is a Claude, or an application inference profile that may be
    one; there is no seed.

    Credentials come from AWS's own chain, such as the environment and profiles. pgkd does not read
    them, and takes what was sent of them out of every error message.

    Args:
        model: a model id, or an inference profile's id or ARN.
        region: AWS region; None is what AWS's own configuration says.
        base_url: another endpoint, such as one in a VPC.
        timeout: seconds to wait for a connection, or for the next bytes of an answer.
        max_retries: times that boto3 repeats a call after a rate limit or server trouble. A run
            repeats calls itself, and writes down each attempt.

    Raises:
        MissingExtraError: the extra ``bedrock`` is not installed.
        ConfigError: there is no region, or AWS's configuration or `base_url` is no good.
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
        self.refusals = refusals()
        config = require("botocore.config", **_JOB).Config(
            connect_timeout=timeout,
            read_timeout=timeout,
            retries={"mode": "standard", "total_max_attempts": max_retries + 1},
        )
        try:
            session = boto3.session.Session(region_name=region)
            self._client = session.client("bedrock-runtime", endpoint_url=base_url, config=config)
            # Looked for when the client was made; without this, a run would train first, then fail.
            if session.get_credentials() is None and not os.environ.get(_BEARER):
                raise self._errors.NoCredentialsError
        except self._errors.BotoCoreError as error:
            if _lacks_credentials(error):
                raise _no_credentials(error) from None
            raise ConfigError(f"The bedrock teacher cannot be set up: {error}") from error
        except ValueError:  # its text repeats the address, which may hold a password
            raise ConfigError("The bedrock teacher's base_url is no address.") from None
        if not self._client.meta.endpoint_url.startswith(("http://", "https://")):
            self._client.close()
            raise ConfigError("The bedrock teacher's base_url needs http:// or https://.")
        self._endpoint = Endpoint(self._client.meta.endpoint_url)
        self._quiet = Quiet(lambda text: self._endpoint.redacted(text), *_LOGGERS)
        self._client.meta.events.register("before-send.bedrock-runtime.Converse", self._send)

    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""
        start = time.perf_counter()
        answer, text = self.refusals.send(payload_of(request, self.model), self._converse)
        seconds, usage = time.perf_counter() - start, answer.get("usage") or {}
        cached = usage.get("cacheReadInputTokens")
        return Reply(
            text=self._endpoint.checked(text),
            model=self.model,
            input_tokens=count_of_all(
                usage.get("inputTokens"), cached, usage.get("cacheWriteInputTokens")
            ),
            output_tokens=count_of(usage.get("outputTokens")),
            seconds=round(seconds, 3),
            finish_reason=finish_of(answer),
            cached_tokens=count_of(cached),
        )

    def _converse(self, payload: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
        """What the model answers, and the text of it."""
        try:
            answer = self._client.converse(**payload)
            return answer, text_of(answer)
        # `from None`: a traceback that shows botocore's error would show what it may quote.
        except (self._errors.ClientError, self._errors.BotoCoreError) as error:
            raise self._told(error) from None
        except (self._parser_error, *_ODD) as error:
            message = self._endpoint.told(f"sent no answer of Converse: {error}")
            raise TeacherUnavailableError(message) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._quiet.stop()

    def _send(self, request: Any, **_: Any) -> Any:
        """Send in botocore's place: it would read a body of any size."""
        self._endpoint = Endpoint(self._client.meta.endpoint_url, *_secrets(request.headers))
        request.stream_output = True  # botocore then leaves the body to us
        response = self._client._endpoint.http_session.send(request)
        try:
            body = b"".join(self._endpoint.bounded(response.raw.stream()))
        except self._http_errors.HTTPError as error:
            raise self._errors.HTTPClientError(error=error) from None
        finally:
            response.raw.close()
        response.raw = _Body(body)
        return response

    def _told(self, error: Any) -> TeacherError:
        """An error of botocore as one of ours."""
        if isinstance(error, self._errors.ClientError):
            said, meta = error.response.get("Error", {}), error.response["ResponseMetadata"]
            code = said.get("Code") or ""
            status = STATUS.get(code, meta.get("HTTPStatusCode", 500))
            if status == 403 and code in STATUS:
                return TeacherAuthError(
                    f"{self._endpoint} refuses the credentials, or their access to the model "
                    f"({code})."
                )
            trouble = f"{code}: {said.get('Message') or 'no message'}"
            return self._endpoint.refusal(status, trouble, meta.get("HTTPHeaders"))
        kind = type(error).__name__
        if _lacks_credentials(error):
            return _no_credentials(error)
        if kind in _OUR_FAULT:
            return self._endpoint.refusal(400, str(error))
        # What has no class of its own may quote the headers, and in them the credentials.
        quoted = kind if kind == "HTTPClientError" else f"{kind}: {error}"
        why = cause_of(error, OSError)
        return TeacherUnavailableError(self._endpoint.told(f"failed: {quoted}{why}"))


class _Body:
    """A body that is already read, as botocore's response reads one."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def stream(self) -> Iterator[bytes]:
        yield self._data


def _secrets(headers: Any) -> list[str]:
    """What a signed request carries that nobody should read: tokens, and the access key's id."""
    found = []
    for name, value in headers.items():
        if name.lower() in ("authorization", "x-amz-security-token"):
            whole = value.decode() if isinstance(value, bytes) else str(value)
            found += [whole.removeprefix("Bearer ").strip()]
            found += [whole.partition("Credential=")[2].partition("/")[0]]
    return [secret for secret in found if secret]


def _lacks_credentials(error: Exception) -> bool:
    # By name: older versions of botocore lack some of these classes.
    return any(kind.__name__ in _CREDENTIAL_TROUBLE for kind in type(error).__mro__)


def _no_credentials(error: Exception) -> TeacherAuthError:
    # The error's text is not told: it may be the output of a program that fetches credentials.
    return TeacherAuthError(
        f"AWS's configuration gives no credentials ({type(error).__name__}). Set AWS_PROFILE, or "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
    )
