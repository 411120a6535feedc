"""The run folder: everything a run knows, as files that people and programs can read.

::

    RUN/
      config.yaml        every setting, resolved
      environment.json   versions of Python, pgkd and what the student and teacher rest on
      task.json          classes, rows of training and validation, warnings about the data
      journal.jsonl      what happened, in order
      ledger.sqlite      every call to the teacher, written down before its reply is used
      examples.jsonl     texts of the teacher that were kept, with round, request and parents
      rejected.jsonl      what was dropped, with its reason
      label_issues.jsonl     real rows whose label is doubtful, and who doubts it
      tracking.json      what the run is called by each tracker, and how many rounds that was told
      control.json       whether somebody wants the run to pause or to stop
      reviews.jsonl      what people decided on texts, and which rounds trained with it
      result.json        how the run ended, and the metrics of every round
      evaluation.json    what `pgkd evaluate` found last, without the rows
      glossary.yaml      what the teacher says each class covers; edit a copy to change it
      students/first     the student before the teacher (round 0)
      students/best      the student to use: a copy on disk, never a reference
      students/last      the student of the last round
      students/reviewed  the student that `pgkd retrain` made of people's decisions
      reviewed.json      how it compares with the best one

A line that has been appended is on the disk: it is flushed and synced before the call returns. All
but the settings, the rows, the ledger and the decisions follows from these four. A run that is
resumed writes it anew, beside the old, which stays until the new is as far (see `run_files`); an
evaluation of its old students goes, what trackers know stays. A file is read only as `readers` and
`shapes` allow.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError, RunError
from pgkd.files import check_kind, copy_folder, reason, write_anew
from pgkd.runs.files import CONFIG, LEDGER, LOCK, RunFiles, as_json
from pgkd.runs.files import STUDENTS as _STUDENTS
from pgkd.usage.ledger import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pgkd.task import Example, Model, Rejected

TIME_FIELDS = ("time", "seconds")
"""Fields that differ between two runs that are otherwise the same."""

STUDENTS = ("first", "best", "last", "reviewed")

__all__ = ["RunFolder", "as_json", "without_times"]


class RunFolder(RunFiles):
    """A run on disk. Make one with `create`, or look at an old one with `open`."""

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """Make a run folder, or take one that a run has begun in.

        Raises:
            RunError: something else is there already; a run never mixes with other files.
        """
        try:
            if path.exists() and not os.path.lexists(path / CONFIG) and not _fresh(path):
                raise RunError(
                    f"{path} is not empty and no run folder: choose another folder with --out, "
                    "or remove this one."
                )
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"{path} cannot be made: {reason(error)}.") from error
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Look at a run that has begun.

        Raises:
            RunError: this is no run folder.
        """
        if not os.path.lexists(path / CONFIG):
            raise RunError(f"{path} is not a run folder: it has no config.yaml.")
        return cls(path)

    def events(self, name: str) -> Iterator[dict[str, Any]]:
        """The lines of the journal with this event, in order.

        Raises:
            RunError: as `read_lines`.
        """
        return (line for line in self.read_lines("journal.jsonl") if line["event"] == name)

    def log(self, event: str, **fields: Any) -> None:
        """Add a line to the journal."""
        self.append("journal.jsonl", [{"event": event, **fields, "time": now()}])

    def record_accepted(self, examples: Sequence[Example]) -> None:
        """Record the teacher's examples that enter the training set."""
        self.append("examples.jsonl", (example.to_json() for example in examples))

    def record_rejected(self, prompt: str, rejected: Sequence[Rejected]) -> None:
        """Record what was rejected of a reply, with its reason."""
        self.append("rejected.jsonl", [{"request": prompt, **each.to_json()} for each in rejected])

    def record_issues(self, issues: Iterable[dict[str, Any]]) -> None:
        """Record the user's examples whose output looks wrong."""
        self.append("label_issues.jsonl", issues)

    def record_doubts(self, prompt: str, examples: Sequence[Example]) -> None:
        """Record shown examples whose output the teacher doubts."""
        shown = [{k: v for k, v in e.to_json().items() if k != "origin"} for e in examples]
        self.record_issues({**record, "by": "teacher", "request": prompt} for record in shown)

    def config(self) -> Any:
        """The settings of the run, a `Config` of its task.

        Raises:
            RunError: config.yaml cannot be read.
            ConfigError: a setting is not of this pgkd.
        """
        try:
            return self.task.config.parse(self.settings())
        except ConfigError as error:
            raise ConfigError(f"{self.path / CONFIG}: {error}") from None

    def dataset(self) -> Any:
        """The user's examples, as the run was begun with them; a `Dataset` of its task.

        Raises:
            RunError: task.json is missing or damaged.
        """
        return self.task.dataset(self.read_json("task.json"))

    def synthetic(self) -> tuple[Any, ...]:
        """The teacher's examples that were accepted, in order."""
        return tuple(self.task.example(line) for line in self.read_lines("examples.jsonl"))

    def save_student(self, student: Model, number: int, *, best: bool) -> None:
        """Save a round's student as the last one, and copy it to where it belongs besides."""
        self._save("last", student.save)
        last = self.at(_STUDENTS) / "last"
        names = [*(["first"] if number == 0 else []), *(["best"] if best else [])]
        for name in names:
            self._save(name, lambda new: copy_folder(last, new))

    def save_reviewed(self, student: Model) -> None:
        """Save the student that was trained again with people's decisions."""
        self._save("reviewed", student.save)

    def _save(self, which: str, write: Callable[[Path], Any]) -> None:
        folder = self.at(_STUDENTS) / which
        try:
            write_anew(folder, write)
        except OSError as error:
            raise RunError(
                f"{folder} cannot be written: {reason(error)}. What the run had is there: with "
                "room on the disk, the same command resumes it."
            ) from error

    def has_student(self, which: str) -> bool:
        """Whether the run has saved such a student."""
        return os.path.lexists(self.path / _STUDENTS / which)

    def compared(self) -> dict[str, str]:
        """The students to hold against each other: the name of each, by its role.

        ``before`` is that of round 0, ``after`` the best one, ``last`` that of the last round where
        it is another, ``reviewed`` that which was trained again with people's decisions.
        """
        roles = {"before": "first", "after": "best"}
        ended = os.path.lexists(self.path / "result.json")
        result = self.read_json("result.json") if ended else {"rounds": []}
        if result["rounds"] and result["rounds"][-1]["round"] != result["best"]:
            roles["last"] = "last"
        if self.has_student("reviewed"):
            roles["reviewed"] = "reviewed"
        return roles

    def student(self, which: str = "best") -> Any:
        """Load a student: see `student_folder`.

        Raises:
            StudentError: it is damaged.
        """
        return self.task.load_student(self.student_folder(which))

    def student_folder(self, which: str = "best") -> Path:
        """Where the ``first``, ``best``, ``last`` or ``reviewed`` student lies.

        Raises:
            RunError: there is no student of that name, or the run does not have it.
        """
        if which not in STUDENTS:
            raise RunError(f"There is no student '{which}'. There are: {', '.join(STUDENTS)}.")
        folder = self.path / _STUDENTS / which
        if not self.has_student(which):
            why = "run pgkd retrain" if which == "reviewed" else "the run ended before it"
            raise RunError(f"{self.path} holds no student '{which}': {why}.")
        for path in (folder, *folder.rglob("*")):  # whoever reads a pipe waits for ever
            check_kind(path, RunError, within=self.path, folders=True)
        return folder


def _fresh(path: Path) -> bool:
    """Whether a run has left nothing there, but for what it opens before all else."""
    return path.is_dir() and all(p.name.startswith((LOCK, LEDGER)) for p in path.iterdir())


def without_times(record: Any) -> Any:
    """A record without the fields that tell time, at any depth; two equal runs agree on it."""
    if isinstance(record, dict):
        return {k: without_times(v) for k, v in record.items() if k not in TIME_FIELDS}
    if isinstance(record, list):
        return [without_times(item) for item in record]
    return record
