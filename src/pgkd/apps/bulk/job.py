"""Which texts a classifier answers, and how the answers stand in a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.apps.bulk import answers
from pgkd.errors import ConfigError
from pgkd.tasks.classification.students.base import Student

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

    from pgkd.apps.bulk.models import Classifier
    from pgkd.apps.bulk.source import Source

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
        abstain_below: probability below which an answer is flagged, in a column of its own; None
            writes no such column.

    Raises:
        ConfigError: `abstain_below` is no probability.
    """

    source: Source
    model: Path
    suffix: str
    abstain_below: float | None = None

    def __post_init__(self) -> None:
        if self.abstain_below is not None and not 0 <= self.abstain_below <= 1:
            raise ConfigError(
                f"abstain_below is {self.abstain_below}: give a probability from 0 to 1."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what is written of each text."""
        return COLUMNS if self.abstain_below is None else (*COLUMNS, "abstain")

    def header(self) -> bytes:
        """What the file of answers begins with."""
        return answers.header(self.suffix, self.columns)

    def answer(self, model: Classifier, texts: Sequence[str]) -> Piece:
        """The answers to a chunk: class and probability of each text, and whether it is unsure."""
        found = model.predict_proba(texts)
        if isinstance(model, Student):
            model.forget()  # else a file would fill the memory with what it has passed
        rows = (
            (text, model.classes[int(row.argmax())], *self._certainty(float(row.max())))
            for text, row in zip(texts, found, strict=True)
        )
        return Piece(len(texts), answers.lines(self.suffix, self.columns, rows))

    def _certainty(self, probability: float) -> tuple[float] | tuple[float, bool]:
        told = round(probability, 6)
        return (told,) if self.abstain_below is None else (told, probability < self.abstain_below)


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
