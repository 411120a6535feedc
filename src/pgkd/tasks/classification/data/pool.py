"""Texts without labels: read, drawn, and rid of what may not be trained on."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgkd.curation import Reason
from pgkd.data.cells import Problems, is_broken, is_missing
from pgkd.data.reading import raise_unusable, stream_texts
from pgkd.errors import DataError
from pgkd.text import letters, near_any, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pgkd.tasks.classification.data.dataset import TextDataset

POOL_LIMIT = 100_000
LONGEST_POOL_TEXT = 20_000  # characters: what is longer would fill the memory, and no prompt

BEYOND_LIMIT = "beyond the limit, drawn at random"
REPEATED = "the same as an earlier text of the pool"
TOO_LONG = f"longer than {LONGEST_POOL_TEXT:,} characters"


@dataclass(frozen=True, slots=True)
class PoolText:
    """A text of the user that has no label.

    Attributes:
        text: the text, never empty.
        id: ``pool:17`` is the 17th text of the file.
    """

    text: str
    id: str


@dataclass(frozen=True)
class Pool:
    """Texts that a teacher may be asked to label.

    Attributes:
        texts: those that can be asked for, in the order of the file.
        rejected: how many others there were, by why they were left out.
    """

    texts: tuple[PoolText, ...] = ()
    rejected: Mapping[str, int] = field(default_factory=dict)

    def digest(self) -> dict[str, Any] | None:
        """What tells it from another pool; None where it is empty."""
        if not self.texts:
            return None
        digest = hashlib.sha256()
        for text in self.texts:
            digest.update(f"{text.id} {text.text}\n".encode())
        return {"texts": len(self.texts), "sha256": digest.hexdigest()}

    def without(self, reasons: Mapping[str, str]) -> Pool:
        """The pool without the texts of these ids, each with the reason to leave it out."""
        dropped = dict(self.rejected)
        for reason in reasons.values():
            dropped[reason] = dropped.get(reason, 0) + 1
        return Pool(tuple(text for text in self.texts if text.id not in reasons), dropped)


def read_pool(
    path: Path, text_column: str = "text", *, limit: int = POOL_LIMIT, seed: int = 0
) -> Pool:
    """Read a pool, as much of it as fits: no more than `limit` texts are ever in memory.

    Args:
        path: any readable format, or ``.txt`` with a text a line; labels are not looked at.
        text_column: column of the text.
        limit: texts accepted at most; of more, so many are drawn at random.
        seed: of the drawing.

    Raises:
        DataError: lists every row that cannot be read or has no text.
    """
    problems = Problems()
    pool = make_pool(stream_texts(path, text_column, problems), limit=limit, seed=seed)
    raise_unusable(path, problems)
    return pool


def make_pool(texts: Iterable[str], *, limit: int = POOL_LIMIT, seed: int = 0) -> Pool:
    """Make a pool of texts in memory, or of a stream of them; each text is accepted once.

    Texts are the same where `text_key` says so. The drawing is reservoir sampling (Vitter, TOMS
    1985): one pass, whatever the number.

    Raises:
        DataError: a text is empty or none.
    """
    rng = random.Random(seed)  # noqa: S311  (draws rows, guards no secret)
    drawn: list[tuple[int, str]] = []
    long = 0
    number = 0
    for number, text in enumerate(texts, start=1):
        if not isinstance(text, str) or is_missing(text) or is_broken(text):
            raise DataError(f"Text {number} of the unlabelled texts is empty, broken or no text.")
        if len(text) > LONGEST_POOL_TEXT:
            long += 1
        elif len(drawn) < limit:
            drawn.append((number, text.strip()))
        elif (place := rng.randrange(number - long)) < limit:
            drawn[place] = (number, text.strip())
    accepted: dict[str, PoolText] = {}
    for place, text in sorted(drawn):
        accepted.setdefault(text_key(text), PoolText(text, f"pool:{place}"))
    dropped = {
        TOO_LONG: long,
        BEYOND_LIMIT: number - long - len(drawn),
        REPEATED: len(drawn) - len(accepted),
    }
    return Pool(tuple(accepted.values()), {why: n for why, n in dropped.items() if n})


def without_rows(pool: Pool, rows: TextDataset, *, near_duplicate: float) -> Pool:
    """The pool without the texts that equal or nearly equal a row of the user.

    A text near a validation row would flatter every later round, and the label of one near a
    training row is known already. The rule is the one for written texts.

    Args:
        pool: the texts.
        rows: the user's.
        near_duplicate: least similarity (1 - normalised edit distance of letters and digits).
    """
    texts = [letters(text.text) for text in pool.texts]
    reasons: dict[str, str] = {}
    for reason, given in (
        (Reason.CONTAMINATION, rows.validation),
        (Reason.REAL_DUPLICATE, rows.train),
    ):
        near = near_any(texts, [letters(row.text) for row in given], near_duplicate)
        for text, is_near in zip(pool.texts, near, strict=True):
            if is_near:
                reasons.setdefault(text.id, str(reason))
    return pool.without(reasons)
