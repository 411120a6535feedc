"""A load generator on raw sockets: one process, one thread, epoll, requests encoded beforehand.

It costs some 20 microseconds a request, and says how much: what it measures shares the cores with
it. It reads a plan as JSON from standard input and writes what it saw to standard output:

    {"port": 8000, "clients": 64, "seconds": 2, "questions": [["a text"], ["two", "texts"]]}

Without a rate every client asks again when it is answered (a closed loop). With ``"rate"``, so many
requests leave a second whether the server keeps up or not (an open loop); every ten seconds the
rate becomes twice what was answered a second, for what a server can do changes with what else runs
on its machine. What finds no client free is counted as not sent. With ``"expected"``, the label of
every text, answers are checked.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_WINDOW = 10.0  # seconds after which the rate is set anew
_SLOWEST = 0.7  # times the rate before, at least: answers come in heaps
_PATIENCE = 300.0  # seconds that answers are waited for when nothing more is asked


class Client:
    """A connection that is kept, with at most one question on its way."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.question = -1
        self.sent = 0.0
        self._answer = b""

    def closed(self) -> bool:
        """Whether the server has closed it while nothing was asked, as it may."""
        return bool(select.select([self.socket], [], [], 0)[0])

    def ask(self, question: int, request: bytes) -> None:
        """Send a question; it is remembered by its number."""
        self.question, self._answer, self.sent = question, b"", time.perf_counter()
        self.socket.sendall(request)

    def read(self) -> tuple[int, bytes, bytes] | None:
        """Status, head and body when the answer is whole, else None.

        Raises:
            ConnectionError: the server closed it in between.
        """
        part = self.socket.recv(262144)
        if not part:
            raise ConnectionError
        self._answer += part
        head, end, body = self._answer.partition(b"\r\n\r\n")
        if not end:
            return None
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        return (int(head[9:12]), head, body) if len(body) >= int(length) else None


class Load:
    """Clients, and what they saw.

    Args:
        port: of the server, on loopback.
        clients: connections at most.
        questions: texts of each request, asked one after the other.
        expected: label of every text, in the same shape; None checks nothing but the status.
    """

    def __init__(
        self,
        port: int,
        clients: int,
        questions: Sequence[Sequence[str]],
        expected: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self._port = port
        self._clients = clients
        self._expected = expected
        self._requests = [_encoded(texts) for texts in questions]
        self._sizes = [len(texts) for texts in questions]
        self._epoll = select.epoll()
        self._by_number: dict[int, Client] = {}
        self._idle: list[Client] = []
        self._asked = 0
        self.statuses: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.texts = 0
        self.seconds: list[float] = []
        self.rates: list[float] = []

    def closed(self, seconds: float) -> None:
        """Every client asks again when it is answered."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            while self._ask():
                pass
            self._read(0.1)
        self._finish()

    def open(self, seconds: float, rate: float) -> None:
        """So many requests a second, whether they are answered or not."""
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            before = self.statuses[200]
            self._offer(min(end, start + _WINDOW), rate)
            self.rates.append(round(rate, 2))
            answered = (self.statuses[200] - before) / (time.perf_counter() - start)
            rate = max(2 * answered, _SLOWEST * rate)
        self._finish()

    def _offer(self, end: float, rate: float) -> None:
        """So many requests a second, until then."""
        start, due = time.perf_counter(), 0
        while True:
            now = min(time.perf_counter(), end)
            while due < (now - start) * rate:
                due += 1
                if not self._ask():
                    self.faults["not sent: no client free"] += 1
            if now == end:
                return
            self._read(max(0.0, min(0.1, start + due / rate - now)))

    def _finish(self) -> None:
        """Wait for the answers that are still to come."""
        end = time.perf_counter() + _PATIENCE
        while len(self._idle) < len(self._by_number) and time.perf_counter() < end:
            self._read(0.1)
        unanswered = len(self._by_number) - len(self._idle)
        if unanswered:
            self.faults["never answered"] += unanswered

    def _ask(self) -> bool:
        """Send the next question; False where no client is free."""
        client = self._free()
        if client is None:
            return False
        question = self._asked % len(self._requests)
        self._asked += 1
        client.ask(question, self._requests[question])
        return True

    def _free(self) -> Client | None:
        while self._idle:
            client = self._idle.pop()  # the last one, so that what is not needed is closed
            if not client.closed():
                return client
            self._forget(client)
        if len(self._by_number) == self._clients:
            return None
        client = Client(self._port)
        self._by_number[client.socket.fileno()] = client
        self._epoll.register(client.socket, select.EPOLLIN)
        return client

    def _read(self, wait: float) -> None:
        for number, _ in self._epoll.poll(wait):
            client = self._by_number[number]
            try:
                answer = client.read()
            except OSError:
                if client in self._idle:
                    self._idle.remove(client)
                else:
                    self.faults["closed without an answer"] += 1
                self._forget(client)
                continue
            if answer is not None:
                self._note(client, *answer)
                self._idle.append(client)

    def _forget(self, client: Client) -> None:
        del self._by_number[client.socket.fileno()]
        self._epoll.unregister(client.socket)
        client.socket.close()

    def _note(self, client: Client, status: int, head: bytes, body: bytes) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(time.perf_counter() - client.sent)
            self.texts += self._sizes[client.question]
            if self._expected is not None:
                labels = [found["label"] for found in json.loads(body)["predictions"]]
                if labels != self._expected[client.question]:
                    self.faults["wrong answer"] += 1
        elif status == 503 and b"retry-after" not in head.lower():
            self.faults["503 without Retry-After"] += 1


def _encoded(texts: Sequence[str]) -> bytes:
    question = {"text": texts[0]} if len(texts) == 1 else {"texts": texts}
    body = json.dumps(question).encode()
    head = (
        "POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def main() -> None:
    """Do what the plan says."""
    plan: dict[str, Any] = json.load(sys.stdin)
    load = Load(plan["port"], plan["clients"], plan["questions"], plan.get("expected"))
    began, used = time.perf_counter(), time.process_time()
    if plan.get("rate"):
        load.open(plan["seconds"], plan["rate"])
    else:
        load.closed(plan["seconds"])
    wall = time.perf_counter() - began
    took = sorted(load.seconds) or [0.0]
    json.dump(
        {
            "texts": load.texts,
            "wall_s": wall,
            "generator_cpu_s": time.process_time() - used,
            "statuses": load.statuses,
            "faults": load.faults,
            "rates": load.rates,
            "p50_ms": round(took[len(took) // 2] * 1000, 2),
            "p99_ms": round(took[int(len(took) * 0.99)] * 1000, 2),
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main()
