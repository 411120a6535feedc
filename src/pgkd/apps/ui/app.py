"""The web UI as an ASGI application: its routes, behind a gate that keeps strangers out."""

from __future__ import annotations

import hmac
from importlib.resources import files
from pathlib import Path
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from pgkd.apps.server.http import Guard, constant
from pgkd.apps.server.process import Limits
from pgkd.apps.ui.views import Views, to_html
from pgkd.errors import ConflictError, PgkdError

_STATIC = {
    "ui.css": "text/css",
    "ui.js": "text/javascript",
    "new.js": "text/javascript",
    "htmx-2.0.11.min.js": "text/javascript",
}


def make_app(path: Path, token: str, hosts: tuple[str, ...], who: str, limits: Limits) -> ASGIApp:
    """The web UI behind its gate, for any ASGI server.

    Args:
        path: a run folder, or a folder of runs.
        token: the secret that lets in.
        hosts: the web UI's own Host headers, port included.
        who: the name that decisions are recorded under.
        limits: of requests.

    Raises:
        RunError: the path is a file.
    """
    views = Views(path, who)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    for method, route, endpoint in (
        ("GET", "/", views.runs_page),
        ("GET", "/now", views.runs_update),
        ("GET", "/runs/{name}", views.run_page),
        ("GET", "/runs/{name}/now", views.run_update),
        ("POST", "/runs/{name}/control", views.control),
        ("POST", "/runs/{name}/resume", views.resume),
        ("GET", "/runs/{name}/review", views.review_page),
        ("GET", "/runs/{name}/changes", views.review_update),
        ("GET", "/runs/{name}/editor", views.editor),
        ("POST", "/runs/{name}/decisions", views.decide),
        ("GET", "/runs/{name}/retrain", views.retrain_update),
        ("POST", "/runs/{name}/retrain", views.retrain),
        ("GET", "/new", views.new_page),
        ("POST", "/new/file", views.take_file),
        ("POST", "/new/columns", views.choose_columns),
        ("GET", "/new/estimate", views.estimate_update),
        ("POST", "/new/estimate", views.estimate),
        ("GET", "/new/started", views.start_update),
        ("POST", "/new", views.start),
    ):
        app.add_api_route(route, endpoint, methods=[method])
    for name, kind in _STATIC.items():
        content = (files("pgkd.apps.ui") / "static" / name).read_bytes()
        if name == "ui.css":  # the report and the web UI share a style
            content = (files("pgkd.apps.report") / "page" / "page.css").read_bytes() + content
        app.add_route(f"/static/{name}", constant(content, kind))

    def on_error(request: Request, error: Exception) -> Response:
        """A page or, for a part of one, plain text, which the page then shows."""
        status, message = _describe(error)
        if request.headers.get("hx-request") or request.method != "GET":
            return PlainTextResponse(message, status)
        return to_html(views.render("error.html.j2", message=message), status)

    for kind_of_error in (PgkdError, HTTPException, Exception):
        app.add_exception_handler(kind_of_error, on_error)
    return Gate(Guard(app, limits), token, hosts)


def _describe(error: Exception) -> tuple[int, str]:
    """HTTP status and message of an error."""
    if isinstance(error, PgkdError):
        return 409 if isinstance(error, ConflictError) else 422, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, f"{error.detail}."
    return 500, "The web UI failed on this; the terminal in which it runs shows why."


class Gate:
    """ASGI middleware: only with the token, only under the web UI's name, only from its pages.

    Other users of the machine, and every web page that its browser shows, can reach a server on
    loopback. So a request must have

    - the **token**: once in the URL, which sets a cookie that scripts cannot read and other sites
      do not send, and then that cookie. It is new every time that the web UI opens;
    - the web UI's own **Host**: a page whose name was made to point at loopback (DNS rebinding)
      sends its own;
    - the web UI's **Origin**, if it changes something, and in any case no sign (``Sec-Fetch-Site``)
      of coming from another site.

    All others get an empty 403, whatever they ask for: they do not even learn what is there.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: tuple[str, ...]) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        # Browsers send cookies to all ports of a host, so each web UI has a name of its own.
        self._cookie = f"pgkd-ui-{hosts[0].rpartition(':')[2]}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        response: ASGIApp = Response(status_code=403)
        if scope["type"] == "lifespan":
            response = self._app
        elif scope["type"] == "http" and self._is_from_here(scope):
            query = parse_qs(scope["query_string"].decode("latin-1"))
            if self._has_cookie(scope):
                response = self._app
            elif scope["method"] == "GET" and self._is_token(query.pop("token", [])):
                response = self._let_in(scope["path"], query)
        await response(scope, receive, send)

    def _is_from_here(self, scope: Scope) -> bool:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return False
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):  # none: typed
            return False
        own = f"http://{hosts[0].lower()}"
        return scope["method"] in ("GET", "HEAD") or headers.get("origin", "").lower() == own

    def _has_cookie(self, scope: Scope) -> bool:
        cookies = cookie_parser(Headers(scope=scope).get("cookie", ""))
        return self._is_token([cookies.get(self._cookie, "")])

    def _is_token(self, given: list[str]) -> bool:
        return len(given) == 1 and hmac.compare_digest(given[0].encode(), self._token.encode())

    def _let_in(self, path: str, query: dict[str, list[str]]) -> Response:
        """Set the cookie and redirect to the same URL without the token, which others may see."""
        url = "/" + path.lstrip("/\\")  # a path that begins with two slashes would be another host
        if query:
            url += "?" + urlencode(query, doseq=True)
        response = RedirectResponse(url, 303)
        response.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
        return response
