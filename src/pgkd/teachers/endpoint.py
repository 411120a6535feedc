"""What providers behind an endpoint share: keys, bounded replies, and errors without secrets."""

from __future__ import annotations

import logging
import math
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

from pgkd.errors import (
    ConfigError,
    TeacherAuthError,
    TeacherError,
    TeacherQuotaError,
    TeacherRateLimitError,
    TeacherRequestError,
    TeacherUnavailableError,
)

MAX_REPLY = 1_000_000  # characters; more is refused
MAX_BODY = 8_000_000  # bytes; room for such a reply whose every character is escaped
MAX_COMPLAINT = 10_000  # characters of an error that are searched for what the endpoint refuses
_MAX_TOKENS = 10**12  # of one call, and more than any has
_MAX_MESSAGE = 500  # characters of an endpoint's error that a message quotes
# Where an error's own words are; other parts may repeat what was sent.
_WORDS = (
    "error", "errors", "message", "msg", "detail", "details", "description", "reason", "param",
    "loc", "code", "type", "status", "metadata", "raw",
)  # fmt: skip
_TRANSIENT = (408, 425)  # the server gave up waiting, or was not ready: worth a retry
_QUOTA = re.compile(
    r"insufficient[_ ](?:quota|funds|balance|credits?)|credit balance|billing[_ ]hard[_ ]limit",
    re.I,
)
_TOO_LARGE = re.compile(r"request too large", re.I)
_KEY_ERROR = re.compile(r"api[- _]?key|credential|token|authenticat|signature", re.I)
_ACCESS_ERROR = re.compile(
    r"model|region|country|territor|organi[sz]ation|project|permi|access|allow|enabled|supported",
    re.I,
)
_LIKE_A_KEY = re.compile(r"\b(?:sk|pk|gsk|hf|xai|AIza|AKIA)[-_\w]*|\S*[*…]{2,}\S*")
_STATUS_BY_KIND = {  # an error within an HTTP 200 may name its kind alone
    "authentication_error": "401", "invalid_request_error": "400", "not_found_error": "404",
    "overloaded_error": "529", "permission_error": "403", "rate_limit_error": "429",
    "rate_limit_exceeded": "429", "insufficient_quota": "429",
}  # fmt: skip
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
# Headers as SDKs log them; botocore does so before anybody else knows their values.
_HEADER = re.compile(r"(?i)(x-amz-security-token['\"]?: ?(?:b?['\"])?|\bbearer )[^\s'\"]+")
_FORMATTER = logging.Formatter()


