"""The run folder: everything a run knows, as files that people and programs can read.

::

    RUN/
      config.yaml        every setting, resolved
      environment.json   versions of Python, pgkd and what the student and teacher rest on
      task.json          classes, rows of training and validation, warnings about the data
      journal.jsonl      what happened, in order
      ledger.sqlite      every call to the teacher, written down before its reply is used
      examples.jsonl     texts of the teacher that were kept, with round, request and parents
      dropped.jsonl      what was dropped, with its reason
      suspects.jsonl     real rows whose label is doubtful, and who doubts it
      result.json        how the run ended, and the metrics of every round
      students/alone     the student of the labelled rows alone, where the class list helps it
      students/first     the student before the teacher (round 0)
      students/best      the student to use: a copy on disk, never a reference
      students/last      the student of the last round

A line that has been appended is on the disk: it is flushed and synced before the call returns. All
but the settings, the rows and the ledger follows from these three, and is written anew when a run
is resumed.
"""

from __future__ import annotations

import json
import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.errors import RunError
from pgkd.student import load_student
from pgkd.student.encoders import link_or_copy
from pgkd.task import Example, LabelClass, Taxonomy
from pgkd.teacher.account import Ledger
from pgkd.teacher.account.ledger import now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pgkd.curation import Drop, Fault
    from pgkd.guidance.mining import MinedRow
    from pgkd.student import Student

TIME_FIELDS = ("time", "seconds")
"""Fields that differ between two runs that are otherwise the same."""

STUDENTS = ("alone", "first", "best", "last")
_RECORDS = (
    "journal.jsonl", "examples.jsonl", "dropped.jsonl", "suspects.jsonl", "result.json",
)  # fmt: skip
_LOCK = ".lock"
_LEDGER = "ledger.sqlite"


