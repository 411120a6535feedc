"""OpenTelemetry: a trace of a run, with a span for each round and each call to the teacher.

Calls follow the semantic conventions for generative AI. No span contains a prompt, a reply or the
message of an error. OTEL_EXPORTER_OTLP_* say where spans go; a provider that the program has set up
is used as it is.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

from pgkd.extras import require
from pgkd.integrations.tracking import Ending, TrackedRun, Tracker, basename
from pgkd.teachers.base import BatchApi, Reply, Request, Teacher

_PROVIDERS = {"bedrock": "aws.bedrock"}
"""Names in the conventions, where they are not pgkd's own."""
_EXPORTERS = "opentelemetry.exporter"  # the parent of all their loggers
_FLUSH = 20_000  # milliseconds for the last spans to leave


def _require(module: str) -> Any:
    name = f"opentelemetry.{module}"
    return require(name, extra="otel", job="Tracing with OpenTelemetry")


class OpenTelemetryTracker(Tracker):
    """Sends spans over OTLP (HTTP, protobuf).

    Args:
        exporter: takes the spans; default: OTLP, as the environment says.

    Raises:
        MissingExtraError: the extra ``otel`` is not installed.
    """

    name = "otel"

    def __init__(self, exporter: Any = None) -> None:
        self._trace, self._sdk = _require("trace"), _require("sdk.trace")
        if exporter is None:
            _require("exporter.otlp.proto.http")
        self._exporter = exporter
        self._watched: _WatchedExporter | None = None
        self._provider: Any = None  # ours to shut down
        self._level = logging.NOTSET
        self._tracer: Any = None
        self._run: Any = None
        self._round: Any = None

    def begin(self, run: TrackedRun) -> str:
        """Open the span of the run; a resumed run continues its trace."""
        parent = _context_from(run.id) if run.id else None
        self._tracer = self._get_provider().get_tracer("pgkd", version("pgkd"))
        settings = {f"pgkd.settings.{name}": value for name, value in run.settings.items()}
        self._run = self._tracer.start_span(
            "pgkd.distill", context=parent, attributes={"pgkd.run": run.name, **settings}
        )
        return run.id or _traceparent(self._run.get_span_context())

    def begin_round(self, number: int) -> None:
        """Open the span of a round."""
        self._round = self._tracer.start_span(
            "pgkd.round", context=self._inside(self._run), attributes={"pgkd.round": number}
        )

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """Close the span of a round, with its figures."""
        if self._round is not None:
            self._round.set_attributes(_attributes(figures))
            self._round.end()
            self._round = None

    def end(self, ending: Ending) -> None:
        """The best round and the reason of the stop, in the span of the run."""
        self._run.set_attributes(_attributes(ending.summary))
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
        """The teacher, with a span for each of its calls."""
        return _TracedTeacher(teacher, self)

    def trace_call(
        self, call: Callable[[Request], Reply], request: Request, teacher: Teacher
    ) -> Reply:
        """Make a call in a span of its own, within that of its round."""
        model = basename(teacher.model)
        kinds = self._trace.SpanKind
        span = (self._tracer or self._trace.NoOpTracer()).start_span(
            f"chat {model}".strip(),
            context=self._inside(self._round or self._run),
            kind=kinds.INTERNAL if teacher.biller is None else kinds.CLIENT,
            attributes=_request_attributes(request, teacher.name, model),
        )
        # Spans that a provider's package opens meanwhile are children of this one. Of an error the
        # kind alone is noted, since its message may contain the prompt.
        with self._trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                reply = call(request)
            except BaseException as error:
                span.set_attribute("error.type", type(error).__name__)
                span.set_status(self._trace.StatusCode.ERROR)
                raise
            span.set_attributes(_reply_attributes(reply))
            return reply

    def _inside(self, span: Any) -> Any:
        return None if span is None else self._trace.set_span_in_context(span)

    def _get_provider(self) -> Any:
        """The program's own provider, or one that sends to where the environment says."""
        if self._exporter is None:
            given = self._trace.get_tracer_provider()
            if isinstance(given, self._sdk.TracerProvider):
                return given
        log = logging.getLogger(_EXPORTERS)
        self._level = log.level
        if log.level == logging.NOTSET:
            log.setLevel(logging.CRITICAL)  # it would log every attempt; `close` reports it once
        named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
            "OTEL_RESOURCE_ATTRIBUTES", ""
        )
        resource = _require("sdk.resources").Resource.create(
            {} if named else {"service.name": "pgkd"}
        )
        # `close` shuts it down: at the end of the process it would be too late to report a loss.
        self._provider = self._sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
        otlp = "exporter.otlp.proto.http.trace_exporter"
        self._watched = _WatchedExporter(self._exporter or _require(otlp).OTLPSpanExporter())
        batches = _require("sdk.trace.export").BatchSpanProcessor(self._watched)
        self._provider.add_span_processor(batches)
        return self._provider


