"""A connection that does not wait for ever for a head, nor for a client that does not read.

uvicorn closes a connection that is idle between two requests. It waits without end for one that
sends nothing, or its head a byte a minute, or leaves its answers unread; and httptools takes heads
of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

_HEAD_BYTES = 64 << 10
_TOO_LARGE = "The head of the request is too large."


class Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 connection, with a limit in time and in bytes for heads.

    Attributes:
        head_seconds: for a head to arrive, and for what is written to be read.
    """

    head_seconds = 10.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._head_is_too_large = False
        self._unread_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Parse what came; close where it is a head without end."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_waiting()  # the head is here: from now on the body is waited for
            return
        self._wait_for_head()
        self._head_bytes += len(data)
        if self._head_bytes > _HEAD_BYTES and not self.transport.is_closing():
            self.send_400_response(_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Begin to answer, unless the head that has come, perhaps all at once, is too large."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > _HEAD_BYTES:
            self._head_is_too_large = True
            raise ValueError(_TOO_LARGE)  # the parser ends, and the connection with it
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Say what was wrong with the head, and close."""
        super().send_400_response(_TOO_LARGE if self._head_is_too_large else msg)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self._stop_unread()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """What was written piles up: give the client time to read it."""
        super().pause_writing()
        self._unread_timer = self.loop.call_later(self.head_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It has read."""
        self._stop_unread()
        super().resume_writing()

    def timeout_keep_alive_handler(self) -> None:
        """An idle connection is closed; what its client has not read by now is dropped."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    def _wait_for_head(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_unread(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None