class RunFolder:
    """A run on disk. Make one with `create`, or look at an old one with `open`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a run folder, or take one that a run has begun in.

        Raises:
            RunError: something else is there already; a run never mixes with other files.
        """
        if path.exists() and not (path / "config.yaml").is_file() and not _fresh(path):
            raise RunError(
                f"{path} is not empty and no run folder: choose another folder with --out, "
                "or remove this one."
            )
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Look at a run that has begun.

        Raises:
            RunError: this is no run folder.
        """
        if not (path / "config.yaml").is_file():
            raise RunError(f"{path} is not a run folder: it has no config.yaml.")
        return cls(path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep every other process out of the run.

        Raises:
            RunError: another process is running it.
        """
        from filelock import FileLock, Timeout

        try:
            with FileLock(self.path / _LOCK, timeout=0):
                yield
        except Timeout:
            raise RunError(
                f"Another process is running {self.path}: wait for it, or stop it first."
            ) from None

    def ledger(self) -> Ledger:
        """The record of the run's calls; close it after use.

        Raises:
            RunError: it cannot be opened.
        """
        return Ledger(self.path / _LEDGER)

    def clear_records(self) -> None:
        """Remove what a resumed run writes anew; its students stay until it has others."""
        for name in _RECORDS:
            (self.path / name).unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file, so that a reader sees the old one or the new one, never half."""
        partial = self.path / f".{name}.partial"
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.path / name)

    def write_json(self, name: str, data: Any) -> None:
        """Write plain data as one JSON file."""
        self.write_text(name, as_json(data))

    def read_json(self, name: str) -> Any:
        """Read what `write_json` wrote.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            return json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / name} cannot be read: {error}") from error

    def append(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Append JSON lines, and return when they are on the disk."""
        lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
        with (self.path / name).open("a", encoding="utf-8", errors="replace") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    def read_lines(self, name: str) -> Iterator[dict[str, Any]]:
        """The records of a JSON-lines file; none where the file does not exist."""
        path = self.path / name
        if path.exists():
            with path.open(encoding="utf-8") as file:
                for line in file:
                    yield json.loads(line)

    def log(self, event: str, **fields: Any) -> None:
        """Add a line to the journal."""
        self.append("journal.jsonl", [{"event": event, **fields, "time": now()}])

    def record_kept(self, examples: Sequence[Example]) -> None:
        """Keep the texts that enter the training set."""
        self.append("examples.jsonl", (example.to_json() for example in examples))

    def record_dropped(self, ask: str, faults: Sequence[Fault], drops: Sequence[Drop]) -> None:
        """Keep what was dropped, with its reason, for reading."""
        self.append(
            "dropped.jsonl",
            [
                *(
                    {"request": ask, "reason": f.reason, "detail": f.detail, "raw": f.raw}
                    for f in faults
                ),
                *(
                    {
                        "request": ask,
                        "reason": d.reason,
                        "detail": d.detail,
                        "label": d.sample.label,
                        "text": d.sample.text,
                    }
                    for d in drops
                ),
            ],
        )

    def record_suspects(self, rows: Sequence[MinedRow], number: int) -> None:
        """List rows whose label confident learning doubts."""
        self.append(
            "suspects.jsonl",
            (
                {
                    "id": row.example.id,
                    "label": row.example.label,
                    "by": "confident learning",
                    "suggested": row.predicted,
                    "confidence": round(row.confidence, 6),
                    "round": number,
                    "text": row.example.text,
                }
                for row in rows
            ),
        )

    def record_doubts(self, ask: str, rows: Sequence[Example]) -> None:
        """List shown rows whose label the teacher doubts."""
        self.append(
            "suspects.jsonl",
            (
                {
                    "id": row.id,
                    "label": row.label,
                    "by": "teacher",
                    "request": ask,
                    "text": row.text,
                }
                for row in rows
            ),
        )

    def taxonomy(self) -> Taxonomy:
        """The classes of the run's task."""
        classes = self.read_json("task.json")["classes"]
        return Taxonomy(tuple(LabelClass(**fields) for fields in classes))

    def kept(self) -> tuple[Example, ...]:
        """The texts of the teacher that were kept."""
        return tuple(Example.from_json(line) for line in self.read_lines("examples.jsonl"))

    def save_student(self, student: Student, number: int, *, best: bool) -> None:
        """Save a round's student as the last one, and copy it to where it belongs besides."""
        students = self.path / "students"
        _replace(students / "last", student.save)
        names = [*(["first"] if number == 0 else []), *(["best"] if best else [])]
        for name in names:
            _replace(students / name, lambda new: _copy(students / "last", new))

    def save_baseline(self, student: Student) -> None:
        """Save the student of the labelled rows alone, for comparison."""
        _replace(self.path / "students" / "alone", student.save)

    def has_student(self, which: str) -> bool:
        """Whether the run has saved such a student."""
        return (self.path / "students" / which).is_dir()

    def student(self, which: str = "best") -> Student:
        """Load the ``alone``, ``first``, ``best`` or ``last`` student.

        Raises:
            RunError: there is no student of that name, or the run does not have it.
        """
        if which not in STUDENTS:
            raise RunError(f"There is no student '{which}'. There are: {', '.join(STUDENTS)}.")
        folder = self.path / "students" / which
        if not self.has_student(which):
            raise RunError(f"{self.path} holds no student '{which}': the run ended before it.")
        return load_student(folder)


def _fresh(path: Path) -> bool:
    """Whether a run has left nothing there, but for what it opens before all else."""
    return path.is_dir() and all(p.name.startswith((_LOCK, _LEDGER)) for p in path.iterdir())


def as_json(data: Any) -> str:
    """Plain data as the text of a JSON file."""
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def without_times(record: Any) -> Any:
    """A record without the fields that tell time, at any depth; two equal runs agree on it."""
    if isinstance(record, dict):
        return {k: without_times(v) for k, v in record.items() if k not in TIME_FIELDS}
    if isinstance(record, list):
        return [without_times(item) for item in record]
    return record


def _replace(folder: Path, write: Any) -> None:
    """Write a folder anew beside the old one, then put it in its place."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    write(new)
    shutil.rmtree(folder, ignore_errors=True)
    new.rename(folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a student. What the run has trained is copied; a pretrained encoder is shared."""
    shutil.copytree(source, target, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> str:
    # A file with several names is one of the weights cache: 90 MB that no training has touched.
    if Path(source).stat().st_nlink > 1:
        link_or_copy(Path(source), Path(target))
    else:
        shutil.copy2(source, target)
    return target
