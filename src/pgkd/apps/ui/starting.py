"""Starting runs: settings from a dropped file and a form, and the commands that use them.

The form becomes a ``pgkd.yaml`` and a ``classes.yaml`` beside the rows, and the web UI starts
`pgkd distill` on them, so one can continue on the command line with the same files.

::

    RUNS/.ui/3f2a.../
      rows.csv        the dropped file, renamed
      draft.json      its original name, and the chosen columns
      classes.yaml    the classes, with their descriptions
      pgkd.yaml       every other setting
      estimate.log    output of `pgkd distill --dry-run`
      distill.log     output of `pgkd distill`
"""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

import yaml

from pgkd.apps.report.content import Snippet
from pgkd.config import Config
from pgkd.data.cells import Problems
from pgkd.data.formats import READERS
from pgkd.data.reading import open_table, raise_unusable
from pgkd.errors import DataError, RunError
from pgkd.files import write_whole
from pgkd.tasks.classification.data.dataset import TextDataset, load_dataset

_N_ROWS = 5  # of a preview
_CELL_CHARS = 200
_LOG_BYTES = 4000  # of the end of a log
_GUESSES = {
    "text": ("text", "message", "question", "query", "sentence", "body", "content", "title"),
    "label": ("label", "class", "category", "intent", "topic", "tag", "target"),
}
_SETTINGS = (
    "teacher.provider", "teacher.model", "teacher.base_url", "guidance.instructions",
    "student.kind", "rounds", "samples", "budget.usd", "budget.tokens", "budget.calls",
)  # fmt: skip
"""Settings in the form; all others, and those left empty, have their defaults."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Names of the columns, the first rows, and the columns that probably hold text and class."""

    names: tuple[str, ...]
    rows: tuple[tuple[Snippet, ...], ...]
    text: str
    label: str


class Draft:
    """A run that is being set up, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(cls, drafts: Path, name: str, content: bytes) -> Draft:
        """Save a dropped file.

        Args:
            drafts: folder of all drafts.
            name: of the file, on its user's machine.
            content: of the file.

        Raises:
            DataError: it is empty, or has no format that pgkd reads.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in READERS:
            raise DataError(f'Unknown file type "{suffix}". Choose from: {", ".join(READERS)}.')
        if not content:
            raise DataError("The file is empty.")
        draft = cls(drafts / secrets.token_hex(8))
        draft.folder.mkdir(parents=True)
        (draft.folder / f"rows{suffix}").write_bytes(content)
        draft._save({"name": Path(name).name, "rows": f"rows{suffix}"})
        return draft

    @classmethod
    def open(cls, drafts: Path, id_: str) -> Draft:
        """A draft by its id.

        Raises:
            RunError: there is no such draft.
        """
        if not re.fullmatch(r"[0-9a-f]{16}", id_) or not (drafts / id_ / "draft.json").is_file():
            raise RunError("The dropped file is not here any more. Drop it again.")
        return cls(drafts / id_)

    @property
    def rows(self) -> Path:
        """The dropped file."""
        return self.folder / str(self._about["rows"])

    @property
    def config(self) -> Path:
        """The settings file."""
        return self.folder / "pgkd.yaml"

    @property
    def name(self) -> str:
        """Of the file, without its suffix."""
        return Path(str(self._about["name"])).stem

    @property
    def _about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "draft.json").read_text("utf-8"))
        return found

    def _save(self, about: dict[str, Any]) -> None:
        write_whole(self.folder / "draft.json", json.dumps(about, ensure_ascii=True))

    def columns(self) -> Columns:
        """The columns of the file and its first rows.

        Raises:
            DataError: it cannot be read, or has fewer than two columns.
        """
        problems = Problems()
        with open_table(self.rows, (), problems) as table:
            names = table.columns
            first = [record for _, record in islice(table.records, _N_ROWS)]
        raise_unusable(Path(str(self._about["name"])), problems)
        if len(set(names)) < 2:
            raise DataError(
                "The file needs a column of texts and one of classes, separated by commas (.csv) "
                f"or tabs (.tsv). Found: {', '.join(names) or 'nothing'}."
            )
        rows = tuple(tuple(Snippet.of(row.get(n), _CELL_CHARS) for n in names) for row in first)
        lengths = {name: sum(len(str(row.get(name) or "")) for row in first) for name in names}
        text = _guess_column(names, "text") or max(names, key=lambda name: lengths[name])
        others = [name for name in names if name != text]
        return Columns(names, rows, text, _guess_column(others, "label") or others[-1])

    def choose(self, text: str, label: str) -> TextDataset:
        """Read the rows with these columns.

        Raises:
            DataError: lists all problems of the rows.
        """
        if text == label:
            raise DataError("Choose two different columns for text and class.")
        task = load_dataset(
            train=self.rows, text_column=text, label_column=label, on_conflict="drop"
        )
        classes = list(task.taxonomy.names)
        self._save({**self._about, "text": text, "label": label, "classes": classes})
        return task

    def write(self, form: Mapping[str, str], out: Path) -> Config:
        """Write the settings of the form.

        Args:
            form: settings by dotted names, and ``about-3`` for the description of class 3.
            out: the run folder to make.

        Raises:
            ConfigError: lists every setting that is wrong.
            RunError: no columns were chosen yet.
        """
        about = self._about
        if "text" not in about:
            raise RunError("Choose the columns first.")
        classes = [
            {"name": name, "description": form.get(f"about-{i}", "").strip()}
            for i, name in enumerate(about["classes"])
        ]
        settings: dict[str, Any] = {
            "data": {
                "train": self.rows, "classes": self.folder / "classes.yaml",
                "text_column": about["text"], "label_column": about["label"],
                "on_conflict": "drop",
            },
            "out": out,
        }  # fmt: skip
        for name in _SETTINGS:
            if value := form.get(name, "").strip():
                section, _, key = name.rpartition(".")
                (settings.setdefault(section, {}) if section else settings)[key] = value
        config = Config.parse(settings)
        listing = yaml.safe_dump(classes, sort_keys=False, allow_unicode=True)
        write_whole(self.folder / "classes.yaml", listing)
        write_whole(self.config, config.to_yaml())
        return config


