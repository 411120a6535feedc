"""Which rows of a file are the run's own: those judge nothing, for it was trained on them."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING

from pgkd.text import letters

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pgkd.runs.folder import RunFolder

TRAINING, VALIDATION, TEXTS = "training rows", "validation rows", "texts that it was trained on"


def own_rows(run: RunFolder, texts: Sequence[str]) -> list[str | None]:
    """What each text is in the run: a training row, a validation row, another text; else None.

    Case, spaces, punctuation and ways to encode a letter make no other text.

    Raises:
        RunError: the rows of the run cannot be read.
    """
    data = run.dataset()
    parts = {TEXTS: run.synthetic(), VALIDATION: data.validation, TRAINING: data.train}
    known = {_key(row.text): part for part, rows in parts.items() for row in rows}
    return [known.get(_key(text)) for text in texts]


def counted(found: Sequence[str | None]) -> dict[str, int]:
    """How many texts are what in the run; those that are none of it are left out."""
    return dict(Counter(part for part in found if part is not None))


def run_around(path: Path) -> Path | None:
    """The run that a path is, or that a student or an export lies in; None where there is none."""
    for folder in (path, path.resolve().parent.parent):
        if (folder / "config.yaml").exists():
            return folder
    return None


def _key(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text)
    return letters(plain) or " ".join(plain.split())  # of signs alone, nothing would be left
