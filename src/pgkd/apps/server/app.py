"""The endpoints."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from pgkd import __version__
from pgkd.apps.server.batching import Batcher
from pgkd.apps.server.guard import Guard
from pgkd.apps.server.metrics import Measured, Metrics
from pgkd.apps.server.refusal import OverloadedError, RefusedError
from pgkd.apps.server.schemas import Answer, Candidate, Model, Prediction, Problem, Question, Status
from pgkd.export.predictor import ranked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    import numpy as np
    from numpy.typing import NDArray

    from pgkd.apps.server.cascade import DeskClient
    from pgkd.apps.server.limits import Limits
    from pgkd.export.predictor import Predictor

_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"description": "The body is no JSON."},
    408: {"description": "The body came too slowly."},
    413: {"description": "The body is too large."},
    415: {"description": "The content type is not that of JSON."},
    422: {"description": "The body is not as described, or holds too many or too long texts."},
    503: {"description": "Overloaded: retry after the seconds that Retry-After says."},
}
_NO_JSON = RefusedError(400, "no_json", "The body is no JSON.")
_WRONG_TYPE = RefusedError(
    415, "wrong_content_type", "Send JSON, with the header Content-Type: application/json."
)
_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Service:
    """What the endpoints do.

    Args:
        predictor: an export.
        limits: `texts`, `characters` and `waiting` are kept here.
        format: of the export.
        abstain_below: probability below which an answer of the student is flagged.
        desk: asks the teacher in a cascade.
    """

    def __init__(
        self,
        predictor: Predictor,
        limits: Limits,
        format: str,
        abstain_below: float | None = None,
        desk: DeskClient | None = None,
    ) -> None:
        self._classes = predictor.classes
        self._limits = limits
        self._format = format
        self._abstain_below = abstain_below
        self._desk = desk
        self.metrics = Metrics()
        self.batcher = Batcher(
            predictor.predict_proba, waiting=limits.waiting, on_turn=self.metrics.turns.observe
        )

    async def predict(self, question: Question) -> Answer:
        """Classify one text, or many.

        A text that is longer than the student reads is cut. The answer to a text does not depend
        on the texts beside it.
        """
        texts = question.all_texts()
        self._check(texts)
        self.metrics.waiting.inc(len(texts))
        try:
            rows = await self.batcher.predict(texts)
        finally:
            self.metrics.waiting.dec(len(texts))
        predictions = [self._prediction(row, question.top) for row in rows]
        if self._desk is not None:
            predictions = await self._second_opinions(texts, predictions, self._desk)
        for prediction in predictions:
            self.metrics.predictions.labels(prediction.label).inc()
        return Answer(predictions=predictions)

    async def model(self) -> Model:
        """The classes, and how much a request may hold."""
        return Model(
            classes=list(self._classes),
            format=self._format,
            max_texts=self._limits.texts,
            max_characters=self._limits.characters,
            cascade_below=self._desk.below if self._desk else None,
            abstain_below=self._abstain_below,
        )

    async def health(self) -> Status:
        """Whether the process answers, however busy the model is."""
        return Status(status="ok")

    async def ready(self) -> Status:
        """Whether there is room for a text: 503 where a balancer should send it elsewhere."""
        if self.batcher.full:
            raise OverloadedError
        return Status(status="ready")

    async def numbers(self) -> Response:
        """Counts and times for Prometheus."""
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    def _check(self, texts: list[str]) -> None:
        most, longest = self._limits.texts, self._limits.characters
        if len(texts) > most:
            raise RefusedError(
                422, "too_many_texts", f"{len(texts)} texts; one request may hold {most}."
            )
        for i, text in enumerate(texts, start=1):
            if len(text) > longest:
                raise RefusedError(
                    422, "text_too_long",
                    f"Text {i} has {len(text):,} characters; {longest:,} are allowed.",
                )  # fmt: skip
            if not _is_unicode(text):
                raise RefusedError(
                    422, "no_text", f"Text {i} holds half of a surrogate pair: it is no Unicode."
                )

    def _prediction(self, row: NDArray[np.float64], top: int) -> Prediction:
        best = ranked(row, self._classes, top)
        candidates = [Candidate(label=name, probability=round(p, 6)) for name, p in best]
        return Prediction(
            label=candidates[0].label,
            probability=candidates[0].probability,
            top=candidates,
            abstain=self._abstain_below is not None
            and candidates[0].probability < self._abstain_below,
        )

    async def _second_opinions(
        self, texts: list[str], predictions: list[Prediction], desk: DeskClient
    ) -> list[Prediction]:
        """The teacher's answers in the place of those that the student is unsure of."""

        async def opinion(text: str, first: Prediction) -> Prediction:
            assert first.probability is not None
            if first.probability >= desk.below:
                return first
            outcome, found = await desk.ask(text)
            self.metrics.cascade.labels(outcome).inc()
            if found is None:
                return first
            return Prediction(
                label=found.label, probability=found.confidence, top=first.top, by="teacher"
            )

        return list(await asyncio.gather(*map(opinion, texts, predictions)))