def count_classes(task: TextDataset) -> list[tuple[str, int]]:
    """Every class of a task with its number of rows."""
    counts = Counter(row.label for row in (*task.train, *task.validation))
    return [(name, counts[name]) for name in task.taxonomy.names]


def free_name(root: Path, wanted: str) -> str:
    """A name for a new run folder, in characters that every system accepts."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-")[:60] or "run"
    return next(name for i in count(1) if not (root / (name := f"{plain}-{i}")).exists())


def _guess_column(names: Sequence[str], role: str) -> str | None:
    """The column with a usual name for a text or a label, if there is one."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[guess] for guess in _GUESSES[role] if guess in lowered), None)


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The exit status of a command, None while it runs, and the end of its output."""

    code: int | None
    output: str

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.code is None


class Jobs:
    """pgkd commands that the web UI has started, by name; when it closes, they continue."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._started: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}

    def start(self, name: str, arguments: Sequence[str], log: Path) -> None:
        """Start a command that prints into a file.

        Raises:
            RunError: one of that name still runs, or it cannot be started.
        """
        code = "from pgkd.apps.cli import main; main()"
        with self._mutex:
            if name in self._started and self._started[name][0].poll() is None:
                raise RunError("This is already running. Wait until it ends.")
            try:
                log.unlink(missing_ok=True)  # somebody may have put a link there
                with log.open("xb") as out:
                    process = subprocess.Popen(  # noqa: S603  (our own command, no shell)
                        [sys.executable, "-c", code, *arguments],
                        stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                        start_new_session=True,  # Ctrl-C ends the web UI, not what it started
                    )  # fmt: skip
            except OSError as error:
                raise RunError(f"The command cannot be started: {error}") from error
            self._started[name] = process, log

    def status(self, name: str) -> JobStatus | None:
        """The status of a command; None if there is none of that name."""
        with self._mutex:
            found = self._started.get(name)
        if found is None:
            return None
        process, log = found
        code = process.poll()
        try:
            with log.open("rb") as file:
                file.seek(max(0, log.stat().st_size - _LOG_BYTES))
                return JobStatus(code, file.read().decode("utf-8", "replace").strip())
        except OSError:
            return JobStatus(code, "")
