"""`Task`: rows and classes that agree with each other, drawn and split in two."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from pgkd.errors import DataError
from pgkd.tasks.classification.data.checking import (
    CONFLICTS,
    check_labels,
    class_warnings,
    consistent,
    disjoint,
)
from pgkd.tasks.classification.data.pool import Pool
from pgkd.tasks.classification.data.splitting import limit_rows, stratified_split
from pgkd.tasks.classification.data.taxonomy import Taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.data.problems import Problems
    from pgkd.tasks.classification.data.example import Example


Fraction = float | Literal["auto"]

_MANY = 1000  # rows from which on a share of them can be spared for validation


@dataclass(frozen=True)
class Task:
    """What is classified.

    Attributes:
        taxonomy: the classes.
        train: rows to train on, in the order of the file.
        validation: rows that judge the rounds; never trained on, never shown to the teacher. Empty
            where rows are few: then cross-validation over `train` judges.
        warnings: what the user should know and nothing had to be refused for.
        pool: texts without labels, which the teacher may be asked to label.
    """

    taxonomy: Taxonomy
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    warnings: tuple[str, ...] = ()
    pool: Pool = field(default_factory=Pool)


@dataclass(frozen=True)
class Parts:
    """Rows and classes as given; None where nothing was given.

    Rows have ids that begin with their part, ``train:17``.
    """

    train: list[Example]
    validation: list[Example] | None
    taxonomy: Taxonomy | None

    def rows(self) -> list[Example]:
        """All rows, training rows first."""
        return [*self.train, *(self.validation or ())]


def assemble(
    parts: Parts,
    problems: Problems,
    what: str,
    *,
    drop: bool,
    fraction: Fraction,
    limit: int | None,
    seed: int,
) -> Task:
    """Check the rows, then draw and split them.

    Args:
        parts: rows and classes as given.
        problems: what was wrong with them so far.
        what: the rows, as the subject of the error's message.
        drop: leave contradicting rows out, instead of refusing all.
        fraction: share of the rows that validates, where no validation rows are given; ``"auto"``
            is none below 1,000 rows, where cross-validation judges and every row trains, else .2.
        limit: use so many training rows; None uses all.
        seed: of the drawing and the split.

    Raises:
        DataError: lists every problem, old and new.
    """
    rows, held, warnings = _check(parts, problems, what, drop)
    names = sorted({row.label for row in parts.rows()})
    taxonomy = parts.taxonomy or Taxonomy.from_names(names)
    train = limit_rows(rows, limit, seed)
    if len({row.label for row in train}) < 2:
        raise DataError(f"The limit of {limit} rows leaves rows of one class only. Raise it.")
    if held is None and fraction == "auto":
        fraction = 0.0 if len(train) < _MANY else 0.2
    if held is None:
        train, held = _split(train, float(fraction), seed) if fraction else (train, [])
    warnings += class_warnings(taxonomy.names, train)
    return Task(taxonomy, tuple(train), tuple(held), tuple(warnings))


def _check(
    parts: Parts, problems: Problems, what: str, drop: bool
) -> tuple[list[Example], list[Example] | None, list[str]]:
    """Training and validation rows that agree, and warnings; or all problems at once."""
    warnings: list[str] = []
    if parts.taxonomy is not None:
        check_labels(parts.rows(), parts.taxonomy.names, problems)
    train = consistent(parts.train, problems, warnings, part="train", drop=drop)
    held = parts.validation
    if held is not None:
        held = consistent(held, problems, warnings, part="validation", drop=drop)
        train = disjoint(train, held, problems, warnings, drop=drop)
    _check_enough(train, held, problems)
    hint = " (on_conflict 'drop' leaves contradicting rows out)" if problems.has(*CONFLICTS) else ""
    problems.raise_if_any(f"{what} cannot be used as they are{hint}:")
    return train, held, warnings


def _check_enough(train: list[Example], held: list[Example] | None, problems: Problems) -> None:
    """Two classes to train on and a row to validate on, as far as the rows left can tell."""
    names = {row.label for row in train}
    if len(names) == 1 and not problems.has(*CONFLICTS):
        problems.add("classes", f"the training rows have one class only: {names.pop()}")
    elif not names and not problems:
        problems.add("classes", "no training row is left")
    if held == [] and not problems:
        problems.add("empty files", "no validation row is left")


def _split(
    rows: Sequence[Example], fraction: float, seed: int
) -> tuple[tuple[Example, ...], list[Example]]:
    first, second = stratified_split([row.label for row in rows], fraction, seed)
    if not len(second):
        raise DataError(
            f"{len(rows)} rows leave none for validation: every class keeps a row for training. "
            "Give more rows, or validation rows of their own."
        )
    return tuple(rows[i] for i in first), [rows[i] for i in second]
