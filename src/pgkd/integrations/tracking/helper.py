"""A thread that does one thing after another, while somebody waits, but not for ever."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    _Work = tuple[Future[Any], Callable[[], Any]]

_Found = TypeVar("_Found")


class Helper:
    """Does work in a thread of its own, which a process that ends does not wait for.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._queue: SimpleQueue[_Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=_serve, args=(self._queue,), name=name, daemon=True)

    def do(self, work: Callable[[], _Found], seconds: float) -> _Found:
        """What the work finds, or raises.

        Raises:
            TimeoutError: it takes longer than so many seconds. It may go on.
        """
        if self._thread.ident is None:
            self._thread.start()
        future: Future[_Found] = Future()
        context = copy_context()  # a span of the caller's stays the one around
        self._queue.put((future, lambda: context.run(work)))
        return future.result(seconds)

    def stop(self) -> None:
        """End the thread when it has done what was wanted before."""
        self._queue.put(None)


def _serve(queue: SimpleQueue[_Work | None]) -> None:
    while (job := queue.get()) is not None:
        future, work = job
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001  (it is the caller's; also SystemExit)
            future.set_exception(error)
