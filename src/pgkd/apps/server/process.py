"""A server from its command to its end: one process a core, each with a model and one thread."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pgkd.apps.server.limits import Limits
from pgkd.apps.server.workers import CANNOT_START, Supervisor, end_with_parent
from pgkd.errors import ConfigError, PgkdError
from pgkd.export.predictor import Manifest, find_export
from pgkd.extras import require
from pgkd.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from pgkd.apps.server.cascade import Cascade, DeskClient

_JOB = "Serving"
_EXTRA = "server"
_BACKLOG = 2048
PAGE_HEADERS = [
    # A page runs its own scripts and no other, asks this server alone, and stands in no other page.
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
]


def serve(
    path: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    workers: int | None = None,
    limits: Limits | None = None,
    abstain_below: float | None = None,
    cascade: Cascade | None = None,
) -> None:
    """Serve an export until SIGTERM or SIGINT; what was accepted by then is answered.

    Args:
        path: an export, or a run folder that holds one.
        host: address to listen at; loopback unless told.
        port: to listen at.
        workers: processes; None takes one a core that this process may use. A limit of a container
            on CPU time is no set of cores: give a number there.
        limits: of each worker.
        abstain_below: probability below which an answer of the student is flagged.
        cascade: when a teacher is asked, and how; None asks none. It has a process of its own.

    Raises:
        ExportError: there is no export that can be served.
        ServerError: a worker could not start.
        ConfigError: the address cannot be listened at, or the cascade does not fit the export or
            the limits.
        MissingExtraError: the extra ``server`` is not installed.
    """
    for module in ("uvicorn", "httptools", "fastapi", "prometheus_client"):
        require(module, extra=_EXTRA, job=_JOB)
    folder = find_export(path)
    manifest = Manifest.read(folder)
    limits = limits or Limits()
    if cascade is not None:
        cascade.check_classes(manifest.classes)
        if cascade.seconds >= limits.shutdown_seconds:
            raise ConfigError(
                f"A server that is stopped waits {limits.shutdown_seconds} s for its answers: a "
                "text cannot wait as long for the teacher."
            )
    count = workers or usable_cores()
    with contextlib.closing(bound(host, port)) as listener:
        name, number = listener.getsockname()[:2]
        where = f"[{name}]" if ":" in name else name
        print(
            f"pgkd serves {folder} ({manifest.format}, {len(manifest.classes)} classes) at "
            f"http://{where}:{number} with {count} worker{'s' if count > 1 else ''}",
            file=sys.stderr,
        )
        job = Job(folder, limits, abstain_below)
        if cascade is None:
            _run(job, listener, count)
        else:
            _run_cascade(job, listener, count, cascade)


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # systems that bind no process to cores


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker serves, and how; it is sent to its process."""

    folder: Path
    limits: Limits
    abstain_below: float | None = None
    desk: DeskClient | None = None


def worker_app(job: Job) -> FastAPI:
    """Load the model and build the application around it, in the process that serves it."""
    from pgkd.apps.server.app import make_app
    from pgkd.apps.server.connection import Connection
    from pgkd.export.predictor import load

    Connection.head_seconds = job.limits.head_seconds
    predictor = load(job.folder, threads=1)
    predictor.predict_proba(["What is computed first takes longer."])
    return make_app(
        predictor, job.limits, Manifest.read(job.folder).format,
        abstain_below=job.abstain_below, desk=job.desk,
    )  # fmt: skip


def _run(job: Job, listener: socket.socket, workers: int) -> None:
    if workers == 1:
        app = worker_app(job)
        listen(listener)
        answer(app, listener, job.limits)
        return
    with _common_metrics():
        Supervisor(partial(_work, job), listener, workers).run()


def _run_cascade(job: Job, listener: socket.socket, workers: int, cascade: Cascade) -> None:
    """The same, with a desk behind the workers; its folder is closed to other users."""
    from pgkd.apps.server.cascade import DeskClient
    from pgkd.apps.server.desk import run_desk

    with _common_metrics(), tempfile.TemporaryDirectory(prefix="pgkd-desk-") as folder:
        address = Path(folder) / "socket"
        work = partial(_work, replace(job, desk=DeskClient(address, cascade)))
        desk = partial(run_desk, cascade, address)
        Supervisor(work, listener, workers, helpers=[desk]).run()


def _work(job: Job, listener: socket.socket) -> None:
    """The life of one worker of several; it ends when its parent is gone."""
    try:
        app = worker_app(job)
        listen(listener)
    except PgkdError as error:
        print(f"pgkd: {printable(str(error))}", file=sys.stderr)
        sys.exit(CANNOT_START)
    end_with_parent()
    answer(app, listener, job.limits)


def answer(app: ASGIApp, listener: socket.socket, limits: Limits) -> None:
    """Answer requests until a signal; then those that were accepted."""
    import uvicorn

    from pgkd.apps.server.connection import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=PAGE_HEADERS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=limits.shutdown_seconds,
    )
    # uvicorn raises the signal that ended it again when it is done: then there is no more to do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])


@contextlib.contextmanager
def _common_metrics() -> Iterator[None]:
    """A folder in which the workers of this server, and no others, keep their numbers."""
    from pgkd.apps.server.metrics import FOLDER

    with tempfile.TemporaryDirectory(prefix="pgkd-metrics-") as folder:
        before = os.environ.get(FOLDER)
        os.environ[FOLDER] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[FOLDER]
            else:
                os.environ[FOLDER] = before


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address that does not listen yet: that begins when a model is there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol has to be named: asyncio sets TCP_NODELAY only where it is, and without that an
    # answer of two packets waits 40 ms for the client's acknowledgement of the first.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen at {host}, port {port}: {error}. Choose --host or --port."
        ) from error
    return listener


def listen(listener: socket.socket) -> None:
    """Let clients come.

    Raises:
        ConfigError: another server listens there by now.
    """
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # two that do not listen yet may have the same address
        raise ConfigError(f"Another server began to listen there meanwhile: {error}.") from error
