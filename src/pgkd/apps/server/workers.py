"""Several processes behind one socket: started, replaced where one dies, and stopped together.

uvicorn has a supervisor too. It keeps the socket open while its workers stop, so that requests
which come then are lost, and it waits for the answer of a worker that has died meanwhile.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from pgkd.errors import ServerError

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnProcess

    _Job = tuple[Callable[..., None], tuple[object, ...]]

CANNOT_START = 3
"""Exit status of a worker that would fail again; it has said why."""

_LOOK_SECONDS = 0.2  # between two looks at whether a signal came
_PAUSE_SECONDS = 1.0  # before a worker is replaced, so that one which dies at once is no busy loop

_HELPER_SECONDS = 5.0  # when nobody asks it any more

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps workers alive until SIGTERM or SIGINT.

    Args:
        work: what a worker does with the socket, from its start to SIGTERM; it is sent to another
            process, so it has to be a function of a module, or a partial of one.
        listener: a bound socket that all workers accept from. It is closed in the end.
        workers: how many.
        helpers: what other processes do, from their start to SIGTERM, that workers rely on; they
            are started before the workers, and stopped after them.
    """

    def __init__(
        self,
        work: Callable[[socket.socket], None],
        listener: socket.socket,
        workers: int,
        helpers: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._listener = listener
        self._helpers = len(helpers)
        self._jobs: list[_Job] = [(help_, ()) for help_ in helpers]
        self._jobs += [(work, (listener,))] * workers
        self._told = threading.Event()
        # Not forked: threads of libraries do not survive that.
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Start the workers, and return when all have ended.

        Raises:
            ServerError: a worker cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self._told.set())
        processes = [self._start(job) for job in self._jobs]
        try:
            while not self._told.is_set():
                wait([process.sentinel for process in processes], timeout=_LOOK_SECONDS)
                processes = [
                    self._replaced(process, job)
                    for process, job in zip(processes, self._jobs, strict=True)
                ]
        finally:
            # First of all: as long as anybody holds it open, clients connect and are not answered.
            self._listener.close()
            helpers, workers = processes[: self._helpers], processes[self._helpers :]
            _stop(workers)
            _stop(helpers, patience=_HELPER_SECONDS)

    def _start(self, job: _Job) -> SpawnProcess:
        target, arguments = job
        process = self._context.Process(target=target, args=arguments)
        process.start()
        return process

    def _replaced(self, process: SpawnProcess, job: _Job) -> SpawnProcess:
        """The process itself, or another where it has ended and nobody told it to."""
        if process.exitcode is None or self._told.is_set():
            return process
        if process.exitcode == CANNOT_START:
            raise ServerError("A worker could not start; what it said stands above.")
        _log.warning("Worker %s ended (%s); another starts.", process.pid, process.exitcode)
        self._told.wait(_PAUSE_SECONDS)
        return self._start(job)


def _stop(processes: Sequence[SpawnProcess], patience: float | None = None) -> None:
    """End processes and wait for them; after so many seconds they are killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(patience)
        if process.exitcode is None:
            process.kill()
            process.join()


def end_with_parent() -> None:
    """Let this worker end when its parent is killed: it would hold the port for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