def _is_unicode(text: str) -> bool:
    """JSON can escape halves of surrogate pairs, which no tokenizer reads."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def make_app(
    predictor: Predictor,
    limits: Limits,
    format: str = "",
    *,
    abstain_below: float | None = None,
    desk: DeskClient | None = None,
) -> FastAPI:
    """The application around an export, for any ASGI server.

    Args:
        predictor: an export that was loaded.
        limits: of this process.
        format: of the export, to be told.
        abstain_below: probability below which an answer of the student is flagged.
        desk: asks the teacher in a cascade.
    """
    service = Service(predictor, limits, format, abstain_below, desk)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.batcher.close()

    app = FastAPI(
        title="pgkd",
        version=__version__,
        description="A text classifier, distilled with pgkd.",
        lifespan=lifespan,
        docs_url=None,  # both load scripts from elsewhere
        redoc_url=None,
    )
    _add_endpoints(app, service)
    _add_page(app)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _no_endpoint)
    app.add_exception_handler(Exception, _failed)
    paths = [*_PAGE, "/predict", "/model", "/health", "/ready", "/metrics", "/openapi.json"]
    app.add_middleware(Guard, limits=limits)
    app.add_middleware(Measured, metrics=service.metrics, paths=paths)  # around the guard
    return app


def _add_endpoints(app: FastAPI, service: Service) -> None:
    refusals = {status: {"model": Problem, **about} for status, about in _REFUSALS.items()}
    app.add_api_route(
        "/predict", service.predict, methods=["POST"], responses=refusals,
        dependencies=[Depends(_is_json)],
    )  # fmt: skip
    app.add_api_route("/model", service.model)
    app.add_api_route("/health", service.health)
    app.add_api_route("/ready", service.ready, responses={503: refusals[503]})
    app.add_api_route(
        "/metrics", service.numbers, response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )  # fmt: skip


def _add_page(app: FastAPI) -> None:
    folder = files("pgkd.apps.server") / "page"
    for path, (name, kind) in _PAGE.items():
        endpoint = _constant((folder / name).read_bytes(), kind)
        app.add_route(path, endpoint, include_in_schema=False)


def _constant(content: bytes, kind: str) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=kind)

    return endpoint


async def _is_json(request: Request) -> None:
    """Refuse what a page of another site may send unasked: a form, or plain text."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        raise _WRONG_TYPE


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return error.response()


async def _malformed(request: Request, error: Exception) -> Response:
    """Where and what of the first error; what the client sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return _NO_JSON.response()
    where = ".".join(str(part) for part in first["loc"])
    return RefusedError(422, "malformed", f"{where}: {first['msg']}").response()


async def _no_endpoint(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 400:  # of JSON too deep to be read
        return _NO_JSON.response()
    code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "refused")
    return RefusedError(error.status_code, code, str(error.detail)).response()


async def _failed(request: Request, error: Exception) -> Response:
    """The log has the traceback; a client has no use for it."""
    return RefusedError(500, "failed", "The server failed on this; its log says why.").response()