class Endpoint:
    """An address, and errors about it that show no key, user, password or query."""

    def __init__(self, url: str, *secrets: str) -> None:
        self._parts = urlsplit(url)
        self.hint = ""  # a likely cause of a 404
        self._secrets = [s for s in (*secrets, self._parts.password) if s]

    def __str__(self) -> str:
        parts = self._parts
        return f"The endpoint {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"

    def redact(self, text: str) -> str:
        """A text without the secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "[key]")
        return text

    def describe(self, problem: str) -> str:
        """A message about this endpoint, without secrets and of bounded length."""
        problem = self.redact(problem)
        cut = " …" if len(problem) > _MAX_MESSAGE else ""
        return f"{self} {problem[:_MAX_MESSAGE]}{cut}"

    def error(
        self,
        status: int,
        problem: str,
        headers: Mapping[str, str] | None = None,
        complaint: str = "",
    ) -> TeacherError:
        """The error for an answer with this HTTP status.

        Args:
            status: of the answer.
            problem: the message for people.
            headers: of the answer.
            complaint: all words of its error; default: `problem`.
        """
        complaint = complaint or problem
        if status == 402 or (400 <= status < 500 and _QUOTA.search(complaint)):
            return TeacherQuotaError(
                self.describe(f"refuses, because the quota or credit is used up: {problem}")
            )
        if status == 403 and _ACCESS_ERROR.search(complaint) and not _KEY_ERROR.search(complaint):
            return TeacherAuthError(
                self.describe(f"refuses access (403): {_LIKE_A_KEY.sub('[key]', problem)}")
            )
        if status in (401, 403):  # not quoted: it may show a part of the key, which is not known
            return TeacherAuthError(f"{self} refuses the key ({status}).")
        if 300 <= status < 400:
            return TeacherRequestError(
                f"{self} redirects elsewhere ({status}), and pgkd sends the key nowhere else: "
                "set base_url to the new address."
            )
        message = self.describe(f"failed: {problem}")
        if status == 429 and not _TOO_LARGE.search(complaint):
            return TeacherRateLimitError(message, _retry_after(headers or {}))
        if status < 500 and status not in _TRANSIENT:
            refused = TeacherRequestError(message + (self.hint if status == 404 else ""))
            refused.complaint = complaint[:MAX_COMPLAINT]
            return refused
        return TeacherUnavailableError(message)

    def error_within(self, error: Any) -> TeacherError:
        """The error for an answer that was sent as a good one (HTTP 200), and is none."""
        words = error_words(error)
        marks = [str(getattr(error, name, "")) for name in ("code", "status", "type")]
        statuses = [_STATUS_BY_KIND.get(mark, mark) for mark in marks]
        status = next((int(each) for each in statuses if re.fullmatch("[45][0-9]{2}", each)), 502)
        message = getattr(error, "message", None)
        problem = message if isinstance(message, str) and message else words
        return self.error(status, f"{problem} ({status}, within an HTTP 200)", None, words)

    def check_text(self, text: object) -> str:
        """The text of a reply; raises TeacherUnavailableError or -RequestError if unusable."""
        if not isinstance(text, str):
            raise TeacherUnavailableError(f"{self} answered without a message.")
        if len(text) > MAX_REPLY:
            raise TeacherRequestError(
                f"{self} answered {len(text)} characters; more than {MAX_REPLY} are not read."
            )
        return text

    def limit(self, chunks: Iterable[bytes], max_bytes: int = MAX_BODY) -> Iterator[bytes]:
        """The chunks of a body; raises TeacherRequestError where it is too long."""
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if size > max_bytes:
                raise TeacherRequestError(
                    f"{self} answered a body of more than {max_bytes} bytes; it is not read."
                )
            yield chunk


class RedactingFilter(logging.Filter):
    """Takes secrets out of the records of some loggers until `stop`.

    At DEBUG, SDKs log whole requests, including what signs them.
    """

    def __init__(self, redact: Callable[[str], str], *loggers: str) -> None:
        super().__init__()
        self._redact = redact
        self._loggers = [logging.getLogger(name) for name in loggers]
        for logger in self._loggers:
            logger.addFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, clean."""
        message = record.getMessage()
        clean = self._clean(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = self._clean(_FORMATTER.formatException(record.exc_info))
        return True

    def stop(self) -> None:
        """Leave the loggers as they were."""
        for logger in self._loggers:
            logger.removeFilter(self)

    def _clean(self, text: str) -> str:
        return _HEADER.sub(r"\1[key]", self._redact(text))


def read_key(variable: str, *, needed: bool) -> str:
    """The key in an environment variable, empty if it has none.

    Raises TeacherAuthError if it has none and one is needed, or if no HTTP header can carry it.
    """
    key = os.environ.get(variable, "").strip()  # a key read from a file ends with a line break
    if needed and not key:
        raise TeacherAuthError(f"{variable} is not set.")
    if not (key.isascii() and key.isprintable()):
        raise TeacherAuthError(
            f"{variable} has characters that no key can have: copy the key again."
        )
    return key


def check_environment(base_url: str | None) -> None:
    """Raise ConfigError unless an address, the proxies and the certificates can be used.

    The HTTP library reads these variables too, but its errors do not name them. No value of a
    proxy is shown: it may contain a password.
    """
    if base_url is not None:
        try:
            urlsplit(base_url).port  # noqa: B018  (raises where it is not a number)
        except ValueError as error:
            raise ConfigError(f"teacher.base_url is not a valid address: {error}.") from None
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        for variable in (name, name.lower()):
            if address := os.environ.get(variable):
                _check_proxy(variable, address)
    for variable, exists in (("SSL_CERT_FILE", Path.is_file), ("SSL_CERT_DIR", Path.is_dir)):
        path = os.environ.get(variable)
        if path and not exists(Path(path)):
            raise ConfigError(f"{variable} is {path}, which does not exist. Fix or unset it.")
    if path := os.environ.get("SSL_CERT_FILE"):
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            raise ConfigError(f"SSL_CERT_FILE: no certificates in {path}: {error}") from None


def _check_proxy(variable: str, address: str) -> None:
    try:
        parts = urlsplit(address if "://" in address else f"http://{address}")
        parts.port  # noqa: B018
    except ValueError:
        raise ConfigError(f"{variable} is not a valid proxy address. Fix or unset it.") from None
    if parts.scheme not in _PROXY_SCHEMES:
        known = ", ".join(_PROXY_SCHEMES)
        raise ConfigError(
            f'{variable}: unknown proxy scheme "{parts.scheme}". Choose from: {known}.'
        )
    if parts.scheme.startswith("socks") and find_spec("socksio") is None:
        raise ConfigError(
            f"{variable} is a SOCKS proxy. Run: pip install socksio; or unset {variable}."
        )


def error_words(error: Any, depth: int = 8) -> str:
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
    words = (error_words(part, depth - 1) for part in parts)
    return " ".join(word for word in words if word)[:MAX_COMPLAINT]


def token_count(tokens: object, *cached: object) -> int | None:
    """A provider's number of tokens, with those of its cache that it counts apart; None if odd."""
    if not isinstance(tokens, int) or isinstance(tokens, bool) or not 0 <= tokens < _MAX_TOKENS:
        return None
    return tokens + sum(token_count(part) or 0 for part in cached)


def root_cause(error: BaseException, kind: type[BaseException] = BaseException) -> str:
    """Why there is no connection, in brackets: SDKs report a bare "Connection error".

    A cause of another `kind` is not quoted, as it may contain what was sent.
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
