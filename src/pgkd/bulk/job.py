"""Which texts a classifier answers, and how the answers stand in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.bulk import answers
from pgkd.student import Student

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from pgkd.bulk.models import Classifier
    from pgkd.bulk.source import Source

COLUMNS = ("text", "label", "probability")


@dataclass(frozen=True, slots=True)
class Piece:
    """Answers to a chunk of texts.

    Attributes:
        rows: how many.
        data: them, as they stand in the file.
    """

    rows: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that answers follow from; it can be sent to another machine.

    Attributes:
        source: of the texts.
        model: folder of the classifier.
        suffix: of the file of answers: its format.
    """

    source: Source
    model: Path
    suffix: str

    def header(self) -> bytes:
        """What the file of answers begins with."""
        return answers.header(self.suffix, COLUMNS)

    def answer(self, model: Classifier, texts: Sequence[str]) -> Piece:
        """The answers to a chunk: class and probability of each text."""
        found = model.predict_proba(texts)
        if isinstance(model, Student):
            model.forget()  # else a file would fill the memory with what it has passed
        rows = (
            (text, model.classes[int(row.argmax())], round(float(row.max()), 6))
            for text, row in zip(texts, found, strict=True)
        )
        return Piece(len(texts), answers.lines(self.suffix, COLUMNS, rows))


def answer_here(
    job: Job, model: Classifier, skip: int = 0, stream: BinaryIO | None = None
) -> Iterator[Piece]:
    """Answers to all chunks in their order, one after the other in this process.

    Args:
        job: what to answer.
        model: the classifier of the job.
        skip: texts that are answered already, from the first one on.
        stream: texts to read in the file's stead.

    Raises:
        DataError: the texts cannot be read.
    """
    for texts in job.source.chunks(skip, stream):
        yield job.answer(model, texts)
