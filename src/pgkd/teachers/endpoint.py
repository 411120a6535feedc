"""What providers behind an endpoint share: the key, bounded replies, what is told of trouble."""

from __future__ import annotations

import json
import math
import os
import re
import socket
import ssl
from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pgkd.errors import (
    TeacherAuthError,
    TeacherError,
    TeacherQuotaError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import ModuleType

LONGEST_REPLY = 1_000_000  # characters; more is refused
LONGEST_BODY = 8_000_000  # bytes; room for such a reply whose every character is escaped
_MOST_TOKENS = 10**12  # of one call, and more than any has
_LONGEST_TROUBLE = 500  # characters of an endpoint's error message that are told
_LONGEST_COMPLAINT = 10_000  # characters of it that are searched for what it refuses
# Where an error's own words stand; other parts may repeat what was sent.
_WORDS = (
    "error", "errors", "message", "msg", "detail", "details", "description", "reason", "param",
    "loc", "code", "type", "status", "metadata", "raw",
)  # fmt: skip
_TRANSIENT = (408, 425)  # the server gave up waiting, or was not ready: worth a retry
_SPENT = re.compile(
    r"insufficient[_ ](?:quota|funds|balance|credits?)|credit balance|billing[_ ]hard[_ ]limit",
    re.I,
)
_TOO_LARGE = re.compile(r"request too large", re.I)
_OF_THE_KEY = re.compile(r"api[- _]?key|credential|token|authenticat|signature", re.I)
_OF_ACCESS = re.compile(
    r"model|region|country|territor|organi[sz]ation|project|permi|access|allow|enabled|supported",
    re.I,
)
_LIKE_A_KEY = re.compile(r"\b(?:sk|pk|gsk|hf|xai|AIza|AKIA)[-_\w]*|\S*[*…]{2,}\S*")
_STATUS_OF_KIND = {  # an error within an HTTP 200 may name its kind alone
    "authentication_error": "401", "invalid_request_error": "400", "not_found_error": "404",
    "overloaded_error": "529", "permission_error": "403", "rate_limit_error": "429",
    "rate_limit_exceeded": "429", "insufficient_quota": "429",
}  # fmt: skip


class Endpoint:
    """An address, and what may be told of it: no key, no user, no password, no query."""

    def __init__(self, url: str, *secrets: str) -> None:
        self._parts = urlsplit(url)
        self.hint = ""  # what a 404 may come from
        self._secrets = [s for s in (*secrets, self._parts.password) if s]

    def __str__(self) -> str:
        parts = self._parts
        return f"The endpoint {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def redacted(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def told(self, trouble: str) -> str:
        """What an endpoint says of its trouble, without secrets and of bounded length."""
        trouble = self.redacted(trouble)
        cut = " …" if len(trouble) > _LONGEST_TROUBLE else ""
        return f"{self} {trouble[:_LONGEST_TROUBLE]}{cut}"

    def refusal(
        self,
        status: int,
        trouble: str,
        headers: Mapping[str, str] | None = None,
        complaint: str = "",
    ) -> TeacherError:
        """The error for an answer with this HTTP status.

        Args:
            status: of the answer.
            trouble: the message for people.
            headers: of the answer.
            complaint: all words of its error; default: `trouble`.
        """
        complaint = complaint or trouble
        if status == 402 or (400 <= status < 500 and _SPENT.search(complaint)):
            spent = self.told(f"refuses, because the quota or credit is used up: {trouble}")
            return TeacherQuotaError(spent)
        if status == 403 and _OF_ACCESS.search(complaint) and not _OF_THE_KEY.search(complaint):
            return TeacherAuthError(
                self.told(f"refuses access (403): {_LIKE_A_KEY.sub('[key]', trouble)}")
            )
        if status in (401, 403):
            # The answer may quote a part of the key, which cannot be found and taken out.
            return TeacherAuthError(f"{self} refuses the key ({status}).")
        if 300 <= status < 400:
            return TeacherRequestError(
                f"{self} points elsewhere ({status}), and pgkd takes the key nowhere else: "
                "set base_url to the new address."
            )
        message = self.told(f"failed: {trouble}")
        if status == 429 and not _TOO_LARGE.search(complaint):
            return TeacherRateLimitError(message, _retry_after(headers or {}))
        if status < 500 and status not in _TRANSIENT:
            refused = TeacherRequestError(message + (self.hint if status == 404 else ""))
            refused.complaint = complaint[:_LONGEST_COMPLAINT]
            return refused
        return TeacherUnavailableError(message)

    def refusal_within(self, error: Any) -> TeacherError:
        """The error for an answer that was sent as a good one (HTTP 200), and is none."""
        words = complaint_of(error)
        marks = [str(getattr(error, name, "")) for name in ("code", "status", "type")]
        statuses = [_STATUS_OF_KIND.get(mark, mark) for mark in marks]
        status = next((int(each) for each in statuses if re.fullmatch("[45][0-9]{2}", each)), 502)
        message = getattr(error, "message", None)
        trouble = message if isinstance(message, str) and message else words
        return self.refusal(status, f"{trouble} ({status}, within an HTTP 200)", None, words)

    def checked(self, text: object) -> str:
        """The text of a reply.

        Raises:
            TeacherUnavailableError: it is no text.
            TeacherRequestError: it is too long.
        """
        if not isinstance(text, str):
            raise TeacherUnavailableError(f"{self} answered without a message.")
        if len(text) > LONGEST_REPLY:
            raise TeacherRequestError(
                f"{self} answered {len(text)} characters; more than {LONGEST_REPLY} are not read."
            )
        return text

    def bounded(self, chunks: Iterable[bytes], longest: int = LONGEST_BODY) -> Iterator[bytes]:
        """The chunks of a body, as long as it is not too long.

        Raises:
            TeacherRequestError: it is.
        """
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > longest:
                raise TeacherRequestError(
                    f"{self} answered a body of more than {longest} bytes; it is not read."
                )
            yield chunk


def key_of(variable: str, *, needed: bool) -> str:
    """The key of an environment variable, empty where there is none.

    Raises:
        TeacherAuthError: there is none, and it is needed; or no HTTP header can carry it.
    """
    key = os.environ.get(variable, "").strip()  # a key read from a file ends with a line break
    if needed and not key:
        raise TeacherAuthError(f"The environment variable {variable} holds no key.")
    if not (key.isascii() and key.isprintable()):
        raise TeacherAuthError(
            f"The environment variable {variable} holds characters that no key can have: "
            "copy the key again."
        )
    return key


def parsed(body: bytes) -> Any:
    """JSON whose objects have attributes, as those of the SDKs do.

    Raises:
        ValueError, RecursionError: it is no JSON, or nests too deep.
    """
    return json.loads(body, object_hook=_with_attributes)


def complaint_of(error: Any, depth: int = 8) -> str:
    """The words of an error body, without what it repeats of the request."""
    if isinstance(error, SimpleNamespace):
        error = vars(error)
    if isinstance(error, str | int):
        return str(error)
    if depth == 0:
        return ""
    if isinstance(error, dict):
        parts = [error[name] for name in _WORDS if name in error]
    else:
        parts = error if isinstance(error, list) else []
    words = (complaint_of(part, depth - 1) for part in parts)
    return " ".join(word for word in words if word)[:_LONGEST_COMPLAINT]


def _with_attributes(data: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(**data)


def count_of(tokens: object) -> int | None:
    """A number of tokens, None where it is none that can be."""
    if not isinstance(tokens, int) or isinstance(tokens, bool):
        return None
    return tokens if 0 <= tokens < _MOST_TOKENS else None


def count_of_all(fresh: object, *cached: object) -> int | None:
    """Tokens of a prompt, of which some providers count those apart that touch their cache.

    Args:
        fresh: the others.
        cached: read from the cache, and written to it.
    """
    count = count_of(fresh)
    return None if count is None else count + sum(count_of(part) or 0 for part in cached)


def http_of(sdk: Any) -> ModuleType:
    """The module whose client an SDK has: httpx or, from openai 3 and anthropic 1, httpx2."""
    return import_module(sdk.DefaultHttpxClient.__mro__[1].__module__.partition(".")[0])


def guarded_client(
    sdk: Any, timeout: float, longest: int = LONGEST_BODY, *, tls: ssl.SSLContext | None = None
) -> Any:
    """The HTTP client of an SDK, but it follows no redirect and reads no endless body.

    The SDKs follow redirects and read whole bodies. A packed body is not asked for, and refused:
    a small one may unpack to gigabytes.

    Args:
        sdk: the module of the openai or the anthropic SDK.
        timeout: seconds to wait for a connection, or for the next bytes.
        longest: bytes of a body that are read, where it is no error message.
        tls: whom it trusts, as several clients may share it; None is its own default.
    """
    http = http_of(sdk)

    class Bounded(http.SyncByteStream):  # type: ignore[misc, name-defined]
        def __init__(self, stream: Any, endpoint: Endpoint, most: int) -> None:
            self._stream, self._endpoint, self._most = stream, endpoint, most

        def __iter__(self) -> Iterator[bytes]:
            yield from self._endpoint.bounded(self._stream, self._most)

        def close(self) -> None:
            self._stream.close()

    def bound(response: Any) -> None:
        endpoint = Endpoint(str(response.url))
        if response.headers.get("content-encoding", "identity") != "identity":
            raise TeacherRequestError(f"{endpoint} answered a packed body; it is not read.")
        most = longest if response.is_success else LONGEST_BODY
        response.stream = Bounded(response.stream, endpoint, most)

    return sdk.DefaultHttpxClient(
        timeout=timeout,
        verify=True if tls is None else tls,
        follow_redirects=False,
        headers={"accept-encoding": "identity"},
        event_hooks={"response": [bound]},
    )


def error_of_sdk(sdk: Any, error: Any, endpoint: Endpoint) -> TeacherError:
    """An error of the openai or the anthropic SDK, whose errors have the same names, as ours."""
    if isinstance(error.__cause__, TeacherError):
        return error.__cause__  # of `guarded_client`; some SDKs wrap it
    if isinstance(error, sdk.APIStatusError):
        words = _words_of(error.response.text)
        # The SDK's text has the message only, and nothing of a body of another shape.
        trouble = str(error) if " - " in str(error) or not words else f"{error} - {words}"
        return endpoint.refusal(error.status_code, trouble, error.response.headers, words)
    return TeacherUnavailableError(endpoint.told(f"failed: {error}{cause_of(error)}"))


def _words_of(body: str) -> str:
    try:
        return complaint_of(json.loads(body))
    except (ValueError, RecursionError):
        return body[:_LONGEST_COMPLAINT]


def cause_of(error: BaseException, kind: type[BaseException] = BaseException) -> str:
    """Why there is no connection, in brackets, as SDKs report a bare "Connection error".

    Args:
        error: the SDK's.
        kind: causes to report; the text of another exception may quote what was sent.
    """
    deepest = error
    while (below := deepest.__cause__ or deepest.__context__) is not None:
        deepest = below
    if deepest is error or not isinstance(deepest, kind) or not str(deepest):
        return ""
    names = ((ssl.SSLError, "TLS: "), (socket.gaierror, "DNS, the host's name: "))
    name = next((name for class_, name in names if isinstance(deepest, class_)), "")
    return f" ({name}{deepest})"


def _retry_after(headers: Mapping[str, str]) -> float | None:
    try:
        if "retry-after-ms" in headers:
            seconds = float(headers["retry-after-ms"]) / 1000
        else:
            seconds = float(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < math.inf else None
