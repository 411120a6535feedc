"""OpenTelemetry: a trace of a run, with a span for each round and each call to the teacher.

Calls follow the semantic conventions for generative AI. Prompts, replies and messages of errors are
in no span. OTEL_EXPORTER_OTLP_* say where spans go; a provider that the program has set up is used
as it is.
"""

from __future__ import annotations

import logging
import os
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from pgkd.extras import require
from pgkd.integrations.tracking.base import Ending, TrackedRun, Tracker
from pgkd.integrations.tracking.settings import placeless
from pgkd.teachers.base import Reply, Request, Teacher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pgkd.teachers.batch import BatchApi

_JOB = "Tracing with OpenTelemetry"
_PROVIDERS = {"bedrock": "aws.bedrock"}
"""Names of the conventions, where they are not pgkd's own."""

_EXPORTERS = "opentelemetry.exporter"  # what all their loggers are below
_FLUSH = 20_000  # milliseconds for the last spans to leave


class OpenTelemetryTracker(Tracker):
    """Sends spans over OTLP (HTTP, protobuf).

    Args:
        exporter: takes the spans; default: OTLP, as the environment says.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
    """

    name = "otel"

    def __init__(self, exporter: Any = None) -> None:
        self._trace = require("opentelemetry.trace", extra="otel", job=_JOB)
        self._sdk = require("opentelemetry.sdk.trace", extra="otel", job=_JOB)
        if exporter is None:
            require("opentelemetry.exporter.otlp.proto.http", extra="otel", job=_JOB)
        self._exporter = exporter
        self._watched: _Watched | None = None
        self._provider: Any = None  # that is ours to shut down
        self._level = logging.NOTSET
        self._tracer: Any = None
        self._run: Any = None
        self._round: Any = None

    def begin(self, run: TrackedRun) -> str:
        """Open the span of the run. One that goes on does so in the trace that it began."""
        around = _context_of(run.id) if run.id else None
        self._tracer = self._provider_at_hand().get_tracer("pgkd", version("pgkd"))
        settings = {f"pgkd.settings.{name}": value for name, value in run.settings.items()}
        self._run = self._tracer.start_span(
            "pgkd.distill", context=around, attributes={"pgkd.run": run.name, **settings}
        )
        return run.id or _traceparent(self._run.get_span_context())

    def begin_round(self, number: int) -> None:
        """Open the span of a round."""
        self._round = self._tracer.start_span(
            "pgkd.round", context=self._around(self._run), attributes={"pgkd.round": number}
        )

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """Close the span of a round, with its figures."""
        if self._round is not None:
            self._round.set_attributes(_named(figures))
            self._round.end()
            self._round = None

    def end(self, ending: Ending) -> None:
        """The best round and why the run stopped, in the span of the run."""
        best = {f"best/{name}": value for name, value in ending.figures.items()}
        self._run.set_attributes(_named(best))
        self._run.set_attribute("pgkd.best.round", ending.best)
        self._run.set_attribute("pgkd.stopped_by", ending.stopped_by)

    def close(self, *, failed: bool) -> None:
        """Close what is open, and wait for the spans to leave.

        Raises:
            RuntimeError: some could not be sent.
        """
        if failed and self._run is not None:
            self._run.set_status(self._trace.StatusCode.ERROR)
        for span in (self._round, self._run):
            if span is not None:
                span.end()
        if self._provider is None:
            return
        sent = self._provider.force_flush(_FLUSH)
        self._provider.shutdown()
        logging.getLogger(_EXPORTERS).setLevel(self._level)
        if not sent or (self._watched is not None and self._watched.lost):
            raise RuntimeError("not all spans could be sent")

    def traced(self, teacher: Teacher) -> Teacher:
        """The teacher; each call of it is a span."""
        return _TracedTeacher(teacher, self)

    def start_call(self, name: str, attributes: Mapping[str, object], *, remote: bool) -> Any:
        """The span of a call, in that of its round."""
        kind = self._trace.SpanKind.CLIENT if remote else self._trace.SpanKind.INTERNAL
        around = self._around(self._round or self._run)
        tracer = self._tracer or self._trace.NoOpTracer()
        return tracer.start_span(name, context=around, kind=kind, attributes=attributes)

    def during(self, span: Any) -> Any:
        """A context manager: spans that a provider's package makes meanwhile are parts of it."""
        return self._trace.use_span(span, record_exception=False, set_status_on_exception=False)

    def failed(self, span: Any, error: BaseException) -> None:
        """Note what kind of error ended a call; its message may hold what was asked."""
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(self._trace.StatusCode.ERROR)

    def _around(self, span: Any) -> Any:
        return None if span is None else self._trace.set_span_in_context(span)

    def _provider_at_hand(self) -> Any:
        """The program's own provider, or one that sends to where the environment says."""
        if self._exporter is None:
            given = self._trace.get_tracer_provider()
            if isinstance(given, self._sdk.TracerProvider):
                return given
        log = logging.getLogger(_EXPORTERS)
        self._level = log.level
        if log.level == logging.NOTSET:
            log.setLevel(logging.CRITICAL)  # it would tell of each attempt; `close` tells it once
        processors = require("opentelemetry.sdk.trace.export", extra="otel", job=_JOB)
        resources = require("opentelemetry.sdk.resources", extra="otel", job=_JOB)
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = resources.Resource.create({} if named else {"service.name": "pgkd"})
        # It is shut down by `close`: at the end of the process would be too late to tell of a loss.
        self._provider = self._sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        self._watched = _Watched(self._exporter or _otlp())
        self._provider.add_span_processor(processors.BatchSpanProcessor(self._watched))
        return self._provider


