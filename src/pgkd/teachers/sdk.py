"""What the teachers behind the openai and the anthropic SDK share: the two are built alike."""

from __future__ import annotations

import json
import ssl
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from importlib import import_module
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

from pgkd.errors import ConfigError, TeacherError, TeacherRequestError, TeacherUnavailableError
from pgkd.extras import require
from pgkd.teachers.base import Reply, Request
from pgkd.teachers.endpoint import (
    MAX_BODY,
    MAX_COMPLAINT,
    Endpoint,
    RedactingFilter,
    error_words,
    read_key,
    root_cause,
)
from pgkd.teachers.refusals import AdaptingTeacher, Payload, may_think
from pgkd.text import shown

CLOCK_SKEW = timedelta(hours=1)
"""By how much the provider's clock and ours may differ."""
MAX_LINE = 8_000_000  # bytes of one result of a batch; a longer one is skipped
_MAX_FILE = 4_000_000_000  # bytes of the results of a batch, which are never in memory at once
_MAX_ID = 200  # characters
_MAX_PAGES = 100  # of a list
_SHOWN = 100  # characters of an answer that is not JSON
_STREAMED = {"X-Stainless-Raw-Response": "stream"}  # makes the SDK leave the body alone
# httpcore, below httpx, logs the headers of every answer.
_LOGGERS = ["httpx", "httpx2"] + [
    f"{package}.{part}"
    for package in ("httpcore", "httpcore2")
    for part in ("connection", "http11", "http2", "proxy", "socks")
]


class SdkTeacher(AdaptingTeacher):
    """A teacher behind an official SDK whose package and extra have the teacher's name.

    A subclass names the SDK's client and the path of its requests, converts requests and replies,
    and takes the arguments as its own.
    """

    concurrency = 64
    client_class: ClassVar[str]
    path: ClassVar[str]

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None,
        api_key_env: str,
        timeout: float,
        max_retries: int,
    ) -> None:
        self._sdk: ModuleType = require(self.name, extra=self.name, job=f"The {self.name} teacher")
        key = read_key(api_key_env, needed=base_url is None)
        self.model = model
        self.thinks = may_think(model)
        self._timeout = timeout
        # The module whose client the SDK has: httpx or, from openai 3 and anthropic 1, httpx2.
        base = self._sdk.DefaultHttpxClient.__mro__[1]
        self._http = import_module(base.__module__.partition(".")[0])
        self._tls: ssl.SSLContext = self._http.create_ssl_context()  # reads many certificates: once
        try:
            self._client = getattr(self._sdk, self.client_class)(
                api_key=key or "none",
                base_url=base_url,
                timeout=timeout,
                max_retries=max_retries,
                http_client=self._guarded_client(),
            )
        except self._http.InvalidURL as error:
            where = "base_url" if base_url else f"{self.name.upper()}_BASE_URL"
            raise ConfigError(f"{where} is not a valid address: {error}.") from None
        self._clients = [self._client]
        self._idle = deque(self._clients)
        self.biller = str(self._client.base_url)
        if not self.biller.startswith(("http://", "https://")):  # not shown: may have a password
            self._client.close()
            raise ConfigError(f"The {self.name} teacher's base_url needs http:// or https://.")
        self._endpoint = Endpoint(self.biller, key)
        self._filter = RedactingFilter(
            self._endpoint.redact, f"{self.name}._base_client", *_LOGGERS
        )

    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""
        start = time.perf_counter()

        def post(payload: Payload) -> Reply:
            answer = self._post(payload)
            return self._reply(answer, round(time.perf_counter() - start, 3))

        return self.refusals.send(self._payload(request), post)

    @abstractmethod
    def _payload(self, request: Request) -> Payload:
        """A request before anything is known of what the endpoint refuses."""

    @abstractmethod
    def _reply(self, answer: Any, seconds: float) -> Reply:
        """The reply in an answer, of which any part may be missing or odd."""

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients:
            client.close()
        self._filter.stop()

    def _post(self, payload: Payload) -> Any:
        """The endpoint's answer to a payload: objects with attributes.

        This is the SDK's own way to call what it has no method for. Its methods copy the payload by
        the types that it should have, and build a checked model of the answer, which takes longer
        than all the rest of a call.
        """

        def post() -> Any:
            with self._borrow_client() as client:
                response = client.post(self.path, body=payload, cast_to=self._http.Response)
            try:
                return parse_json(response.content)
            except (ValueError, RecursionError):
                body = self._endpoint.redact(response.content.decode("utf-8", "replace"))
                raise TeacherUnavailableError(
                    f"{self._endpoint} sent no JSON, but '{shown(body.strip(), _SHOWN)}'."
                ) from None

        return self._call(post)

    @contextmanager
    def _borrow_client(self) -> Iterator[Any]:
        """A client of the SDK for one call, and with it a connection that no other call uses.

        Calls that share a pool of connections wait for each other, and search it in turn.
        """
        try:
            client = self._idle.pop()
        except IndexError:
            client = self._client.with_options(http_client=self._guarded_client())
            self._clients.append(client)
        try:
            yield client
        finally:
            self._idle.append(client)

    def _call(self, function: Callable[..., Any], *args: Any, **payload: Any) -> Any:
        """The result of a function of the SDK, whose errors are raised as ours."""
        try:
            return function(*args, **payload)
        # `from None`: a traceback that shows the SDK's error would show the key it may quote.
        except getattr(self._sdk, f"{self.client_class}Error") as error:
            raise self._convert_error(error) from None
        except (ValueError, RecursionError) as error:  # the body was not JSON, or nests too deep
            message = self._endpoint.describe(f"sent no JSON: {error}")
            raise TeacherUnavailableError(message) from None

    def _convert_error(self, error: Any) -> TeacherError:
        if isinstance(error.__cause__, TeacherError):
            return error.__cause__  # of `_guarded_client`; some SDKs wrap it
        if not isinstance(error, self._sdk.APIStatusError):
            return TeacherUnavailableError(
                self._endpoint.describe(f"failed: {error}{root_cause(error)}")
            )
        body = error.response.text
        try:
            words = error_words(json.loads(body))
        except (ValueError, RecursionError):
            words = body[:MAX_COMPLAINT]
        # The SDK's text has the message only, and nothing of a body of another shape.
        problem = str(error) if " - " in str(error) or not words else f"{error} - {words}"
        return self._endpoint.error(error.status_code, problem, error.response.headers, words)

    def _guarded_client(self, max_bytes: int = MAX_BODY) -> Any:
        """The SDK's HTTP client, but it follows no redirect and reads no endless body.

        A compressed body is not requested, and refused: a small one may unpack to gigabytes. Error
        messages are never longer than `MAX_BODY`.
        """

        class Bounded(self._http.SyncByteStream):  # type: ignore[misc, name-defined]
            def __init__(self, stream: Any, endpoint: Endpoint, max_bytes: int) -> None:
                self._stream, self._endpoint, self._max_bytes = stream, endpoint, max_bytes

            def __iter__(self) -> Iterator[bytes]:
                yield from self._endpoint.limit(self._stream, self._max_bytes)

            def close(self) -> None:
                self._stream.close()

        def bound(response: Any) -> None:
            endpoint = Endpoint(str(response.url))
            if response.headers.get("content-encoding", "identity") != "identity":
                raise TeacherRequestError(f"{endpoint} sent a compressed body; it is not read.")
            most = max_bytes if response.is_success else MAX_BODY
            response.stream = Bounded(response.stream, endpoint, most)

        return self._sdk.DefaultHttpxClient(
            timeout=self._timeout,
            verify=self._tls,
            follow_redirects=False,
            headers={"accept-encoding": "identity"},
            event_hooks={"response": [bound]},
        )


