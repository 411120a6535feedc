"""The endpoints, and the JSON that they take and return; `/openapi.json` describes both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from itertools import repeat
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from numpy.typing import NDArray
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.exceptions import HTTPException

from pgkd import __version__
from pgkd.apps.server.batching import Batcher
from pgkd.apps.server.http import Guard, OverloadedError, RefusedError, constant
from pgkd.apps.server.metrics import Measured, ServerMetrics
from pgkd.apps.server.process import Limits
from pgkd.task import rounded
from pgkd.tasks import make_task
from pgkd.tasks.classification.exporting import Predictor, ranked

if TYPE_CHECKING:  # a server without a cascade does not need what calls a teacher
    from pgkd.apps.server.cascade import ProxyClient
    from pgkd.export.predictor import Manifest
    from pgkd.task import Answering, Input

_NAME_CHARS = 40  # of a client's field name in a message
_REFUSALS = {
    400: "The body is not JSON.",
    408: "The body arrived too slowly.",
    413: "The body is too large.",
    415: "The content type is not JSON.",
    422: "The body does not fit the schema, or has too many or too long texts.",
    503: "Overloaded: retry after the seconds given by Retry-After.",
}
_NOT_JSON = RefusedError(400, "no_json", "The body is not JSON.")
_PAGE = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
}


class Question(BaseModel):
    """One text, or many."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        json_schema_extra={"examples": [{"texts": ["My parcel never arrived."], "top": 3}]},
    )

    text: str | None = Field(None, description="One text. Give this or `texts`.")
    # One error is enough: a body can have a hundred thousand.
    texts: Annotated[list[str], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Many texts."
    )
    top: int = Field(1, ge=1, description="Maximum number of classes to return for each text.")

    @model_validator(mode="before")
    @classmethod
    def _check_fields(cls, data: Any) -> Any:
        """Report the first unknown field; pydantic would list all of them."""
        names = data if isinstance(data, dict) else ()
        unknown = next((name for name in names if name not in cls.model_fields), None)
        if unknown is not None:
            raise ValueError(f"there is no field {unknown[:_NAME_CHARS]!r}")
        return data

    @model_validator(mode="after")
    def _check_texts(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either 'text' or 'texts'")
        return self


class InputsQuestion(BaseModel):
    """One input of several texts, or many, for a task such as pairs."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: list[str] | None = Field(None, description="The texts of one input. Or give `texts`.")
    texts: Annotated[list[list[str]], Field(min_length=1, fail_fast=True)] | None = Field(
        None, description="Many inputs."
    )

    @model_validator(mode="after")
    def _check_texts(self) -> Self:
        if (self.text is None) == (self.texts is None):
            raise ValueError("give either 'text' or 'texts'")
        return self


class ClassProbability(BaseModel):
    """A class and its probability."""

    label: str
    probability: float


class Prediction(BaseModel):
    """The answer to one text."""

    label: str = Field(description="The class.")
    probability: float | None = Field(
        description="Of that class; null if a teacher gives no confidence."
    )
    top: list[ClassProbability] = Field(
        description="The student's most probable classes, best first."
    )
    by: Literal["student", "teacher"] = Field(
        "student", description="Who answered; the teacher answers in a cascade only."
    )
    abstain: bool = Field(
        False, description="Whether the student answered with less than the required probability."
    )


class Answer(BaseModel):
    """One prediction per text, in the order of the texts."""

    predictions: list[Prediction]


class Status(BaseModel):
    """The state of a worker."""

    status: str


class Answers(BaseModel):
    """What a model that is no classifier says of each text, in the order of the texts."""

    predictions: list[dict[str, Any]] = Field(
        description="As `pgkd predict` has them; `abstain` where the answer is too unsure."
    )


class ModelInfo(BaseModel):
    """The served model and its limits."""

    task: str = Field(description="The kind of task.")
    inputs: list[str] = Field(description="What a text consists of; of several, a list is sent.")
    classes: list[str] = Field(description="Class names of a classifier.")
    format: str = Field(description="Of the export.")
    max_texts: int = Field(description="Per request.")
    max_characters: int = Field(description="Per text.")
    cascade_below: float | None = Field(
        None, description="Texts with a lower probability go to the teacher; null: none."
    )
    abstain_below: float | None = Field(
        None, description="Student answers with a lower probability are flagged; null: none."
    )


class ErrorReason(BaseModel):
    """Why a request was refused."""

    code: str = Field(description="A word for programs.")
    message: str = Field(description="What is wrong, and what to do.")


class Problem(BaseModel):
    """The body of every response whose status is not 2xx."""

    error: ErrorReason


class Service:
    """What the endpoints do; `make_app` describes the arguments."""

    def __init__(
        self,
        model: Any,
        limits: Limits,
        manifest: Manifest,
        abstain_below: float | None,
        teacher: ProxyClient | None,
    ) -> None:
        self._manifest = manifest
        self._inputs = make_task(manifest.task).inputs
        self._classes: tuple[str, ...] = getattr(model, "classes", ())
        self._limits = limits
        self._abstain_below = abstain_below
        self._teacher = teacher
        self.metrics = ServerMetrics()
        self.batcher = Batcher(
            model.predict_proba if isinstance(model, Predictor) else model.answers,
            waiting=limits.waiting,
            on_batch=self.metrics.batch_texts.observe,
        )

    async def predict(self, question: Question) -> Answer:
        """Classify one text, or many.

        A text that is longer than the student reads is cut. The answer to a text does not depend
        on the texts beside it.
        """
        texts = [question.text] if question.text is not None else question.texts or []
        rows = await self._rows(texts)
        predictions = [self._prediction(row, question.top) for row in rows]
        if self._teacher is not None:
            opinions = map(self._second_opinion, texts, predictions, repeat(self._teacher))
            predictions = await asyncio.gather(*opinions)
        for prediction in predictions:
            self.metrics.predictions.labels(prediction.label).inc()
        return Answer(predictions=predictions)

    async def answer(self, question: Question) -> Answers:
        """Answer one text, or many; the answer to a text does not depend on those beside it."""
        texts = [question.text] if question.text is not None else question.texts or []
        return Answers(predictions=[self._flagged(row) for row in await self._rows(texts)])

    async def answer_inputs(self, question: InputsQuestion) -> Answers:
        """The same for inputs of several texts."""
        given = [question.text] if question.text is not None else question.texts or []
        for i, texts in enumerate(given, start=1):
            if len(texts) != len(self._inputs):
                message = f"Input {i} has {len(texts)} texts: give {', '.join(self._inputs)}."
                raise RefusedError(422, "malformed", message)
        rows = await self._rows([tuple(texts) for texts in given])
        return Answers(predictions=[self._flagged(row) for row in rows])

    async def _rows(self, texts: Sequence[Input]) -> list[Any]:
        self._check(texts)
        self.metrics.waiting.inc(len(texts))
        try:
            return await self.batcher.predict(texts)
        finally:
            self.metrics.waiting.dec(len(texts))

    def _flagged(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.metrics.predictions.labels(str(answer.get("label", ""))).inc()
        answer = rounded(answer)
        if self._abstain_below is None:
            return answer
        return {**answer, "abstain": answer.get("probability", 1.0) < self._abstain_below}

    async def model(self) -> ModelInfo:
        """The classes, and how much a request may hold."""
        return ModelInfo(
            task=self._manifest.task,
            inputs=list(self._inputs),
            classes=list(self._classes),
            format=self._manifest.format,
            max_texts=self._limits.texts,
            max_characters=self._limits.characters,
            cascade_below=self._teacher.below if self._teacher else None,
            abstain_below=self._abstain_below,
        )

    async def health(self) -> Status:
        """Whether the process answers, however busy the model is."""
        return Status(status="ok")

    async def ready(self) -> Status:
        """Whether another text is accepted; 503 if a load balancer should send it elsewhere."""
        if self.batcher.full:
            raise OverloadedError
        return Status(status="ready")

    async def numbers(self) -> Response:
        """Counts and times for Prometheus."""
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE_LATEST)

    def _check(self, given: Sequence[Input]) -> None:
        limits = self._limits
        if len(given) > limits.texts:
            message = f"{len(given)} texts; one request may hold {limits.texts}."
            raise RefusedError(422, "too_many_texts", message)
        texts = ((i, text) for i, each in enumerate(given, start=1) for text in _texts(each))
        for i, text in texts:
            if len(text) > limits.characters:
                message = (
                    f"Text {i} has {len(text):,} characters; {limits.characters:,} are allowed."
                )
                raise RefusedError(422, "text_too_long", message)
            try:
                text.encode()
            except UnicodeEncodeError:  # JSON can escape half of a pair, which no tokenizer reads
                message = f"Text {i} has half of a surrogate pair: it is not valid Unicode."
                raise RefusedError(422, "no_text", message) from None

    def _prediction(self, row: NDArray[np.float64], top: int) -> Prediction:
        best = ranked(row, self._classes, top)
        candidates = [ClassProbability(label=name, probability=round(p, 6)) for name, p in best]
        first = candidates[0]
        abstain = self._abstain_below is not None and first.probability < self._abstain_below
        return Prediction(
            label=first.label, probability=first.probability, top=candidates, abstain=abstain
        )

    async def _second_opinion(
        self, text: str, first: Prediction, teacher: ProxyClient
    ) -> Prediction:
        """The teacher's answer if the student is unsure and the teacher has one."""
        assert first.probability is not None
        if first.probability >= teacher.below:
            return first
        outcome, opinion = await teacher.ask(text)
        self.metrics.cascade.labels(outcome).inc()
        if opinion is None:
            return first
        return Prediction(
            label=opinion.label, probability=opinion.confidence, top=first.top, by="teacher"
        )


def _texts(given: Input) -> Iterable[str]:
    return (given,) if isinstance(given, str) else given


def make_app(
    model: Answering,
    limits: Limits,
    manifest: Manifest,
    *,
    abstain_below: float | None = None,
    teacher: ProxyClient | None = None,
) -> FastAPI:
    """The application around an export, for any ASGI server.

    Args:
        model: a loaded export.
        limits: of this process.
        manifest: of the export.
        abstain_below: probability below which an answer of the student is flagged.
        teacher: answers uncertain texts in a cascade; None leaves all of them to the student.

    Returns:
        The application. Its lifespan closes the batcher.
    """
    service = Service(model, limits, manifest, abstain_below, teacher)
    predict: Any = service.predict
    if not isinstance(model, Predictor):
        several = len(make_task(manifest.task).inputs) > 1
        predict = service.answer_inputs if several else service.answer

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await service.batcher.close()

    app = FastAPI(
        title="pgkd",
        version=__version__,
        description="A small model, distilled with pgkd.",
        lifespan=lifespan,
        docs_url=None,  # both load scripts from other sites
        redoc_url=None,
    )
    refusals: dict[int | str, dict[str, Any]] = {
        status: {"model": Problem, "description": text} for status, text in _REFUSALS.items()
    }
    app.add_api_route(
        "/predict", predict, methods=["POST"], responses=refusals,
        dependencies=[Depends(_check_content_type)],
    )  # fmt: skip
    app.add_api_route("/model", service.model)
    app.add_api_route("/health", service.health)
    app.add_api_route("/ready", service.ready, responses={503: refusals[503]})
    app.add_api_route(
        "/metrics", service.numbers, response_class=Response,
        responses={200: {"content": {"text/plain": {}}}},
    )  # fmt: skip
    for path, (name, kind) in _PAGE.items():
        content = (files("pgkd.apps.server") / "page" / name).read_bytes()
        app.add_route(path, constant(content, kind), include_in_schema=False)
    for error in (RefusedError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(error, _on_error)
    paths = [*_PAGE, "/predict", "/model", "/health", "/ready", "/metrics", "/openapi.json"]
    app.add_middleware(Guard, limits=limits)
    app.add_middleware(Measured, metrics=service.metrics, paths=paths)  # around the guard
    return app


async def _check_content_type(request: Request) -> None:
    """Refuse what a page of another site can send without permission: a form, or plain text."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    main, _, sub = kind.partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        message = "Send JSON, with the header Content-Type: application/json."
        raise RefusedError(415, "wrong_content_type", message)


async def _on_error(request: Request, error: Exception) -> Response:
    return _refusal(error).response()


def _refusal(error: Exception) -> RefusedError:
    """What the client is sent: never its own input, and never a traceback, which is in the log."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        if first["type"] == "json_invalid":
            return _NOT_JSON
        where = ".".join(str(part) for part in first["loc"])
        return RefusedError(422, "malformed", f"{where}: {first['msg']}")
    if isinstance(error, HTTPException):
        if error.status_code == 400:  # JSON that is nested too deeply
            return _NOT_JSON
        code = {404: "not_found", 405: "wrong_method"}.get(error.status_code, "refused")
        return RefusedError(error.status_code, code, str(error.detail))
    return RefusedError(500, "failed", "The server failed on this request; see its log.")
