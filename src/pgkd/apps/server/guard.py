"""Reads bodies before the application sees them: bounded in bytes, in time, and in number."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pgkd.apps.server.refusal import OverloadedError, RefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from pgkd.apps.server.limits import Limits

_READ_ON = (
    8  # times the limit: what is read and forgotten, so that a client hears why it is refused
)


class Guard:
    """ASGI middleware around an application that reads bodies.

    A client that is still sending when its connection is closed may never see the answer. So what
    is too large is read on for a while, without being kept.

    Args:
        app: what is guarded.
        limits: `body_bytes`, `body_seconds` and `requests` are kept here.
    """

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self._app = app
        self._limits = limits
        self._in_hand = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
        elif self._in_hand >= self._limits.requests:
            await OverloadedError().response(close=True)(scope, receive, send)
        else:
            self._in_hand += 1
            try:
                await self._guarded(scope, receive, send)
            finally:
                self._in_hand -= 1

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._body(scope, receive)
        except RefusedError as refused:
            await refused.response(close=True)(scope, receive, send)
            return
        if body is not None:
            await self._app(scope, _Replay(body, receive), send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        """The whole body; None where the client has gone.

        Raises:
            RefusedError: it is too large or too slow.
        """
        seconds = self._limits.body_seconds
        try:
            async with asyncio.timeout(seconds):
                return await self._read(scope, receive)
        except TimeoutError:
            raise RefusedError(
                408, "too_slow", f"The body did not arrive within {seconds:g} s."
            ) from None

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        most = self._limits.body_bytes
        too_large = RefusedError(
            413, "body_too_large", f"The body may have {most:,} bytes. Send fewer texts at once."
        )
        headers = dict(scope["headers"])
        if b"expect" in headers and int(headers.get(b"content-length", 0)) > most:
            raise too_large  # the client asks before it sends
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size <= most:
                parts.append(part)
            else:
                parts.clear()
            if size > _READ_ON * most:
                break
        if size > most:
            raise too_large
        return b"".join(parts)


class _Replay:
    """Gives the application the body that was read, then what else comes."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}
