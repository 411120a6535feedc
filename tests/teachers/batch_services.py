"""OpenAI's and Anthropic's batches on loopback, in their wire formats, as a test wants them."""

from __future__ import annotations

import json
import threading
import time
from abc import ABC, abstractmethod
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import parse_qs, urlsplit

from tests.teachers.server import reset
from tests.teachers.test_anthropic import message, text
from tests.teachers.test_openai import completion

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

End = Literal["answered", "refused", "expired", "missing", "damaged"]
_PAGE = 3  # batches of a page of a list, however many are asked for


@dataclass
class Batch:
    """A batch as the provider has it: its requests by name, and how often it was looked at."""

    id: str
    requests: dict[str, dict[str, Any]]
    tag: str = ""
    made_at: float = field(default_factory=time.time)
    looks: int = 0


@dataclass
class Fault:
    """What becomes of the first call to an address that begins so.

    Attributes:
        where: method and address.
        status: of the answer; 0 tears the connection down.
        late: whether the call is carried out all the same.
    """

    where: str
    status: int = 0
    late: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class Service(ABC):
    """A provider that takes requests one by one and in batches, and counts them.

    Attributes:
        batches: by id, in the order made.
        asked: bodies of the requests that came one by one.
        looks: at a batch until it has ended.
        status: how a batch ends as a whole.
        ends: how the n-th request of a batch ends.
        answer: the text that a request is answered.
        shaped: the lines of a file of results, before they go out.
        faults: that are still to come.
        quoted: what error messages quote.
        heard: is told of every call, as method and address, before it is answered.
    """

    path = ""

    def __init__(self) -> None:
        self.batches: dict[str, Batch] = {}
        self.asked: list[dict[str, Any]] = []
        self.calls: list[str] = []
        self.looks = 1
        self.status = "completed"
        self.ends: Callable[[int], End] = lambda n: "answered"
        self.answer: Callable[[dict[str, Any]], str] = _echo
        self.shaped: Callable[[list[bytes]], list[bytes]] = lambda lines: lines
        self.faults: list[Fault] = []
        self.quoted = ""
        self.heard: Callable[[str], None] = lambda call: None

    @property
    def submitted(self) -> list[str]:
        """What every request in a batch asks, as often as it was handed in."""
        bodies = [body for batch in self.batches.values() for body in batch.requests.values()]
        return [body["messages"][-1]["content"] for body in bodies]

    @contextmanager
    def running(self) -> Iterator[str]:
        """Serve; gives the base URL."""
        httpd = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{httpd.server_address[1]}{self.path}"
        finally:
            httpd.shutdown()
            thread.join()
            httpd.server_close()

    def fault(self, call: str) -> Fault | None:
        """What goes wrong with this call."""
        for fault in self.faults:
            if call.startswith(fault.where):
                self.faults.remove(fault)
                return fault
        return None

    @abstractmethod
    def post(self, path: str, raw: bytes, kind: str) -> Any:
        """What a POST answers: plain data."""

    @abstractmethod
    def get(self, path: str, query: dict[str, str]) -> Any:
        """What a GET answers: plain data, bytes, or None for 404."""

    def add(self, requests: dict[str, dict[str, Any]], tag: str = "") -> Batch:
        """Make a batch."""
        batch = Batch(f"batch_{len(self.batches) + 1}", requests, tag)
        self.batches[batch.id] = batch
        return batch

    def looked(self, batch: Batch) -> bool:
        """Look at a batch; whether it has ended."""
        batch.looks += 1
        return batch.looks > self.looks

    def listed(self, shown: Callable[[Batch], Any], after: str | None) -> dict[str, Any]:
        """A page of the list of batches, the newest first."""
        newest = [*reversed(self.batches.values())]
        for batch in newest:
            self.looked(batch)
        start = [batch.id for batch in newest].index(after) + 1 if after else 0
        page = [shown(batch) for batch in newest[start : start + _PAGE]]
        ids = [batch["id"] for batch in page] or [None]
        return {
            "object": "list", "data": page, "first_id": ids[0], "last_id": ids[-1],
            "has_more": start + _PAGE < len(newest),
        }  # fmt: skip

    def results(self, batch: Batch, line: Callable[[str, Any, End], Any]) -> list[bytes]:
        """The lines of a batch's results."""
        lines = []
        for n, (name, body) in enumerate(batch.requests.items()):
            end = self.ends(n)
            if end == "missing":
                continue
            whole = json.dumps(line(name, body, end)).encode()
            lines.append(whole[: len(whole) // 2] if end == "damaged" else whole)
        return self.shaped(lines)


class OpenAIService(Service):
    """The Batch API, files and chat completions."""

    path = "/v1"

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, bytes] = {}

    def post(self, path: str, raw: bytes, kind: str) -> Any:
        if path == "/v1/files":
            form = message_from_bytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + raw)
            parts = {
                str(part.get_param("name", header="content-disposition")): part
                for part in form.walk()
                if not part.is_multipart()
            }
            assert parts["purpose"].get_payload() == "batch"
            content = parts["file"].get_payload(decode=True)
            assert isinstance(content, bytes)
            self.files[id_ := f"file-{len(self.files) + 1}"] = content
            return {"id": id_, "object": "file", "purpose": "batch"}
        body = json.loads(raw)
        if path == "/v1/batches":
            lines = [json.loads(line) for line in self.files[body["input_file_id"]].splitlines()]
            assert all(line["url"] == body["endpoint"] for line in lines)
            requests = {line["custom_id"]: line["body"] for line in lines}
            return self._shown(self.add(requests, body["metadata"]["pgkd"]))
        assert path == "/v1/chat/completions"
        self.asked.append(body)
        return completion(self.answer(body))

    def get(self, path: str, query: dict[str, str]) -> Any:
        if path == "/v1/batches":
            return self.listed(self._shown, query.get("after"))
        if path.startswith("/v1/files/"):
            return self._content(path.split("/")[3])
        batch = self.batches.get(path.rpartition("/")[2])
        if batch is None:
            return None
        if not self.looked(batch):
            return self._shown(batch)
        shown = {**self._shown(batch), "status": self.status}
        if self.status == "failed":
            why = {"code": "invalid", "message": f"no batches for this model {self.quoted}"}
            return {**shown, "errors": {"object": "list", "data": [why]}}
        outputs = {f"{kind}_file_id": f"{kind}-{batch.id}" for kind in ("output", "error")}
        return {**shown, **outputs}

    def _shown(self, batch: Batch) -> dict[str, Any]:
        return {
            "id": batch.id, "object": "batch", "endpoint": "/v1/chat/completions",
            "completion_window": "24h", "created_at": int(batch.made_at), "status": "in_progress",
            "metadata": {"pgkd": batch.tag} if batch.tag else None, "input_file_id": "file",
            "request_counts": {"total": len(batch.requests), "completed": 0, "failed": 0},
        }  # fmt: skip

    def _content(self, id_: str) -> bytes | None:
        kind, _, name = id_.partition("-")
        if name not in self.batches:
            return None
        lines = self.results(self.batches[name], self._line)
        failed = [b'"response": null' in line or b'"status_code": 400' in line for line in lines]
        wanted = [line for line, bad in zip(lines, failed, strict=True) if bad == (kind == "error")]
        return b"".join(line + b"\n" for line in wanted)

    def _line(self, name: str, body: Any, end: End) -> Any:
        if end == "expired":
            told = {"code": "batch_expired", "message": f"not in time {self.quoted}"}
            return {"custom_id": name, "response": None, "error": told}
        wrong = {"error": {"code": "bad", "message": f"refused {self.quoted}"}}
        good = end != "refused"
        response = {
            "status_code": 200 if good else 400,
            "request_id": "r",
            "body": completion(self.answer(body)) if good else wrong,
        }
        return {"id": "b", "custom_id": name, "response": response, "error": None}


