"""Writes the data of a run into a folder, in the format of somebody else's tool."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgkd.errors import ConfigError, ExportError
from pgkd.files import write_whole
from pgkd.integrations.datasets.argilla import argilla_files
from pgkd.integrations.datasets.huggingface import huggingface_files
from pgkd.integrations.datasets.rows import final_data

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pgkd.integrations.datasets.rows import FinalData
    from pgkd.runs.folder import RunFolder

MARK = "pgkd-dataset.json"
"""Tells a folder of ours from any other: only such a one is written over."""

_FILES: dict[str, Callable[[RunFolder, FinalData], dict[str, str]]] = {
    "hf": huggingface_files,
    "argilla": argilla_files,
}
FORMATS = tuple(_FILES)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        folder: where.
        format: one of `FORMATS`.
        data: the rows.
    """

    folder: Path
    format: str
    data: FinalData

    def to_json(self) -> dict[str, Any]:
        """Plain data: counts, and no row."""
        by_source = {
            source: sum(row.source == source for row in self.data.train)
            for source in ("row", "written", "labelled")
        }
        return {
            "folder": str(self.folder),
            "format": self.format,
            "train": len(self.data.train),
            "by_source": by_source,
            "validation": len(self.data.validation),
            "left_out": self.data.left_out,
            "decisions": dict(self.data.decisions),
        }


def write_dataset(
    run: RunFolder, out: Path, format: str = "hf", *, all_rounds: bool = False
) -> Written:
    """Write the final data of a run into a folder.

    Files of an earlier call are written anew one by one; what else lies there stays.

    Args:
        run: a run that has ended.
        out: the folder; it is made where it is missing.
        format: ``"hf"`` for `datasets` and the Hugging Face hub, ``"argilla"`` for Argilla 2.
        all_rounds: take the texts of rounds after the best one, too.

    Raises:
        ConfigError: there is no such format.
        ExportError: the folder holds something else.
        RunError: the run has not ended, or is damaged.
    """
    if format not in _FILES:
        raise ConfigError(f"There is no format '{format}'. There are: {', '.join(FORMATS)}.")
    _check_free(out, format)
    data = final_data(run, all_rounds=all_rounds)
    files = _FILES[format](run, data)
    out.mkdir(parents=True, exist_ok=True)
    mark = json.dumps({"format": format, "run": run.path.resolve().name}) + "\n"
    for name, content in {MARK: mark, **files}.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lone surrogate, which JSON allows and no file can store, becomes a question mark.
        write_whole(path, content.encode(errors="replace"))
    return Written(out, format, data)


def _check_free(out: Path, format: str) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        if json.loads((out / MARK).read_text(encoding="utf-8"))["format"] == format:
            return
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise ExportError(
        f"{out} is there and no data set of this format: choose another folder with --out, or "
        "remove it."
    )
