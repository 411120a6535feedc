"""Several processes behind one socket: started, replaced when one dies, and stopped together.

uvicorn has a supervisor, too. It keeps the socket open while its workers stop, so that requests
which arrive then are lost, and it waits for a response of a worker that has died.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

from pgkd.errors import ServerError

CANNOT_START = 3
"""Exit status of a worker that would fail again; it has printed why."""

_POLL_SECONDS = 0.2  # between two checks for a signal
_RESTART_SECONDS = 1.0  # before a worker is replaced, so that one which dies at once does not spin
_HELPER_SECONDS = 5.0  # for a helper to end after its workers

_log = logging.getLogger(__name__)


class Supervisor:
    """Keeps workers alive until SIGTERM or SIGINT.

    Args:
        work: what a worker does with the socket, from its start to SIGTERM; it is sent to another
            process, so it must be a function of a module, or a partial of one.
        listener: a bound socket that all workers accept from; closed at the end.
        workers: how many.
        helpers: what other processes that workers rely on do, from their start to SIGTERM; they
            start before the workers, and stop after them.
    """

    def __init__(
        self,
        work: Callable[[socket.socket], None],
        listener: socket.socket,
        workers: int,
        helpers: Sequence[Callable[[], None]] = (),
    ) -> None:
        self._listener = listener
        self._n_helpers = len(helpers)
        self._jobs: list[Callable[[], None]] = [*helpers, *[partial(work, listener)] * workers]
        self._stop_signal = threading.Event()
        # Not forked: threads of libraries do not survive that.
        self._context = multiprocessing.get_context("spawn")

    def run(self) -> None:
        """Start the workers, and return when all have ended.

        Raises:
            ServerError: a worker cannot start.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, frame: self._stop_signal.set())
        processes = [self._start(job) for job in self._jobs]
        try:
            while not self._stop_signal.is_set():
                wait([process.sentinel for process in processes], timeout=_POLL_SECONDS)
                processes = list(map(self._replace_if_dead, processes, self._jobs))
        finally:
            # First: as long as anybody holds it open, clients connect and get no response.
            self._listener.close()
            _stop(processes[self._n_helpers :])
            _stop(processes[: self._n_helpers], timeout=_HELPER_SECONDS)

    def _start(self, job: Callable[[], None]) -> SpawnProcess:
        process = self._context.Process(target=job)
        process.start()
        return process

    def _replace_if_dead(self, process: SpawnProcess, job: Callable[[], None]) -> SpawnProcess:
        if process.exitcode is None or self._stop_signal.is_set():
            return process
        if process.exitcode == CANNOT_START:
            raise ServerError("A worker could not start; see its message above.")
        _log.warning("Worker %s ended (%s); starting another.", process.pid, process.exitcode)
        self._stop_signal.wait(_RESTART_SECONDS)
        return self._start(job)


def _stop(processes: Sequence[SpawnProcess], timeout: float | None = None) -> None:
    """End processes and wait for them; after the timeout in seconds they are killed."""
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()


def end_with_parent() -> None:
    """End this worker when its parent is killed: it would keep the port for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