class _TracedTeacher(Teacher):
    """A teacher whose calls are spans. Requests that leave in a batch are none.

    Args:
        teacher: who is asked; closing it stays with who made it.
        tracker: opens the spans.
    """

    def __init__(self, teacher: Teacher, tracker: OpenTelemetryTracker) -> None:
        self._stand_for(teacher)
        self._teacher = teacher
        self._tracker = tracker

    def prepare(self, requests: Sequence[Request]) -> None:
        """Pass it on."""
        self._teacher.prepare(requests)

    def batches(self) -> BatchApi | None:
        """As the teacher takes them."""
        return self._teacher.batches()

    def complete(self, request: Request) -> Reply:
        """Ask, within a span.

        Raises:
            TeacherError: the teacher's.
        """
        return self._traced(request, self._teacher.complete)

    def attempt(self, request: Request) -> Reply:
        """Make one call, within a span.

        Raises:
            TeacherError: the teacher's.
        """
        return self._traced(request, self._teacher.attempt)

    def _traced(self, request: Request, ask: Callable[[Request], Reply]) -> Reply:
        model = placeless(self.model)
        asked = _request_attributes(request, self.name, model)
        name = f"chat {model}".strip()
        span = self._tracker.start_call(name, asked, remote=self.biller is not None)
        with self._tracker.during(span):
            try:
                reply = ask(request)
            except BaseException as error:
                self._tracker.failed(span, error)
                raise
            else:
                span.set_attributes(_reply_attributes(reply))
                return reply
            finally:
                span.end()


class _Watched:
    """An exporter of spans that remembers whether it lost some."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.lost = False

    def export(self, spans: Any) -> Any:
        try:
            result = self._exporter.export(spans)
        except Exception:
            self.lost = True
            raise
        self.lost = self.lost or result.name != "SUCCESS"
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = _FLUSH) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def _otlp() -> Any:
    """What sends spans to where OTEL_EXPORTER_OTLP_ENDPOINT says; default: this machine."""
    module = require(
        "opentelemetry.exporter.otlp.proto.http.trace_exporter", extra="otel", job=_JOB
    )
    return module.OTLPSpanExporter()


def _request_attributes(request: Request, provider: str, model: str) -> dict[str, Any]:
    how = request.sampling
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model or None,
        "gen_ai.request.temperature": how.temperature,
        "gen_ai.request.top_p": how.top_p,
        "gen_ai.request.max_tokens": how.max_tokens,
        "gen_ai.request.seed": how.seed,
        "gen_ai.output.type": "text" if request.schema is None else "json",
        "pgkd.purpose": request.purpose,
        "pgkd.request": request.id,
    }
    return {name: value for name, value in found.items() if value is not None}


def _reply_attributes(reply: Reply) -> dict[str, Any]:
    found = {
        "gen_ai.response.model": placeless(reply.model),
        "gen_ai.response.finish_reasons": (reply.finish_reason,),
        "gen_ai.usage.input_tokens": reply.input_tokens,
        "gen_ai.usage.output_tokens": reply.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": reply.cached_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _named(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures under names as attributes have them."""
    return {f"pgkd.{name.replace('/', '.')}": value for name, value in figures.items()}


def _traceparent(context: Any) -> str:
    """What tells a span from all others (W3C Trace Context)."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _context_of(traceparent: str) -> Any:
    """The context of a span that another process opened."""
    module = require("opentelemetry.trace.propagation.tracecontext", extra="otel", job=_JOB)
    return module.TraceContextTextMapPropagator().extract({"traceparent": traceparent})
