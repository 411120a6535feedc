"""A real HTTP server on loopback that answers as a test tells it, or fails as a test tells it."""

from __future__ import annotations

import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Fault = Callable[[BaseHTTPRequestHandler, "Server"], None]


class Server:
    """Answers with what is queued, the last answer again and again.

    A body may be plain data, bytes, or a `Fault` that answers itself.
    """

    def __init__(self, body: Any = None, *, path: str = "") -> None:
        self.answers: list[tuple[int, Any, dict[str, str]]] = [(200, body, {})]
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.paths: list[str] = []
        self.delay = 0.0
        self.sent = 0  # bytes of floods
        self.over = threading.Event()  # the test is; whoever hangs may go
        self._path = path

    def answer(self, status: int, body: Any, **headers: str) -> None:
        self.answers = [(status, body, headers)]

    @contextmanager
    def running(self, certificate: Path | None = None) -> Iterator[str]:
        """Serve; gives the base URL. With a PEM file of key and certificate, over TLS."""
        httpd = _Quiet(("127.0.0.1", 0), _handler_of(self))
        scheme = "http" if certificate is None else "https"
        if certificate is not None:
            httpd.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            httpd.tls.load_cert_chain(certificate)
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"{scheme}://127.0.0.1:{httpd.server_address[1]}{self._path}"
        finally:
            self.over.set()
            httpd.shutdown()
            thread.join()
            httpd.server_close()


class _Quiet(ThreadingHTTPServer):
    tls: ssl.SSLContext | None = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Over TLS, the handshake is left to the thread that answers."""
        taken, address = super().get_request()
        if self.tls is None:
            return taken, address
        wrapped = self.tls.wrap_socket(taken, server_side=True, do_handshake_on_connect=False)
        return wrapped, address

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no trouble of the server's."""


def _handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            self.asked = body
            server.seen.append((headers, body))
            server.paths.append(self.path)
            time.sleep(server.delay)
            answers = server.answers
            status, answer, headers = answers.pop(0) if len(answers) > 1 else answers[0]
            if callable(answer):
                answer(self, server)
                return
            send(self, status, answer, **headers)

        def do_GET(self) -> None:  # a redirect may turn a POST into one
            server.seen.append((dict(self.headers.items()), {}))
            begin(self, 200, 0)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


def begin(handler: BaseHTTPRequestHandler, status: int, length: int, **headers: str) -> None:
    """The head of an answer."""
    handler.send_response(status)
    handler.send_header("content-type", "application/json")
    handler.send_header("content-length", str(length))
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()


def send(handler: BaseHTTPRequestHandler, status: int, body: Any, **headers: str) -> None:
    """A whole answer."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    begin(handler, status, len(data), **headers)
    handler.wfile.write(data)


def picky(refused: Callable[[dict[str, Any]], Any], answer: Any, status: int = 400) -> Fault:
    """Refuse a request with the error body that `refused` finds for it, else answer."""

    def judge(handler: BaseHTTPRequestHandler, _: Server) -> None:
        error = refused(handler.asked)  # type: ignore[attr-defined]
        send(handler, 200 if error is None else status, answer if error is None else error)

    return judge


def reset(handler: BaseHTTPRequestHandler, _: Server | None = None) -> None:
    """Tear the connection down without an answer."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    os.close(handler.connection.detach())  # with this linger, a close sends a reset


def hang(_: BaseHTTPRequestHandler, server: Server) -> None:
    """Say nothing until the test is over."""
    server.over.wait(60)


def cut(body: Any) -> Fault:
    """Send half of a body, and close."""
    data = json.dumps(body).encode()

    def half(handler: BaseHTTPRequestHandler, _: Server) -> None:
        begin(handler, 200, len(data))
        handler.wfile.write(data[: len(data) // 2])

    return half


def flood(status: int, size: int) -> Fault:
    """Send a JSON string of so many bytes, for as long as anybody reads."""

    def pour(handler: BaseHTTPRequestHandler, server: Server) -> None:
        chunk = b"x" * 65_536
        begin(handler, status, size + 2)
        handler.wfile.write(b'"')
        while server.sent < size:
            handler.wfile.write(chunk)
            server.sent += len(chunk)
        handler.wfile.write(b'"')

    return pour
