"""The data that a run ends with, as a folder for Hugging Face `datasets` or for Argilla.

``rows.py`` gathers the rows, and each format has a file of its own.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pgkd.errors import ConfigError, ExportError
from pgkd.files import write_whole
from pgkd.integrations.datasets.argilla import argilla_files
from pgkd.integrations.datasets.huggingface import huggingface_files
from pgkd.integrations.datasets.rows import FinalData, FinalRow, final_data
from pgkd.runs.folder import RunFolder

__all__ = ["FORMATS", "FinalData", "FinalRow", "Written", "final_data", "write_dataset"]

_MARK = "pgkd-dataset.json"
"""A folder that contains this file is pgkd's own: only such a folder is overwritten."""

_WRITERS = {"hf": huggingface_files, "argilla": argilla_files}
FORMATS = tuple(_WRITERS)


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        folder: the folder.
        format: one of `FORMATS`.
        data: the rows.
    """

    folder: Path
    format: str
    data: FinalData

    def to_json(self) -> dict[str, Any]:
        """Plain data: counts, and no row."""
        counts = Counter(row.source for row in self.data.train)
        return {
            "folder": str(self.folder),
            "format": self.format,
            "train": len(self.data.train),
            "by_source": {source: counts[source] for source in ("row", "synthetic", "labelled")},
            "validation": len(self.data.validation),
            "left_out": self.data.left_out,
            "decisions": dict(self.data.decisions),
        }


def write_dataset(
    run: RunFolder, out: Path, format: str = "hf", *, all_rounds: bool = False
) -> Written:
    """Write the final data of a run to a folder.

    Files of an earlier call are replaced one by one; other files in the folder stay.

    Args:
        run: a run that has ended.
        out: the folder; it is created where it is missing.
        format: ``"hf"`` for `datasets` and the Hugging Face hub, ``"argilla"`` for Argilla 2.
        all_rounds: include texts of rounds after the best one.

    Raises:
        ConfigError: the format is unknown.
        ExportError: the folder contains something else.
        RunError: the run has not ended, or is damaged.
    """
    if format not in _WRITERS:
        raise ConfigError(f'Unknown format "{format}". Choose from: {", ".join(FORMATS)}.')
    if out.exists() and not _is_ours(out, format) and not (out.is_dir() and not any(out.iterdir())):
        raise ExportError(
            f"{out} exists and is no data set of this format: choose another folder with --out, or "
            "remove it."
        )
    data = final_data(run, all_rounds=all_rounds)
    files = _WRITERS[format](run, data)
    out.mkdir(parents=True, exist_ok=True)
    mark = json.dumps({"format": format, "run": run.path.resolve().name}) + "\n"
    for name, content in {_MARK: mark, **files}.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lone surrogate, which JSON allows and no file can store, becomes a question mark.
        write_whole(path, content.encode(errors="replace"))
    return Written(out, format, data)


def _is_ours(out: Path, format: str) -> bool:
    try:
        found = json.loads((out / _MARK).read_text(encoding="utf-8"))
        return bool(found["format"] == format)
    except (OSError, ValueError, KeyError, TypeError):
        return False
