"""Several calls at once, their results in the order asked."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from pgkd.teachers.base import Teacher

_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def in_order(
    teacher: Teacher,
    ask: Callable[[_Asked], _Found],
    asked: Iterable[_Asked],
    *,
    on_end: Callable[[], object] = lambda: None,
) -> Generator[_Found]:
    """What `ask` finds for each item, with as many calls in flight as the teacher takes.

    Results come in the order of the items, whoever was faster, so that nothing depends on it. When
    the caller stops early, or a call raises, those in flight are waited for, for they are paid, and
    no other begins: close the generator, or exhaust it.

    Args:
        teacher: whose calls they are.
        ask: makes a call.
        asked: the items.
        on_end: called when no more is wanted, before those in flight are waited for.
    """
    if teacher.concurrency == 1:  # in this thread, where Ctrl-C is heard
        yield from map(ask, asked)
        return
    with ThreadPoolExecutor(teacher.concurrency, "pgkd-teacher") as pool:
        try:
            yield from pool.map(ask, asked)
        finally:
            on_end()
            pool.shutdown(wait=True, cancel_futures=True)
