"""The endpoints of the web UI."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Annotated
from urllib.parse import parse_qsl, quote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pgkd.apps.server.guard import Guard
from pgkd.apps.ui.gate import Gate
from pgkd.apps.ui.views import Views
from pgkd.errors import ConflictError, PgkdError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from starlette.types import ASGIApp

    from pgkd.apps.server.limits import Limits
    from pgkd.apps.ui.starting_views import StartingViews

_STATIC = {
    "ui.css": "text/css",
    "ui.js": "text/javascript",
    "new.js": "text/javascript",
    "htmx-2.0.11.min.js": "text/javascript",
}
_LONGEST_FORM = 4 << 20  # bytes; a decision has one text, a class list one a class
_MOST_FIELDS = 20_000  # of a form: one a class, and some


async def _form(request: Request) -> dict[str, str]:
    """A form as browsers send it; of fields that stand twice the last."""
    body = await request.body()
    if len(body) > _LONGEST_FORM:
        raise HTTPException(413, "The form is too large")
    text = body.decode("utf-8", "replace")
    try:
        return dict(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_FIELDS))
    except ValueError as error:
        raise HTTPException(413, "The form has too many fields") from error


Form = Annotated[dict[str, str], Depends(_form)]


def make_app(path: Path, token: str, hosts: tuple[str, ...], who: str, limits: Limits) -> ASGIApp:
    """The web UI behind its gate, for any ASGI server.

    Args:
        path: a run folder, or a folder of runs.
        token: the secret that lets in.
        hosts: Host headers of the web UI.
        who: the name that decisions are written down with.
        limits: of requests.

    Raises:
        RunError: there is no such folder.
    """
    views = Views(path, who)
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_pages(app, views)
    _add_deeds(app, views)
    _add_starting(app, views.starting)
    for name, kind in _STATIC.items():
        app.add_api_route(f"/static/{name}", _constant(name, kind))
    app.add_exception_handler(PgkdError, _told(views))
    app.add_exception_handler(HTTPException, _told(views))
    app.add_exception_handler(Exception, _told(views))
    return Gate(Guard(app, limits), token, hosts)


def _add_pages(app: FastAPI, views: Views) -> None:
    """What is looked at."""

    def overview() -> Response:
        return _html(views.overview())

    def overview_now(version: str = "") -> Response:
        return _fragment(views.overview_now(version))

    def run(name: str) -> Response:
        return _html(views.run(name))

    def run_now(name: str, version: str = "") -> Response:
        return _fragment(views.run_now(name, version))

    def review(name: str, request: Request) -> Response:
        return _html(views.review(name, request.query_params))

    def changes(name: str, request: Request) -> Response:
        return _fragment(views.changes(name, request.query_params))

    def editor(name: str, request: Request) -> Response:
        return _html(views.editor(name, request.query_params))

    def retraining(name: str) -> Response:
        return _html(views.retraining(name))

    app.add_api_route("/", overview)
    app.add_api_route("/now", overview_now)
    app.add_api_route("/runs/{name}", run)
    app.add_api_route("/runs/{name}/now", run_now)
    app.add_api_route("/runs/{name}/review", review)
    app.add_api_route("/runs/{name}/changes", changes)
    app.add_api_route("/runs/{name}/editor", editor)
    app.add_api_route("/runs/{name}/retrain", retraining)


def _add_deeds(app: FastAPI, views: Views) -> None:
    """What changes something."""

    def control(name: str, form: Form) -> Response:
        return _html(views.control(name, form))

    def resume(name: str) -> Response:
        return _html(views.resume(name))

    def decide(name: str, form: Form) -> Response:
        return _html(views.decide(name, form))

    def retrain(name: str) -> Response:
        return _html(views.retrain(name))

    app.add_api_route("/runs/{name}/control", control, methods=["POST"])
    app.add_api_route("/runs/{name}/resume", resume, methods=["POST"])
    app.add_api_route("/runs/{name}/decisions", decide, methods=["POST"])
    app.add_api_route("/runs/{name}/retrain", retrain, methods=["POST"])


def _add_starting(app: FastAPI, views: StartingViews) -> None:
    """What leads to a new run."""

    def begin() -> Response:
        return _html(views.begin())

    async def file(request: Request, name: str = "") -> Response:
        body = await request.body()
        return _html(await run_in_threadpool(views.file, name, body))

    def columns(form: Form) -> Response:
        return _html(views.columns(form))

    def estimate(form: Form) -> Response:
        return _html(views.estimate(form))

    def estimated(draft: str = "") -> Response:
        return _html(views.estimated({"draft": draft}))

    def start(form: Form) -> Response:
        return _html(views.start(form))

    def started(draft: str = "") -> Response:
        page, name = views.started({"draft": draft})
        response = _html(page)
        if name is not None:
            response.headers["hx-redirect"] = f"/runs/{quote(name)}"
        return response

    app.add_api_route("/new", begin)
    app.add_api_route("/new/file", file, methods=["POST"])
    app.add_api_route("/new/columns", columns, methods=["POST"])
    app.add_api_route("/new/estimate", estimate, methods=["POST"])
    app.add_api_route("/new/estimate", estimated)
    app.add_api_route("/new", start, methods=["POST"])
    app.add_api_route("/new/started", started)


def _html(page: str, status: int = 200) -> Response:
    """A page; half a character, which no encoding has, becomes a question mark."""
    return HTMLResponse(page.encode("utf-8", "replace"), status)


def _fragment(part: str | None) -> Response:
    """A part of a page; where it is the one that is there, nothing is sent and nothing changes."""
    return Response(status_code=204) if part is None else _html(part)


def _constant(name: str, kind: str) -> Callable[[], Response]:
    content = (files("pgkd.apps.ui") / "static" / name).read_bytes()
    if name == "ui.css":  # the report and the web UI look alike
        content = (files("pgkd.apps.report") / "page" / "page.css").read_bytes() + content

    def endpoint() -> Response:
        return Response(content, media_type=kind)

    return endpoint


def _told(views: Views) -> Callable[[Request, Exception], Response]:
    """What is wrong, as a page or, for a part of one, as plain text, which the page then shows."""

    def handler(request: Request, error: Exception) -> Response:
        status, message = _status(error)
        if request.headers.get("hx-request") or request.method != "GET":
            return PlainTextResponse(message, status)
        return _html(views.trouble(message), status)

    return handler


def _status(error: Exception) -> tuple[int, str]:
    if isinstance(error, ConflictError):
        return 409, str(error)
    if isinstance(error, PgkdError):
        return 422, str(error)
    if isinstance(error, HTTPException):
        return error.status_code, f"{error.detail}."
    return 500, "the web UI failed on this; the terminal that it runs in says why."
