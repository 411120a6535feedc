"""Who may come in: nobody without the token, nobody by another name, nobody from another site.

Other users of the machine, and every web page that its browser shows, can reach a server on
loopback. So a request has to bring

- the **token**: once in the URL, which sets a cookie that scripts cannot read and other sites do
  not send, and then that cookie. It is made anew every time that the web UI opens;
- the web UI's own **Host**: a page whose name was made to point at loopback (DNS rebinding) brings
  its own;
- an **Origin** that is the web UI's, where it changes something, and no sign
  (``Sec-Fetch-Site``) of coming from another site, whatever it asks for.

All others get an empty 403, whatever they ask for: they do not even learn what is there.
"""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

PARAMETER = "token"
_SAFE = ("GET", "HEAD")
_FROM_HERE = ("same-origin", "none")  # none: typed, or opened from a terminal


class Gate:
    """ASGI middleware that lets in who has the token, by the web UI's name, from its pages.

    Args:
        app: what is behind it.
        token: the secret of this web UI.
        hosts: values of the Host header that are the web UI's, port included.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self.cookie = f"pgkd-ui-{hosts[0].rpartition(':')[2]}"  # web UIs on other ports have theirs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http" or not self._comes_from_here(scope):
            await Response(status_code=403)(scope, receive, send)
        elif self._has_cookie(Headers(scope=scope)):
            await self._app(scope, receive, send)
        elif scope["method"] == "GET" and self._has_parameter(scope):
            await self._greeting(scope)(scope, receive, send)
        else:
            await Response(status_code=403)(scope, receive, send)

    def _comes_from_here(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False
        if headers.get("sec-fetch-site", "none") not in _FROM_HERE:
            return False
        own = f"http://{hosts[0].lower()}"
        return scope["method"] in _SAFE or headers.get("origin", "").lower() == own

    def _has_cookie(self, headers: Headers) -> bool:
        # Servers of other ports share the cookies of this host: theirs may be of any form.
        return self._is_token(cookie_parser(headers.get("cookie", "")).get(self.cookie, ""))

    def _has_parameter(self, scope: Scope) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get(PARAMETER, [])
        return len(given) == 1 and self._is_token(given[0])

    def _is_token(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token.encode())

    def _greeting(self, scope: Scope) -> Response:
        """The same page without the token in its address, where it would be seen and kept."""
        query = parse_qs(scope["query_string"].decode("latin-1"))
        del query[PARAMETER]
        # A path of two slashes would be another host.
        where = "/" + scope["path"].lstrip("/\\")
        left = urlencode(query, doseq=True)
        response = RedirectResponse(f"{where}?{left}" if left else where, 303)
        response.set_cookie(self.cookie, self._token, httponly=True, samesite="strict")
        return response
