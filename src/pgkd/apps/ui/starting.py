"""A run from a dropped file, for people who do not write settings by hand.

What is filled in becomes a ``pgkd.yaml`` and a ``classes.yaml`` beside the rows, and what starts is
`pgkd distill` on them: whoever likes the command line better goes on from these files.

::

    RUNS/.ui/3f2a.../
      rows.csv        the file that was dropped, under a name of ours
      draft.json      its own name, and which columns were chosen
      classes.yaml    the classes, with their descriptions
      pgkd.yaml       every other setting
      estimate.log    what `pgkd distill --dry-run` printed
      distill.log     what `pgkd distill` printed
"""

from __future__ import annotations

import json
import re
import secrets
from collections import Counter
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pgkd.apps.report.content import Snippet
from pgkd.config import Config
from pgkd.data.cells import Problems
from pgkd.data.formats import READERS
from pgkd.data.reading import open_table, raise_unusable
from pgkd.errors import DataError, RunError
from pgkd.files import write_whole
from pgkd.tasks.classification.data.dataset import load_dataset

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pgkd.tasks.classification.data.dataset import TextDataset

_SHOWN = 5  # rows
_CELL = 200  # characters of one
_GUESSES = {
    "text": ("text", "message", "question", "query", "sentence", "body", "content", "title"),
    "label": ("label", "class", "category", "intent", "topic", "tag", "target"),
}
_SETTINGS = (
    "teacher.provider", "teacher.model", "teacher.base_url", "guidance.instructions",
    "student.kind", "rounds", "samples", "budget.usd", "budget.tokens", "budget.calls",
)  # fmt: skip
"""Settings that are asked for; all others have their defaults. What is left empty has, too."""


@dataclass(frozen=True, slots=True)
class Columns:
    """The beginning of a file.

    Attributes:
        names: of its columns.
        rows: its first rows, cell by cell.
        text: the column that probably holds the text.
        label: the column that probably holds the class.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[Snippet, ...], ...]
    text: str
    label: str


class Draft:
    """A run that is being filled in.

    Args:
        folder: where its files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def take(cls, drafts: Path, name: str, content: bytes) -> Draft:
        """Keep a file that was dropped.

        Args:
            drafts: folder of all drafts.
            name: of the file, as its user calls it.
            content: what is in it.

        Raises:
            DataError: it is empty, or has no format that pgkd reads.
        """
        suffix = Path(name).suffix.lower()
        if suffix not in READERS:
            raise DataError(f"A file of rows ends in one of: {', '.join(READERS)}.")
        if not content:
            raise DataError("The file is empty.")
        draft = cls(drafts / secrets.token_hex(8))
        draft.folder.mkdir(parents=True)
        (draft.folder / f"rows{suffix}").write_bytes(content)
        draft._keep({"name": Path(name).name, "rows": f"rows{suffix}"})
        return draft

    @classmethod
    def open(cls, drafts: Path, id_: str) -> Draft:
        """A draft by its id.

        Raises:
            RunError: there is none.
        """
        if not re.fullmatch(r"[0-9a-f]{16}", id_) or not (drafts / id_ / "draft.json").is_file():
            raise RunError("The file that was dropped is not here any more. Drop it again.")
        return cls(drafts / id_)

    @property
    def rows(self) -> Path:
        """The file that was dropped."""
        return self.folder / str(self._about["rows"])

    @property
    def config(self) -> Path:
        """The settings that were filled in."""
        return self.folder / "pgkd.yaml"

    @property
    def name(self) -> str:
        """Of the file, without what tells its format."""
        return Path(str(self._about["name"])).stem

    @property
    def _about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "draft.json").read_text("utf-8"))
        return found

    def _keep(self, about: dict[str, Any]) -> None:
        write_whole(self.folder / "draft.json", json.dumps(about, ensure_ascii=True))

    def columns(self) -> Columns:
        """The columns of the file and its first rows.

        Raises:
            DataError: it cannot be read, or has fewer than two columns.
        """
        problems = Problems()
        with open_table(self.rows, (), problems) as table:
            names = table.columns
            first = [record for _, record in islice(table.records, _SHOWN)]
        raise_unusable(Path(str(self._about["name"])), problems)
        if len(set(names)) < 2:
            raise DataError(
                "The file needs a column of texts and one of classes, separated by commas (.csv) "
                f"or tabs (.tsv). Found: {', '.join(names) or 'nothing'}."
            )
        rows = tuple(tuple(Snippet.of(row.get(n), _CELL) for n in names) for row in first)
        text = _guess(names, "text", _longest(names, first))
        rest = [name for name in names if name != text]
        return Columns(names, rows, text, _guess(rest, "label", rest[-1]))

    def choose(self, text: str, label: str) -> TextDataset:
        """Read the rows with these columns.

        Raises:
            DataError: lists everything that is wrong with them.
        """
        if text == label:
            raise DataError("Text and class have to be two columns.")
        task = load_dataset(
            train=self.rows, text_column=text, label_column=label, on_conflict="drop"
        )  # fmt: skip
        classes = list(task.taxonomy.names)
        self._keep({**self._about, "text": text, "label": label, "classes": classes})
        return task

    def write(self, form: Mapping[str, str], out: Path) -> Config:
        """Write down what was filled in.

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
        listed = [
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
            value = form.get(name, "").strip()
            if value:
                section, _, key = name.rpartition(".")
                (settings.setdefault(section, {}) if section else settings)[key] = value
        config = Config.parse(settings)
        listing = yaml.safe_dump(listed, sort_keys=False, allow_unicode=True)
        write_whole(self.folder / "classes.yaml", listing)
        write_whole(self.config, config.to_yaml())
        return config

    def settled(self) -> Config:
        """What was written down.

        Raises:
            ConfigError: nothing was.
        """
        return Config.from_yaml(self.config)


def class_counts(task: TextDataset) -> list[tuple[str, int]]:
    """Every class of a task with its number of rows."""
    counts = Counter(row.label for row in (*task.train, *task.validation))
    return [(name, counts[name]) for name in task.taxonomy.names]


def free_name(root: Path, wanted: str) -> str:
    """A name for a run folder that is not there yet, made of letters that every system takes."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-")[:60] or "run"
    number = 1
    while (root / f"{plain}-{number}").exists():
        number += 1
    return f"{plain}-{number}"


def _guess(names: Sequence[str], what: str, otherwise: str) -> str:
    """The first column whose name says that it is what is looked for."""
    lowered = {name.strip().lower(): name for name in reversed(names)}
    return next((lowered[guess] for guess in _GUESSES[what] if guess in lowered), otherwise)


def _longest(names: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    """The column with the longest cells."""
    return max(names, key=lambda name: sum(len(str(row.get(name) or "")) for row in rows))
