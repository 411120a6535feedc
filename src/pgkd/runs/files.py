"""The files of a run, read with bounds and written whole; what they hold is `RunFolder`'s business.

A run that is resumed repeats its rounds from what is on disk. Until it is where it was, it writes
into a folder of its own, ``.resuming``: what was finished stays until its successor is whole.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from pgkd import files
from pgkd.errors import ConfigError, RunError
from pgkd.files import discard, held, move_folder, reason, with_name, write_whole
from pgkd.runs.forms import FORMS, check
from pgkd.tasks import DEFAULT, make_task
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pgkd.task import Task

CONFIG = "config.yaml"
LEDGER = "ledger.sqlite"
LOCK = ".lock"
STUDENTS = "students"
_STAGED = ".resuming"
_ENDS = ("result.json", "evaluation.json")  # what was said of a run that had ended
_RECORDS = (
    "examples.jsonl",
    "rejected.jsonl",
    "label_issues.jsonl",
    "journal.jsonl",
    *_ENDS,
)
_PROBE = 0.5  # seconds for the lock: another process may just look whether the run is going on


class RunFiles:
    """The files of a run folder.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._staged: Path | None = None
        self._task: Task | None = None

    @property
    def task(self) -> Task:
        """The kind of task of the run; the default one before there are settings.

        Raises:
            RunError: config.yaml is damaged, or this pgkd does not know the kind.
        """
        if self._task is None:
            if not os.path.lexists(self.path / CONFIG):
                return make_task(DEFAULT)
            try:
                self._task = make_task(self.settings().get("task") or DEFAULT)
            except ConfigError as error:
                raise RunError(f"{self.path / CONFIG}: {error}") from None
        return self._task

    @property
    def _records(self) -> tuple[str, ...]:
        """Names of the files that a resumed run writes anew."""
        return (*self.task.files, *_RECORDS)

    def _check(self, name: str, record: dict[str, Any], where: str) -> None:
        """See that a record has the form of its file, and of its event."""
        keys = [name]
        if name == "journal.jsonl" and isinstance(record.get("event"), str):
            keys.append(f"{name}:{record['event']}")
        tables = (FORMS, self.task.forms)
        check(record, [table[key] for table in tables for key in keys if key in table], where)

    @contextmanager
    def locked(self, patience: float = _PROBE) -> Iterator[None]:
        """Keep every other process out of the run.

        Args:
            patience: seconds that another process's end is waited for.

        Raises:
            RunError: another process is running it, or the lock cannot be made.
        """
        taken = RunError(f"Another process is running {self.path}: wait for it, or stop it first.")
        try:
            with held(self.path / LOCK, taken, patience=patience):
                yield
        except OSError as error:
            if error.filename != str(self.path / LOCK):
                raise
            raise RunError(f"{self.path / LOCK} cannot be written: {reason(error)}.") from error

    def is_running(self) -> bool:
        """Whether a process runs it now. Asked by a look at the lock, which nobody keeps."""
        lock = self.path / LOCK
        taken = RunError("taken")
        try:
            with held(lock, taken) if lock.is_file() else nothing():
                return False
        except RunError:
            return True
        except OSError:  # a folder that may only be read: nobody runs anything there
            return False

    def is_repeating(self) -> bool:
        """Whether a process runs it that is not yet where the run had been."""
        return (self.path / _STAGED).is_dir() and self.is_running()

    @property
    def ledger_path(self) -> Path:
        """Where the record of the run's calls lies."""
        return self.path / LEDGER

    def ledger(self) -> Ledger:
        """The record of the run's calls, to write; made where it is missing. Close it after use.

        Raises:
            RunError: it cannot be opened.
        """
        return Ledger(self.ledger_path, within=self.path)

    def ledger_to_read(self) -> Ledger:
        """The record of the run's calls. Nothing is written, so the folder may be read-only.

        Raises:
            RunError: there is none, or it is damaged.
        """
        return Ledger.to_read(self.ledger_path, within=self.path)

    def stage(self) -> None:
        """Write records and students beside the old ones from now on, until `settle`."""
        self.unstage()
        (self.path / _STAGED).mkdir()
        self._staged = self.path / _STAGED

    def unstage(self) -> None:
        """Forget what was written beside; what was there before stays as it is."""
        self._staged = None
        with suppress(OSError):  # a folder that may only be read has none
            discard(self.path / _STAGED)

    @property
    def is_staged(self) -> bool:
        """Whether what is written goes beside what was there."""
        return self._staged is not None

    def settle(self) -> None:
        """Put what was written beside in the place of what was there. The journal comes last."""
        staged, self._staged = self._staged, None
        if staged is None:
            return
        for name in _ENDS:  # they tell of the old students
            (self.path / name).unlink(missing_ok=True)
        (self.path / STUDENTS).mkdir(exist_ok=True)
        for student in sorted((staged / STUDENTS).iterdir()):
            move_folder(student, self.path / STUDENTS / student.name)
        for name in self._records:
            if (staged / name).exists():
                (staged / name).replace(self.path / name)
            else:
                (self.path / name).unlink(missing_ok=True)
        self.unstage()

    def clear_records(self) -> None:
        """Remove what a run writes anew that has no finished round."""
        for name in self._records:
            (self.path / name).unlink(missing_ok=True)

    def at(self, name: str) -> Path:
        """Where a record, or the students, are read and written now."""
        own = self._staged is not None and (name in self._records or name == STUDENTS)
        return (self._staged if own and self._staged else self.path) / name

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file, so that a reader sees the old one or the new one, never half."""
        write_whole(self.at(name), text)

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as one JSON file."""
        self.write_text(name, as_json(data))

    def read_json(self, name: str) -> dict[str, Any]:
        """Read what `write_json` wrote.

        Raises:
            RunError: the file is missing or damaged.
        """
        path = self.at(name)
        found = files.read_json(path, RunError, within=self.path)
        self._check(name, found, str(path))
        return found

    def append(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Append JSON lines, and return when they are on the disk."""
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        path = self.at(name)
        try:
            with path.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise with_name(error, path) from None

    def read_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """Read JSON lines; a line that a crash cut off at the end is left out.

        Raises:
            RunError: a line is damaged.
        """
        path = self.at(name)
        if os.path.lexists(path):
            for number, record in files.read_json_lines(path, RunError, within=self.path):
                self._check(name, record, f"{path}, line {number},")
                yield record

    def settings(self) -> dict[str, Any]:
        """What config.yaml says, as it stands: settings of an older pgkd are no fault here.

        Raises:
            RunError: it cannot be read.
        """
        path = self.path / CONFIG
        found = files.read_yaml(path, RunError, within=self.path)
        check(found, [FORMS[CONFIG]], str(path))
        return found


def as_json(data: Any) -> str:
    """Plain data as the text of a JSON file."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


@contextmanager
def nothing() -> Iterator[None]:
    """A context without a lock."""
    yield


@contextmanager
def fitting_together(run: RunFiles) -> Iterator[None]:
    """Tell in one sentence that files of a run contradict each other, whatever fails on it.

    Each file was found to have its own form; a class that one names and another does not know is
    found only where both are used.

    Raises:
        RunError: they do.
    """
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise RunError(
            f"{run.path} is damaged: its files do not fit together ({error!r:.200})."
        ) from error
