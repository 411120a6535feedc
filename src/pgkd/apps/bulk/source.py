"""The texts to classify, a chunk at a time."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

from pgkd.data.problems import Problems
from pgkd.data.reading import raise_unusable, stream_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

# Thousands of rows, so that sorting them by length pays; and no more text than memory bears, for
# a tokenizer needs a hundred bytes for each.
CHUNK_ROWS = 4096
CHUNK_CHARACTERS = 2**20


@dataclass(frozen=True, slots=True)
class Survey:
    """What a whole file holds.

    Attributes:
        rows: texts in it.
        digest: SHA-256 of the texts in their order.
    """

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where texts come from. Where a chunk ends follows from the texts alone.

    Attributes:
        path: a file, or the name of a stream in messages.
        text_column: column of the text.
        kind: suffix that tells the format; None takes the path's.
    """

    path: Path
    text_column: str = "text"
    kind: str | None = None

    def chunks(self, skip: int = 0, stream: BinaryIO | None = None) -> Iterator[list[str]]:
        """The texts but for the first `skip`, in lists of thousands.

        Args:
            skip: texts to pass over: as many as some first chunks had.
            stream: what to read in the file's stead.

        Raises:
            DataError: the file cannot be read, or a row has no text. Chunks of the rows before it
                have been yielded by then.
        """
        problems = Problems()
        for chunk in _in_chunks(islice(self._texts(problems, stream), skip, None)):
            raise_unusable(self.path, problems)
            yield chunk
        raise_unusable(self.path, problems)

    def survey(self, on_rows: Callable[[int], object] = lambda rows: None) -> Survey:
        """Read all of the file once.

        Args:
            on_rows: is told after each chunk how many rows were read.

        Raises:
            DataError: lists every row that cannot be read or has no text.
        """
        problems, digest, rows = Problems(), hashlib.sha256(), 0
        for chunk in _in_chunks(self._texts(problems)):
            # No text in UTF-8 has the byte 255, so none is taken for two.
            digest.update(b"".join(text.encode() + b"\xff" for text in chunk))
            rows += len(chunk)
            on_rows(rows)
        raise_unusable(self.path, problems)
        return Survey(rows, digest.hexdigest())

    def _texts(self, problems: Problems, stream: BinaryIO | None = None) -> Iterator[str]:
        return stream_texts(self.path, self.text_column, problems, kind=self.kind, stream=stream)


def _in_chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk
