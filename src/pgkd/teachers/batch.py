"""Requests that are handed in together and answered within a day, at half the price.

`BatchApi` is what a provider offers of it, and all that the accounts know of the provider.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol

from pgkd.teachers.endpoint import parsed

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from datetime import datetime

    from pgkd.errors import TeacherError
    from pgkd.teachers.base import Reply, Request

LONGEST_LINE = 8_000_000  # bytes of one result; a longer one is passed over


@dataclass(frozen=True, slots=True)
class BatchState:
    """How far a provider is with a batch.

    Attributes:
        ended: all its requests have their ends, good or bad, and the results can be read.
        finished: requests that have one so far.
        refusal: why the provider refused the batch as a whole; empty where it did not.
    """

    ended: bool
    finished: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Trace:
    """What a provider knows of a batch by its tag.

    Attributes:
        id: the provider's name of it; None where there is none.
        undecided: a batch that may be the one tells its tag only when it has ended.
    """

    id: str | None = None
    undecided: bool = False


class BatchApi(Protocol):
    """Batches of one provider. Every method raises `TeacherError` where the provider fails."""

    most_requests: int
    """Requests that a batch may have."""
    most_bytes: int
    """Bytes that they may have together, as JSON."""

    def body(self, request: Request) -> dict[str, Any]:
        """A request as the provider wants it."""

    def submit(self, tag: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Hand a batch in; returns the provider's name of it.

        Args:
            tag: our name of the batch, by which `find` knows it again.
            bodies: what `body` made of each request, by its name, which begins with the tag.
        """

    def state(self, id_: str) -> BatchState | None:
        """How far a batch is; None where the provider does not know it."""

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """The requests of a batch that has ended, by name, and how each ended; in any order."""

    def find(self, tag: str, since: datetime, size: int) -> Trace:
        """Look for a batch whose name was never heard.

        Args:
            tag: that it was handed in with.
            since: it was not handed in before.
            size: requests that it has.
        """


def records(chunks: Iterable[bytes]) -> Iterator[Any]:
    """The JSON objects of a file of JSON lines, as objects with attributes.

    The file may have any size, for one line is in memory at a time. Lines that are damaged, or
    too long, or hold no object are passed over.
    """
    for line in _lines(chunks):
        try:
            record = parsed(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(record, SimpleNamespace):
            yield record


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines of bounded length; the rest of one that is longer is not kept."""
    kept: list[bytes] = []
    size = 0
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            if size + len(end) <= LONGEST_LINE:
                yield b"".join((*kept, end))
            kept, size = [], 0
        size += len(rest)
        if size > LONGEST_LINE:
            kept = []
        elif rest:
            kept.append(rest)
    if 0 < size <= LONGEST_LINE:
        yield b"".join(kept)