class _TracedTeacher(Teacher):
    """A teacher whose calls are spans. Requests that leave in a batch have none."""

    def __init__(self, teacher: Teacher, tracker: OpenTelemetryTracker) -> None:
        self._copy_traits(teacher)
        self._teacher = teacher
        self._tracker = tracker

    def prepare(self, requests: Sequence[Request]) -> None:
        self._teacher.prepare(requests)

    def batches(self) -> BatchApi | None:
        return self._teacher.batches()

    def complete(self, request: Request) -> Reply:
        return self._tracker.trace_call(self._teacher.complete, request, self)

    def attempt(self, request: Request) -> Reply:
        return self._tracker.trace_call(self._teacher.attempt, request, self)


class _WatchedExporter:
    """An exporter that remembers whether it lost spans."""

    def __init__(self, exporter: Any) -> None:
        self._exporter = exporter
        self.shutdown = exporter.shutdown
        self.lost = False

    def export(self, spans: Any) -> Any:
        try:
            result = self._exporter.export(spans)
        except Exception:
            self.lost = True
            raise
        self.lost = self.lost or result.name != "SUCCESS"
        return result

    def force_flush(self, timeout_millis: int = _FLUSH) -> bool:
        return bool(self._exporter.force_flush(timeout_millis))


def _request_attributes(request: Request, provider: str, model: str) -> dict[str, Any]:
    sampling = request.sampling
    found = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model or None,
        "gen_ai.request.temperature": sampling.temperature,
        "gen_ai.request.top_p": sampling.top_p,
        "gen_ai.request.max_tokens": sampling.max_tokens,
        "gen_ai.request.seed": sampling.seed,
        "gen_ai.output.type": "text" if request.schema is None else "json",
        "pgkd.purpose": request.purpose,
        "pgkd.request": request.id,
    }
    return {name: value for name, value in found.items() if value is not None}


def _reply_attributes(reply: Reply) -> dict[str, Any]:
    found = {
        "gen_ai.response.model": basename(reply.model),
        "gen_ai.response.finish_reasons": (reply.finish_reason,),
        "gen_ai.usage.input_tokens": reply.input_tokens,
        "gen_ai.usage.output_tokens": reply.output_tokens,
        "gen_ai.usage.cache_read.input_tokens": reply.cached_tokens,
    }
    return {name: value for name, value in found.items() if value is not None}


def _attributes(figures: Mapping[str, float]) -> dict[str, float]:
    return {f"pgkd.{name.replace('/', '.')}": value for name, value in figures.items()}


def _traceparent(context: Any) -> str:
    """The identity of a span (W3C Trace Context)."""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"


def _context_from(traceparent: str) -> Any:
    """The context of a span that another process opened."""
    propagation = _require("trace.propagation.tracecontext")
    return propagation.TraceContextTextMapPropagator().extract({"traceparent": traceparent})
