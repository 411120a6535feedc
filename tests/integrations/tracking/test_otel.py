"""OpenTelemetry: the spans themselves, in memory and over the wire."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.errors import TeacherRateLimitError, TeacherUnavailableError
from pgkd.integrations.tracking.opentelemetry import OpenTelemetryTracker
from pgkd.teachers.base import Reply
from pgkd.teachers.fake import FakeTeacher
from tests.conftest import calls_of
from tests.integrations.tracking.conftest import KEY, ROWS, Writing, assert_keeps_secrets, distil
from tests.integrations.tracking.test_tracking import FailureHook

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.config import Config

pytest.importorskip("opentelemetry.sdk", reason="the extra 'otel' is not installed")


@pytest.fixture
def exporter() -> Any:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    return InMemorySpanExporter()


def named(exporter: Any, name: str) -> list[Any]:
    spans = [span for span in exporter.get_finished_spans() if span.name.startswith(name)]
    return sorted(spans, key=lambda span: span.start_time)


def traced(config: Config, exporter: Any, teacher: Any = None) -> Any:
    return distil(config, teacher, track=[OpenTelemetryTracker(exporter)]).run_


def test_each_call_is_a_span_of_its_round(private: Config, exporter: Any) -> None:
    run = traced(private, exporter)
    [whole], rounds = named(exporter, "pgkd.distill"), named(exporter, "pgkd.round")
    chats, calls = named(exporter, "chat"), calls_of(run)
    assert [span.attributes["pgkd.round"] for span in rounds] == [0, 1, 2]
    assert {span.parent.span_id for span in rounds} == {whole.context.span_id}
    assert [span.attributes["pgkd.request"] for span in chats] == [call.id for call in calls]
    of_round = {span.context.span_id: span.attributes["pgkd.round"] for span in rounds}
    for span, call in zip(chats, calls, strict=True):
        assert of_round.get(span.parent.span_id, 0) == call.round
        assert call.reply is not None
        attributes = span.attributes
        assert span.name == "chat fake"
        assert attributes["gen_ai.operation.name"] == "chat"
        assert attributes["gen_ai.provider.name"] == "fake"
        assert attributes["gen_ai.request.model"] == attributes["gen_ai.response.model"] == "fake"
        assert attributes["gen_ai.request.max_tokens"] == call.request["sampling"]["max_tokens"]
        assert attributes["gen_ai.usage.input_tokens"] == call.reply.input_tokens
        assert attributes["gen_ai.usage.output_tokens"] == call.reply.output_tokens
        assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
        assert "error.type" not in attributes
    result = run.read_json("result.json")
    assert whole.attributes["pgkd.best.round"] == result["best"]
    assert whole.attributes["pgkd.stopped_by"] == "rounds"
    last = rounds[-1].attributes["pgkd.validation.accuracy"]
    assert last == pytest.approx(result["rounds"][-1]["validation"]["accuracy"], abs=1e-6)


def test_no_span_holds_a_prompt_a_reply_or_a_key(private: Config, exporter: Any) -> None:
    fails = [TeacherUnavailableError(f"{ROWS[0][0]} {KEY}")]
    run = traced(private, exporter, FakeTeacher(fails))
    logged = "".join(span.to_json() for span in exporter.get_finished_spans())
    assert "gen_ai.usage.input_tokens" in logged
    assert_keeps_secrets(logged.encode(), run)


def test_a_failed_call_says_what_kind_of_failure(config: Config, exporter: Any) -> None:
    fails = [TeacherRateLimitError("slow down, please"), TeacherUnavailableError("gone")]
    traced(config, exporter, FakeTeacher(fails))
    kinds = [span.attributes.get("error.type") for span in named(exporter, "chat")]
    assert kinds[:3] == ["TeacherRateLimitError", "TeacherUnavailableError", None]
    first = named(exporter, "chat")[0]
    assert first.status.status_code.name == "ERROR"
    assert first.status.description is None
    assert not first.events


def test_a_resumed_run_goes_on_in_its_trace(private: Config, exporter: Any) -> None:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    with pytest.raises(SystemExit):
        traced(private, exporter, Writing(after=3))
    later = InMemorySpanExporter()
    run = traced(private, later)
    [first], [second] = named(exporter, "pgkd.distill"), named(later, "pgkd.distill")
    assert first.status.status_code.name == "ERROR"
    assert second.context.trace_id == first.context.trace_id
    assert second.parent.span_id == first.context.span_id
    asked = len(named(exporter, "chat")) + len(named(later, "chat"))
    assert asked == len(calls_of(run))  # what the ledger answers is no call
    logged = [s.attributes["pgkd.round"] for e in (exporter, later) for s in named(e, "pgkd.round")]
    assert sorted(set(logged)) == [0, 1, 2]


def test_the_teacher_stays_what_it_is(config: Config, exporter: Any) -> None:
    tracker = OpenTelemetryTracker(exporter)
    given = FakeTeacher()
    watched = tracker.traced(given)
    assert (watched.name, watched.model, watched.biller) == ("fake", "fake", None)
    assert watched.batches() is None
    from pgkd.teachers.base import Message, Request

    request = Request((Message("user", "hello"),))
    assert watched.complete(request) == FakeTeacher().complete(request)  # before a run has begun
    assert isinstance(watched.complete(request), Reply)


class Collector(BaseHTTPRequestHandler):
    """Takes spans as an OpenTelemetry collector does, or refuses them."""

    bodies: list[bytes]
    status: int

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            self.bodies.append(body)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(request: pytest.FixtureRequest) -> Iterator[tuple[str, Sequence[bytes]]]:
    class Mine(Collector):
        bodies: list[bytes] = []  # noqa: RUF012
        status = getattr(request, "param", 200)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Mine)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", Mine.bodies
    server.shutdown()
    server.server_close()


def test_spans_arrive_where_the_environment_says(
    private: Config,
    collector: tuple[str, Sequence[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import gzip

    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    url, bodies = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    failures = FailureHook()
    run = distil(private, track=["otel"], hooks=[failures]).run_
    assert not failures.seen
    names: list[str] = []
    services = set()
    for body in bodies:
        plain = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        assert_keeps_secrets(plain, run)
        for resource in ExportTraceServiceRequest.FromString(plain).resource_spans:
            services |= {a.value.string_value for a in resource.resource.attributes
                         if a.key == "service.name"}  # fmt: skip
            names += [span.name for scope in resource.scope_spans for span in scope.spans]
    assert services == {"pgkd"}
    assert names.count("chat fake") == len(calls_of(run))
    assert names.count("pgkd.round") == 3


@pytest.mark.parametrize("collector", [400], indirect=True)
def test_refused_spans_are_reported_once(
    config: Config,
    collector: tuple[str, Sequence[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector[0])
    failures = FailureHook()
    done = distil(config, track=["otel"], hooks=[failures])
    assert done.outcome_.stopped_by == "rounds"
    [(name, why)] = failures.seen
    assert name == "otel"
    assert "not all spans could be sent" in why
