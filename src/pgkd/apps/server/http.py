"""Bounds on requests in bytes, in time and in number, and refusals; the web UI uses them, too."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pgkd.apps.server.process import Limits

_RETRY_SECONDS = 1  # the queue is short, so there is soon room again
_READ_FACTOR = 8  # an oversized body is read up to this many times the limit, then cut off
_HEAD_BYTES = 64 << 10
_HEAD_TOO_LARGE = "The head of the request is too large."


class RefusedError(Exception):
    """A request that is refused, as JSON that never repeats what the client sent.

    Args:
        status: HTTP status.
        code: a word for programs.
        message: a sentence for people: what is wrong, and what to do.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)

    def response(self, *, close: bool = False) -> JSONResponse:
        """The response; `close` ends the connection, for a body that was not read."""
        headers = {"connection": "close"} if close else {}
        if self.status == 503:
            headers["retry-after"] = str(_RETRY_SECONDS)
        content = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(content, self.status, headers)


class OverloadedError(RefusedError):
    """The server has no capacity for a request now."""

    def __init__(self) -> None:
        message = f"The server is overloaded. Retry in {_RETRY_SECONDS} s."
        super().__init__(503, "overloaded", message)


def constant(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """An endpoint that always answers with the same content of a media type."""

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


class Guard:
    """ASGI middleware that reads bodies within `limits` before the application sees them.

    A client that is still sending when its connection closes may never see the response, so some of
    an oversized body is read and dropped before it is refused.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        if self._in_flight >= self._limits.requests:
            await OverloadedError().response(close=True)(scope, receive, send)
            return
        self._in_flight += 1
        try:
            body = await self._read_in_time(scope, receive)
            if body is not None:
                await self._app(scope, _replay(body, receive), send)
        except RefusedError as refused:
            await refused.response(close=True)(scope, receive, send)
        finally:
            self._in_flight -= 1

    async def _read_in_time(self, scope: Scope, receive: Receive) -> bytes | None:
        seconds = self._limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._read(scope, receive)
        except TimeoutError:
            message = f"The body did not arrive within {seconds:g} s."
            raise RefusedError(408, "too_slow", message) from None

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None if the client has disconnected."""
        limit = self._limits.body_bytes
        message = f"A body may have up to {limit:,} bytes. Send fewer texts at once."
        too_large = RefusedError(413, "body_too_large", message)
        headers = dict(scope["headers"])
        if b"expect" in headers and int(headers.get(b"content-length", 0)) > limit:
            raise too_large  # the client waits for permission to send
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= _READ_FACTOR * limit:
            received = await receive()
            if received["type"] == "http.disconnect":
                return None
            part, more = received.get("body", b""), received.get("more_body", False)
            size += len(part)
            if size <= limit:
                parts.append(part)
            else:
                parts.clear()
        if size > limit:
            raise too_large
        return b"".join(parts)


def _replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body that was read, then whatever comes next."""
    messages = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def replay() -> Message:
        return next(messages, None) or await receive()

    return replay


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection, with a limit in time and in bytes for request heads.

    uvicorn closes connections that are idle between two requests. It waits for ever for a client
    that sends nothing, sends its head a byte a minute, or does not read its responses. httptools
    accepts heads of any size.

    Attributes:
        head_seconds: for a head to arrive, and for a client to read what was written.
    """

    head_seconds = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_is_too_large = False
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first head."""
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Parse the data; close if it is an endless head."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()  # the head is complete, and `Guard` times the body
            return
        self._start_head_timer()
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_HEAD_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Start the response, unless the head, which may have come in one piece, is too large."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > _HEAD_BYTES:
            self._head_is_too_large = True
            raise ValueError(_HEAD_TOO_LARGE)  # ends the parser, and the connection with it
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Describe what is wrong with the head, and close."""
        super().send_400_response(_HEAD_TOO_LARGE if self._head_is_too_large else msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._stop_head_timer()
        self._stop_unread_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Give the client time to read what has piled up."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """The client has read: cancel the timer."""
        self._stop_unread_timer()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; drop what its client has not read by now."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _start_head_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_head_timer(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_unread_timer(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
