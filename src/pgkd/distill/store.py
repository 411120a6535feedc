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
      tracking.json      what the run is called by each tracker, and how many rounds that was told
      control.json       whether somebody wants the run to pause or to stop
      reviews.jsonl      what people decided on texts, and which rounds trained with it
      result.json        how the run ended, and the metrics of every round
      evaluation.json    what `pgkd evaluate` found last, without the rows
      students/first     the student before the teacher (round 0)
      students/best      the student to use: a copy on disk, never a reference
      students/last      the student of the last round
      students/reviewed  the student that `pgkd retrain` made of people's decisions
      reviewed.json      how it compares with the best one

A line that has been appended is on the disk: it is flushed and synced before the call returns. All
but the settings, the rows, the ledger and the decisions follows from these four, and is written
anew when a run is resumed; an evaluation of its old students goes, what trackers know stays.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from pgkd.errors import RunError
from pgkd.files import copy_folder, held, write_anew, write_whole
from pgkd.student import load_student
from pgkd.task import Example, LabelClass, Task, Taxonomy
from pgkd.teacher.account import Ledger
from pgkd.teacher.account.ledger import now

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from pgkd.curation import Drop, Fault
    from pgkd.guidance.mining import MinedRow
    from pgkd.student import Student

TIME_FIELDS = ("time", "seconds")
"""Fields that differ between two runs that are otherwise the same."""

STUDENTS = ("first", "best", "last", "reviewed")
_RECORDS = (
    "journal.jsonl", "examples.jsonl", "dropped.jsonl", "suspects.jsonl", "result.json",
    "evaluation.json",
)  # fmt: skip
_LOCK = ".lock"
_PROBE = 0.5  # seconds for the lock: another process may just look whether the run is going on
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
    def locked(self, patience: float = _PROBE) -> Iterator[None]:
        """Keep every other process out of the run.

        Args:
            patience: seconds that another process's end is waited for.

        Raises:
            RunError: another process is running it.
        """
        taken = RunError(f"Another process is running {self.path}: wait for it, or stop it first.")
        with held(self.path / _LOCK, taken, patience=patience):
            yield

    def is_running(self) -> bool:
        """Whether a process runs it now. Asked by a look at the lock, which nobody keeps."""
        if not (self.path / _LOCK).exists():
            return False
        try:
            with self.locked(patience=0):
                return False
        except RunError:
            return True
        except OSError:  # a folder that may only be read: nobody runs anything there
            return False

    @property
    def ledger_path(self) -> Path:
        """Where the record of the run's calls lies."""
        return self.path / _LEDGER

    def ledger(self) -> Ledger:
        """The record of the run's calls; close it after use.

        Raises:
            RunError: it cannot be opened.
        """
        return Ledger(self.ledger_path)

    def clear_records(self) -> None:
        """Remove what a resumed run writes anew; its students stay until it has others."""
        for name in _RECORDS:
            (self.path / name).unlink(missing_ok=True)

    def write_text(self, name: str, text: str) -> None:
        """Write a whole file, so that a reader sees the old one or the new one, never half."""
        write_whole(self.path / name, text)

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
        """The records of a JSON-lines file; none where the file does not exist.

        A last line that a crash has cut off is left out.

        Raises:
            RunError: a line is damaged.
        """
        path = self.path / name
        if path.exists():
            with path.open(encoding="utf-8") as file:
                for number, line in enumerate(file, start=1):
                    try:
                        record = json.loads(line)
                    except ValueError as error:
                        if not line.endswith("\n"):
                            return
                        raise RunError(f"{path}, line {number}, is damaged: {error}") from error
                    yield record

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines of the journal with this event, in order.

        Raises:
            RunError: as `read_lines`.
        """
        return (line for line in self.read_lines("journal.jsonl") if line["event"] == name)

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

    def settings(self) -> dict[str, Any]:
        """What config.yaml says, as it stands: settings of an older pgkd are no fault here.

        Raises:
            RunError: it cannot be read.
        """
        path = self.path / "config.yaml"
        try:
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise RunError(f"{path} cannot be read: {error}") from error
        return settings if isinstance(settings, dict) else {}

    def taxonomy(self) -> Taxonomy:
        """The classes of the run's task."""
        return _taxonomy(self.read_json("task.json"))

    def task(self) -> Task:
        """The classes and rows that the run was begun with.

        Raises:
            RunError: task.json is missing or damaged.
        """
        data = self.read_json("task.json")
        train, validation = (
            tuple(Example.from_json(row) for row in data[part]) for part in ("train", "validation")
        )
        return Task(_taxonomy(data), train, validation, tuple(data["warnings"]))

    def kept(self) -> tuple[Example, ...]:
        """The texts of the teacher that were kept."""
        return tuple(Example.from_json(line) for line in self.read_lines("examples.jsonl"))

    def save_student(self, student: Student, number: int, *, best: bool) -> None:
        """Save a round's student as the last one, and copy it to where it belongs besides."""
        students = self.path / "students"
        write_anew(students / "last", student.save)
        names = [*(["first"] if number == 0 else []), *(["best"] if best else [])]
        for name in names:
            write_anew(students / name, lambda new: copy_folder(students / "last", new))

    def write_glossary(self, text: str) -> None:
        """Write what the teacher says of the task and its classes, as YAML."""
        write_whole(self.path / "glossary.yaml", text)

    def save_reviewed(self, student: Student) -> None:
        """Save the student that was trained again with people's decisions."""
        write_anew(self.path / "students" / "reviewed", student.save)

    def has_student(self, which: str) -> bool:
        """Whether the run has saved such a student."""
        return (self.path / "students" / which).is_dir()

    def compared(self) -> dict[str, str]:
        """The students to hold against each other: the name of each, by its role.

        ``before`` is that of round 0, ``after`` the best one, ``last`` that of the last round where
        it is another, ``reviewed`` that which was trained again with people's decisions.
        """
        roles = {"before": "first", "after": "best"}
        ended = (self.path / "result.json").is_file()
        result = self.read_json("result.json") if ended else {"rounds": []}
        if result["rounds"] and result["rounds"][-1]["round"] != result["best"]:
            roles["last"] = "last"
        if self.has_student("reviewed"):
            roles["reviewed"] = "reviewed"
        return roles

    def student(self, which: str = "best") -> Student:
        """Load a student: see `student_folder`."""
        return load_student(self.student_folder(which))

    def student_folder(self, which: str = "best") -> Path:
        """Where the ``first``, ``best``, ``last`` or ``reviewed`` student lies.

        Raises:
            RunError: there is no student of that name, or the run does not have it.
        """
        if which not in STUDENTS:
            raise RunError(f"There is no student '{which}'. There are: {', '.join(STUDENTS)}.")
        folder = self.path / "students" / which
        if not self.has_student(which):
            why = "run pgkd retrain" if which == "reviewed" else "the run ended before it"
            raise RunError(f"{self.path} holds no student '{which}': {why}.")
        return folder


def _taxonomy(data: dict[str, Any]) -> Taxonomy:
    return Taxonomy(tuple(LabelClass(**fields) for fields in data["classes"]))


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