class SdkBatches:
    """Finds, lists and reads batches; a subclass knows the provider's API.

    Args:
        teacher: whose connection is used.
    """

    def __init__(self, teacher: SdkTeacher) -> None:
        self._teacher = teacher
        self._client = teacher._client
        self._call = teacher._call
        self._endpoint = teacher._endpoint

    def body(self, request: Request) -> Payload:
        """A request as the endpoint takes it."""
        return self._teacher.refusals.apply(self._teacher._payload(request))

    def _retrieve(self, function: Callable[[str], Any], id_: str) -> Any | None:
        """What a function returns for this id; None where the provider does not know it."""

        def retrieve() -> Any | None:
            try:
                return function(id_)
            except self._teacher._sdk.NotFoundError:
                return None

        return self._call(retrieve)

    def _list(self, function: Callable[..., Any]) -> Iterator[Any]:
        """The items of a list that comes in pages."""
        page = self._call(function, limit=100)
        for _ in range(_MAX_PAGES):
            items = getattr(page, "data", None)
            yield from items if isinstance(items, list) else ()
            if not items or not page.has_next_page():
                return
            page = self._call(page.get_next_page)

    def _records(self, path: str) -> Iterator[tuple[str, Any]]:
        """The records of a file of results, by the names of their requests.

        Raises:
            TeacherError: the file cannot be read, or not to its end.
        """
        with self._teacher._guarded_client(_MAX_FILE) as http:
            client = self._client.with_options(http_client=http)
            get = self._call(client.get, path, cast_to=object, options={"headers": _STREAMED})
            with closing(get) as response:
                try:
                    for record in read_records(response.iter_bytes()):
                        name = getattr(record, "custom_id", None)
                        if isinstance(name, str):
                            yield name, record
                except self._teacher._http.HTTPError as error:
                    message = self._endpoint.describe(f"broke off: {error}")
                    raise TeacherUnavailableError(message) from None

    def _id(self, created: Any) -> str:
        """The id of what a call has created."""
        id_ = getattr(created, "id", None)
        if not isinstance(id_, str) or not 0 < len(id_) <= _MAX_ID:
            raise TeacherUnavailableError(f"{self._endpoint} answered without an id.")
        return id_


def parse_json(body: bytes) -> Any:
    """JSON whose objects have attributes, as those of the SDKs do."""
    return json.loads(body, object_hook=lambda data: SimpleNamespace(**data))


def read_records(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The JSON objects of a file of JSON lines of any size; one line is in memory at a time.

    Lines that are damaged, too long or not an object are skipped.
    """
    for line in _lines(chunks):
        try:
            record = parse_json(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, SimpleNamespace):
            yield record


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of bounded length; longer ones are skipped without being stored."""
    parts: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if size + len(end) <= MAX_LINE:
                yield b"".join((*parts, end))
            parts, size = [], 0
        size += len(rest)
        if size > MAX_LINE:
            parts = []
        elif rest:
            parts.append(rest)
    if 0 < size <= MAX_LINE:
        yield b"".join(parts)
