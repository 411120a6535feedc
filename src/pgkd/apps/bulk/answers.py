"""Files of answers, CSV or JSON lines, and how an interrupted one resumes."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Self

from pgkd.data.cells import disarmed
from pgkd.errors import ConfigError, ResumeError
from pgkd.files import held, with_name, write_whole
from pgkd.runs.resume import differences

_START = {"rows": 0, "bytes": 0}


def check_out(path: Path) -> Path:
    """The path, if answers can be written there.

    Args:
        path: file to write.

    Raises:
        ConfigError: it is neither .csv nor .jsonl, or its folder is missing or not writable.
    """
    if path.suffix not in (".csv", ".jsonl"):
        raise ConfigError(f"{path}: answers are written as .csv or .jsonl.")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: there is no folder {path.parent}. Create it first.")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path}: {path.parent} cannot be written to. Choose another folder.")
    return path


def partial_path(out: Path) -> Path:
    """Where a file of answers grows until it is complete."""
    return out.with_name(out.name + ".partial")


def write_answers(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a file of answers, one value per column; it appears only once it is complete."""
    partial = partial_path(path)
    try:
        with partial.open("wb") as file:
            file.write(format_header(path.suffix, columns))
            for row in rows:
                file.write(format_rows(path.suffix, columns, [row]))
        partial.replace(path)
    except OSError as error:
        raise with_name(error, path) from None


def format_header(suffix: str, columns: Sequence[str]) -> bytes:
    """The beginning of a file."""
    return _csv([columns]) if suffix == ".csv" else b""


def format_rows(suffix: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Some answers, as the file has them."""
    if suffix == ".csv":
        return _csv([_cell(value) for value in row] for row in rows)
    records = (dict(zip(columns, row, strict=True)) for row in rows)
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _csv(rows: Iterable[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    """A cell that no spreadsheet runs as a formula; what is no text or number as in JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        value = json.dumps(value, ensure_ascii=False)
    return disarmed(value) if isinstance(value, str) else value


class ResumableFile:
    """A file that grows step by step and resumes after its last complete step.

    Next to ``answers.csv`` stand ``answers.csv.partial``, which becomes it in the end, and
    ``answers.csv.partial.journal``: what the content depends on, then a line per step with the rows
    and bytes so far. A step is on disk before its line is written, so whatever follows the last
    line may be half a step, and is cut off.

    Attributes:
        rows: rows that are done.
        size: bytes that they take, header included.
    """

    def __init__(self, out: Path, rows: int, size: int, *, complete: bool) -> None:
        self.rows = rows
        self.size = size
        self._complete = complete  # already in its place, with every row
        self._out = out
        self._file: BinaryIO | None = None

    @classmethod
    @contextmanager
    def open(
        cls, out: Path, content: dict[str, Any], total: int, *, restart: bool
    ) -> Iterator[Self]:
        """Start a file or resume it, with other processes locked out.

        Args:
            out: where it will stand once it is complete.
            content: everything that its bytes depend on, as plain data.
            total: rows that it will have.
            restart: discard what was done.

        Raises:
            ResumeError: the file was started with other content, is damaged, or is being written.
        """
        lock = out.with_name(out.name + ".partial.lock")
        taken = ResumeError(f"Another process is writing {out}: wait for it, or stop it first.")
        with held(lock, taken):
            if restart:
                _journal_path(out).unlink(missing_ok=True)
            file = cls._find(out, content, total)
            try:
                yield file
            finally:
                file._close()
                lock.unlink(missing_ok=True)

    @classmethod
    def _find(cls, out: Path, content: dict[str, Any], total: int) -> Self:
        journal, partial = _journal_path(out), partial_path(out)
        steps = _read_steps(journal, content, out) if journal.is_file() else []
        if not partial.exists() and out.exists():  # killed between the last two actions
            size = out.stat().st_size
            if steps[-1:] == [{"rows": total, "bytes": size}]:
                return cls(out, total, size, complete=True)
        size = partial.stat().st_size if partial.exists() else 0
        last = next((step for step in reversed(steps) if step["bytes"] <= size), _START)
        write_whole(journal, f"{json.dumps(content)}\n{json.dumps(last)}\n")
        return cls(out, last["rows"], last["bytes"], complete=False)

    def append(self, data: bytes, rows: int) -> None:
        """Add a step of some rows; return once it is on disk.

        Raises:
            ResumeError: it cannot be written.
        """
        try:
            self._append(data)
            self.rows += rows
            with _journal_path(self._out).open("a", encoding="utf-8") as journal:
                journal.write(json.dumps({"rows": self.rows, "bytes": self.size}) + "\n")
        except OSError as error:
            raise ResumeError(
                f"{partial_path(self._out)} cannot be written: {error}. Once that is fixed, the "
                f"same command resumes after row {self.rows:,}."
            ) from error

    def finish(self) -> None:
        """Move the file into its place."""
        if not self._complete:
            self._append(b"")
            self._close()
            partial_path(self._out).replace(self._out)
        _journal_path(self._out).unlink()

    def _append(self, data: bytes) -> None:
        if self._file is None:
            self._file = partial_path(self._out).open("ab")
            self._file.truncate(self.size)
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self.size += len(data)

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):  # a failed write was reported when it happened
                self._file.close()


def _journal_path(out: Path) -> Path:
    return out.with_name(out.name + ".partial.journal")


def _read_steps(journal: Path, content: dict[str, Any], out: Path) -> list[dict[str, int]]:
    """The steps in a journal, without a last line that was cut off."""
    first, *rest = journal.read_text(encoding="utf-8").split("\n")
    try:
        before = dict(json.loads(first))
        steps = [{name: int(json.loads(line)[name]) for name in _START} for line in rest[:-1]]
    except (ValueError, TypeError, KeyError) as error:
        raise ResumeError(f"{journal} is damaged: {error!r}. Start over with --restart.") from error
    if changed := [f"  - {line}\n" for line in differences(before, content)]:
        done = steps[-1]["rows"] if steps else 0
        raise ResumeError(
            f"{out} was started with other texts or settings, and {done:,} rows are done:\n"
            f"{''.join(changed)}Use the same again to resume, or --restart to start over."
        )
    return steps
