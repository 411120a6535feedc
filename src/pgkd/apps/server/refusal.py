"""What a client is told when it gets no answer: always JSON, and never what it sent."""

from __future__ import annotations

from starlette.responses import JSONResponse

_RETRY_SECONDS = 1  # what may wait is little, so there is room again soon


class RefusedError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        code: a word for programs.
        message: a sentence for people: what is wrong, and what to do.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        self.status = status
        self.code = code
        self.message = message
        super().__init__(message)

    def response(self, *, close: bool = False) -> JSONResponse:
        """The response that tells it; `close` ends the connection, where a body is not read."""
        headers = {"connection": "close"} if close else {}
        if self.status == 503:
            headers["retry-after"] = str(_RETRY_SECONDS)
        content = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(content, self.status, headers)


class OverloadedError(RefusedError):
    """There is no room for a request now."""

    def __init__(self) -> None:
        super().__init__(503, "overloaded", f"Too much waits. Retry in {_RETRY_SECONDS} s.")
