"""What the student of a run thinks of the texts to review, found out in the background."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pgkd.errors import PgkdError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.runs.folder import RunFolder

_AT_ONCE = 128  # texts; between two portions it is told how far it is


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a student takes a text for.

    Attributes:
        label: the class that it finds most probable.
        confidence: probability of that class.
    """

    label: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the reading is.

    Attributes:
        read: texts that were read.
        wanted: texts that are to be read.
        trouble: why it cannot go on; empty where it can.
    """

    read: int
    wanted: int
    trouble: str = ""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing more to wait for."""
        return bool(self.trouble) or self.read >= self.wanted


class Reader:
    """Reads the texts of one run with its best student, and again when there is another one.

    Args:
        run: the run.
    """

    def __init__(self, run: RunFolder) -> None:
        self._run = run
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._student: object = None  # which one the opinions are of
        self._opinions: dict[str, Opinion] = {}
        self._trouble = ""

    def opinions(self, texts: Sequence[str]) -> tuple[dict[str, Opinion], Progress]:
        """What is known by now, by text; what is not known is begun to be read."""
        stamp = self._stamp()
        with self._mutex:
            if stamp != self._student:
                self._student, self._opinions, self._trouble = stamp, {}, ""
            missing = [text for text in dict.fromkeys(texts) if text not in self._opinions]
            idle = self._thread is None or not self._thread.is_alive()
            if missing and idle and stamp is not None and not self._trouble:
                self._thread = threading.Thread(
                    target=self._read, args=(stamp, missing), name="reading", daemon=True
                )
                self._thread.start()
            wanted = len(set(texts))
            trouble = self._trouble or ("" if stamp else "There is no student yet.")
            return dict(self._opinions), Progress(wanted - len(missing), wanted, trouble)

    @property
    def student(self) -> object:
        """Whose opinions they are; another value for another student."""
        return self._student

    def wait(self, seconds: float) -> None:
        """Wait until all is read, or for so many seconds."""
        thread = self._thread
        if thread is not None:
            thread.join(seconds)

    def _stamp(self) -> object:
        """What changes when the run has another best student; None where it has none."""
        try:
            about = (self._run.path / "students" / "best" / "student.json").stat()
        except OSError:
            return None
        return about.st_mtime_ns, about.st_ino

    def _read(self, stamp: object, texts: Sequence[str]) -> None:
        try:
            student = self._run.student("best")
            for start in range(0, len(texts), _AT_ONCE):
                portion = texts[start : start + _AT_ONCE]
                probabilities = student.predict_proba(portion)
                found = {
                    text: Opinion(student.classes[int(row.argmax())], float(row.max()))
                    for text, row in zip(portion, probabilities, strict=True)
                }
                with self._mutex:
                    if stamp != self._student:
                        return  # there is another student: what this one thinks is of no use
                    self._opinions |= found
            student.forget()
        except (PgkdError, OSError) as error:
            with self._mutex:
                if stamp == self._student:
                    self._trouble = f"The student cannot read the texts: {error}"
