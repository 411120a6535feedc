"""Prometheus metrics: counts and times, and never a text.

With several workers, each writes its numbers into files of a shared folder, and the one that is
scraped adds them up (the multiprocess mode of `prometheus_client`, which finds the folder in the
environment, where `process.py` puts it).
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from starlette.types import ASGIApp, Message, Receive, Scope, Send

FOLDER = "PROMETHEUS_MULTIPROC_DIR"

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class ServerMetrics:
    """The numbers of one application."""

    def __init__(self) -> None:
        own = self._registry = CollectorRegistry()
        self.requests = Counter(
            "pgkd_requests", "Requests by path and status.", ("path", "status"), registry=own
        )
        self.seconds = Histogram(
            "pgkd_request_seconds", "From the head of a request to the end of its response.",
            ("path",), buckets=_SECONDS, registry=own,
        )  # fmt: skip
        self.predictions = Counter(
            "pgkd_predictions", "Texts by predicted class.", ("label",), registry=own
        )
        self.cascade = Counter(
            "pgkd_cascade", "Texts for the teacher, by outcome.", ("outcome",), registry=own
        )
        self.batch_texts = Histogram(
            "pgkd_turn_texts", "Texts predicted together.", buckets=_TEXTS, registry=own
        )
        self.waiting = Gauge(
            "pgkd_texts_waiting", "Texts accepted and not answered yet.",
            multiprocess_mode="livesum", registry=own,
        )  # fmt: skip
        _forget_dead_workers()

    def exposition(self) -> bytes:
        """All numbers in the text format of Prometheus."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)


def _forget_dead_workers() -> None:
    """Drop what killed workers had waiting; what they counted stays."""
    if FOLDER not in os.environ:
        return
    for path in Path(os.environ[FOLDER]).glob("gauge_live*.db"):
        pid = int(path.stem.rpartition("_")[2])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


class Measured:
    """ASGI middleware that counts and times requests.

    Paths other than `paths` are counted as one, since a client can invent any number.
    """

    def __init__(self, app: ASGIApp, metrics: ServerMetrics, paths: Iterable[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = frozenset(paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.perf_counter(), "none"

        async def observed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        path = scope["path"] if scope["path"] in self._paths else "other"
        try:
            await self._app(scope, receive, observed)
        except Exception:
            status = "500"  # what the error handler will send
            raise
        finally:
            self._metrics.requests.labels(path, status).inc()
            self._metrics.seconds.labels(path).observe(time.perf_counter() - start)
