"""A server from its command to its end: one process per core, each with a model and one thread."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pgkd.apps.server.workers import CANNOT_START, Supervisor, end_with_parent
from pgkd.errors import ConfigError, PgkdError
from pgkd.export.predictor import Manifest, find_export
from pgkd.extras import require
from pgkd.text import printable

if TYPE_CHECKING:  # of an extra, or needed by a cascade alone
    from fastapi import FastAPI
    from starlette.types import ASGIApp

    from pgkd.apps.server.cascade import Cascade, ProxyClient

_BACKLOG = 2048
_HEADERS = [
    # A page runs its own scripts only, sends requests to this server only, and cannot be framed.
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker process. Together they bound its memory.

    Attributes:
        body_bytes: of a request's body.
        texts: of one request.
        characters: of one text; the student reads only the beginning, but the rest costs time.
        waiting: texts accepted and not yet answered; beyond that, 503.
        requests: in flight at once, including those whose body is still arriving; beyond that, 503.
        head_seconds: for the head of a request to arrive, and for a client to read its responses.
        body_seconds: for the body of a request to arrive.
        shutdown_seconds: for requests in flight, once the server is stopped.
    """

    body_bytes: int = 1 << 20
    texts: int = 256
    characters: int = 20_000
    waiting: int = 512
    requests: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    shutdown_seconds: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"The limit '{field.name}' must be above 0.")
        if self.texts > self.waiting:
            raise ConfigError(
                f"One request may hold {self.texts} texts, but only {self.waiting} may wait: "
                "raise the second or lower the first."
            )


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
    """Serve an export until SIGTERM or SIGINT; requests accepted by then are answered.

    Args:
        path: an export, or a run folder that has one.
        host: address to listen on; loopback by default.
        port: to listen on.
        workers: processes; None starts one per core that this process may use. A container's limit
            on CPU time is not a set of cores: give a number there.
        limits: of each worker.
        abstain_below: probability below which an answer of the student is flagged.
        cascade: when the teacher is called, and how, in a process of its own; None: never.

    Raises:
        ExportError: there is no export that can be served.
        ServerError: a worker could not start.
        ConfigError: the server cannot listen on the address, or the cascade does not fit the export
            or the limits.
        MissingExtraError: the extra ``server`` is not installed.
    """
    for module in ("uvicorn", "httptools", "fastapi", "prometheus_client"):
        require(module, extra="server", job="Serving")
    folder = find_export(path)
    manifest = Manifest.read(folder)
    limits = limits or Limits()
    if cascade is not None:
        if "classes" not in manifest.details:
            raise ConfigError(f"A cascade is for classifiers, and {folder} is none.")
        cascade.check_classes(manifest.details["classes"])
        if cascade.seconds >= limits.shutdown_seconds:
            raise ConfigError(
                "A text must wait for the teacher for less time than the server takes to stop "
                f"({limits.shutdown_seconds} s)."
            )
    count = workers or _usable_cores()
    job = Job(folder, limits, abstain_below)
    with contextlib.closing(bind(host, port)) as listener:
        name, number = listener.getsockname()[:2]
        print(
            f"pgkd serves {folder} ({manifest.task}, {manifest.format}) at "
            f"{url(name, number)} with {count} worker{'s' if count > 1 else ''}",
            file=sys.stderr,
        )
        if cascade is not None:
            _run_cascade(job, listener, count, cascade)
        elif count > 1:
            with _shared_metrics():
                Supervisor(partial(_work, job), listener, count).run()
        else:
            app = make_worker_app(job)
            listen(listener)
            run_app(app, listener, job.limits)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # systems that do not bind processes to cores


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker serves, and how; it is sent to the worker's process."""

    folder: Path
    limits: Limits
    abstain_below: float | None = None
    teacher: ProxyClient | None = None


def make_worker_app(job: Job) -> FastAPI:
    """Load the model and make the application, in the process that serves it."""
    from pgkd.apps.server.app import make_app
    from pgkd.apps.server.http import Connection
    from pgkd.export.predictor import load
    from pgkd.tasks import make_task

    Connection.head_seconds = job.limits.head_seconds
    manifest = Manifest.read(job.folder)
    model, inputs = load(job.folder, threads=1), make_task(manifest.task).inputs
    first = "The first prediction takes longer."
    model.answers([first if len(inputs) == 1 else (first,) * len(inputs)])
    return make_app(
        model, job.limits, manifest,
        abstain_below=job.abstain_below, teacher=job.teacher,
    )  # fmt: skip


def _run_cascade(job: Job, listener: socket.socket, workers: int, cascade: Cascade) -> None:
    """Run workers with a teacher proxy; the folder of its socket is closed to other users."""
    from pgkd.apps.server.cascade import ProxyClient, run_proxy

    with _shared_metrics(), tempfile.TemporaryDirectory(prefix="pgkd-proxy-") as folder:
        address = Path(folder) / "socket"
        work = partial(_work, replace(job, teacher=ProxyClient(address, cascade)))
        proxy = partial(run_proxy, cascade, address)
        Supervisor(work, listener, workers, helpers=[proxy]).run()


def _work(job: Job, listener: socket.socket) -> None:
    """The main function of one worker of several."""
    try:
        app = make_worker_app(job)
        listen(listener)
    except PgkdError as error:
        print(f"pgkd: {printable(str(error))}", file=sys.stderr)
        sys.exit(CANNOT_START)
    end_with_parent()
    run_app(app, listener, job.limits)


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    """A folder in which the workers of this server, and no others, keep their metrics."""
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


def run_app(app: ASGIApp, listener: socket.socket, limits: Limits) -> None:
    """Serve until a signal, then finish the requests that were accepted."""
    import uvicorn

    from pgkd.apps.server.http import Connection

    config = uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="on",
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=_HEADERS,
        backlog=_BACKLOG,
        timeout_graceful_shutdown=limits.shutdown_seconds,
    )
    # When uvicorn is done, it raises the signal that stopped it again; there is nothing left to do.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run([listener])


def url(host: str, port: int) -> str:
    """The URL of a server."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bind(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address and listens once a model is loaded.

    Raises:
        ConfigError: the address is taken, or not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol must be given: asyncio sets TCP_NODELAY only then. Without it a response of two
    # packets waits 40 ms for the client to acknowledge the first.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except (OSError, OverflowError) as error:
        listener.close()
        raise ConfigError(
            f"Cannot listen on {host}, port {port}: {error}. Choose --host or --port."
        ) from error
    return listener


def listen(listener: socket.socket) -> None:
    """Accept clients from now on.

    Raises:
        ConfigError: another server has taken the address meanwhile.
    """
    try:
        listener.listen(_BACKLOG)
    except OSError as error:  # two sockets that do not listen yet may have the same address
        raise ConfigError(f"Another server has taken this address meanwhile: {error}.") from error
