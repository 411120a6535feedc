"""A file that grows in steps, and goes on from its last step when it is cut off.

Beside ``answers.csv`` lie ``answers.csv.partial``, which becomes it in the end, and
``answers.csv.partial.journal``: what the file is made of, then a line for every step with the rows
and bytes that are done. A step is on the disk before its line is written. So whatever lies behind
the last line may be half a step, and is cut off.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from pgkd.apps.bulk.answers import partial_of
from pgkd.errors import ResumeError
from pgkd.files import held, write_whole
from pgkd.runs.resume import differences

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_START = {"rows": 0, "bytes": 0}


class PartialFile:
    """A file on its way. Get one from `begin_or_resume`.

    Attributes:
        rows: rows that are done.
        size: bytes that they take, with what the file begins with.
        whole: whether the file stands in its place already, with every row.
    """

    def __init__(self, out: Path, rows: int, size: int, *, whole: bool) -> None:
        self.rows = rows
        self.size = size
        self.whole = whole
        self._out = out
        self._file: BinaryIO | None = None

    @classmethod
    @contextmanager
    def begin_or_resume(
        cls, out: Path, made_of: dict[str, Any], total: int, *, restart: bool
    ) -> Iterator[Self]:
        """Begin a file, or go on with it; no other process can, meanwhile.

        Args:
            out: where it will stand when it is whole.
            made_of: everything that its content follows from, as plain data.
            total: rows that it will have.
            restart: forget what was done.

        Raises:
            ResumeError: what is there was made of something else, or is damaged; or another
                process is writing.
        """
        lock = out.with_name(out.name + ".partial.lock")
        taken = ResumeError(f"Another process is writing {out}: wait for it, or stop it first.")
        with held(lock, taken):
            if restart:
                _journal_of(out).unlink(missing_ok=True)
            found = cls._found(out, made_of, total)
            try:
                yield found
            finally:
                found._close()
                lock.unlink(missing_ok=True)

    @classmethod
    def _found(cls, out: Path, made_of: dict[str, Any], total: int) -> Self:
        journal, partial = _journal_of(out), partial_of(out)
        steps = _read(journal, made_of, out) if journal.is_file() else []
        last = steps[-1] if steps else _START
        if not partial.exists() and out.exists():
            size = out.stat().st_size  # killed between the last two things that are done
            if last == {"rows": total, "bytes": size}:
                return cls(out, total, size, whole=True)
        held = partial.stat().st_size if partial.exists() else 0
        last = next((step for step in reversed(steps) if step["bytes"] <= held), _START)
        write_whole(journal, f"{json.dumps(made_of)}\n{json.dumps(last)}\n")
        return cls(out, last["rows"], last["bytes"], whole=False)

    def append(self, data: bytes, rows: int) -> None:
        """Add a step of some rows, and return when it is on the disk.

        Raises:
            ResumeError: it cannot be written.
        """
        try:
            self._append(data)
            self.rows += rows
            with _journal_of(self._out).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps({"rows": self.rows, "bytes": self.size}) + "\n")
        except OSError as error:
            raise ResumeError(
                f"{partial_of(self._out)} cannot be written: {error}. The same command goes on "
                f"after row {self.rows:,} when that is mended."
            ) from error

    def finish(self) -> None:
        """Put the file into its place."""
        if not self.whole:
            self._append(b"")
            self._close()
            partial_of(self._out).replace(self._out)
        _journal_of(self._out).unlink()

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = partial_of(self._out).open("ab")
            self._file.truncate(self.size)
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.size += len(data)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # what could not be written was told when it was
                self._file.close()


def _journal_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial.journal")


def _read(journal: Path, made_of: dict[str, Any], out: Path) -> list[dict[str, int]]:
    """The steps of a journal, but for a last line that was cut off."""
    first, *rest = journal.read_text(encoding="utf-8").split("\n")
    try:
        before = dict(json.loads(first))
        steps = [{name: int(json.loads(line)[name]) for name in _START} for line in rest[:-1]]
    except (ValueError, TypeError, KeyError) as error:
        raise ResumeError(f"{journal} is damaged: {error!r}. Begin again: --restart.") from error
    changed = [f"  - {line}" for line in differences(before, made_of)]
    if changed:
        done = steps[-1]["rows"] if steps else 0
        raise ResumeError(
            f"{out} was begun with something else, of which {done:,} rows are done:\n"
            + "\n".join(changed)
            + "\nGive the same again to go on, or --restart to begin again."
        )
    return steps