class AnthropicService(Service):
    """Message batches and messages."""

    def post(self, path: str, raw: bytes, kind: str) -> Any:
        body = json.loads(raw)
        if path == "/v1/messages/batches":
            return self._shown(self.add({r["custom_id"]: r["params"] for r in body["requests"]}))
        assert path == "/v1/messages"
        self.asked.append(body)
        return message(text(self.answer(body)))

    def get(self, path: str, query: dict[str, str]) -> Any:
        parts = path.removeprefix("/v1/messages/batches").split("/")
        if len(parts) == 1:
            return self.listed(self._shown, query.get("after_id"))
        batch = self.batches.get(parts[1])
        if batch is None:
            return None
        if len(parts) == 3:
            return b"".join(line + b"\n" for line in self.results(batch, self._line))
        self.looked(batch)
        return self._shown(batch)

    def _shown(self, batch: Batch) -> dict[str, Any]:
        ended = batch.looks > self.looks
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        counts["succeeded" if ended else "processing"] = len(batch.requests)
        made = datetime.fromtimestamp(batch.made_at, UTC).isoformat()
        return {
            "id": batch.id, "type": "message_batch", "created_at": made, "expires_at": made,
            "processing_status": "ended" if ended else "in_progress", "request_counts": counts,
            "archived_at": None, "ended_at": None, "cancel_initiated_at": None,
            "results_url": "https://elsewhere.example/" if ended else None,
        }  # fmt: skip

    def _line(self, name: str, body: Any, end: End) -> Any:
        result: dict[str, Any] = {"type": "succeeded", "message": message(text(self.answer(body)))}
        if end == "expired":
            result = {"type": "expired"}
        elif end == "refused":
            told = {"type": "invalid_request_error", "message": f"refused {self.quoted}"}
            result = {"type": "errored", "error": {"type": "error", "error": told}}
        return {"custom_id": name, "result": result}


def _echo(body: dict[str, Any]) -> str:
    return f"to {body['messages'][-1]['content']}"


def _handler_of(service: Service) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["content-length"]))
            kind = self.headers["content-type"]
            self._answer("POST", lambda path, query: service.post(path, raw, kind))

        def do_GET(self) -> None:
            self._answer("GET", service.get)

        def _answer(self, method: str, answered: Callable[[str, dict[str, str]], Any]) -> None:
            address = urlsplit(self.path)
            call = f"{method} {address.path}"
            service.calls.append(call)
            fault = service.fault(call)
            if fault is None or fault.late:
                query = {name: values[-1] for name, values in parse_qs(address.query).items()}
                body = answered(address.path, query)
            service.heard(call)
            if fault is not None:
                if fault.status == 0:
                    reset(self)
                else:
                    told = {"error": {"message": f"fault {service.quoted}"}}
                    self._send(fault.status, json.dumps(told).encode(), fault.headers)
            elif body is None:
                self._send(404, b'{"error": {"message": "no such thing"}}', {})
            else:
                self._send(200, body if isinstance(body, bytes) else json.dumps(body).encode(), {})

        def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(data)
            except OSError:  # whoever asked has gone
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler
