"""From files or arrays to a `Task`: rows that are checked, and split in two.

Everything that is wrong is found here, before any teacher is paid, and told at once. Texts are
compared without surrounding space and without regard to case; they are used as they were given,
without the surrounding space.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal

from pgkd.errors import DataError
from pgkd.task.classes import read_taxonomy
from pgkd.task.example import Example
from pgkd.task.problems import Problems
from pgkd.task.reading import check_columns, read_records
from pgkd.task.splitting import limit_rows, stratified_split
from pgkd.task.taxonomy import Taxonomy

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

OnConflict = Literal["error", "drop"]


@dataclass(frozen=True)
class Task:
    """What is classified.

    Attributes:
        taxonomy: the classes.
        train: rows to train on.
        validation: rows that judge the rounds; never trained on, never shown to the teacher.
        warnings: what the user should know and nothing had to be refused for.
    """

    taxonomy: Taxonomy
    train: tuple[Example, ...]
    validation: tuple[Example, ...]
    warnings: tuple[str, ...] = ()


def load_task(
    *,
    train: Path,
    validation: Path | None = None,
    classes: Path | None = None,
    text_column: str = "text",
    label_column: str = "label",
    validation_fraction: float = 0.2,
    limit: int | None = None,
    seed: int = 0,
    on_conflict: OnConflict = "error",
) -> Task:
    """Read a task from files.

    Args:
        train: labelled rows, in any readable format.
        validation: validation rows, used as they are; None splits them off `train`.
        classes: YAML list of the classes; None takes those of the rows, in alphabetical order.
        text_column: column of the text.
        label_column: column of the class.
        validation_fraction: share of the rows split off.
        limit: use so many training rows, drawn before the split; the classes are those of all rows.
        seed: of the drawing and the split.
        on_conflict: for a text with two labels, or in both files: refuse, or drop it from training.

    Raises:
        DataError: lists every problem of every file, with row numbers.
    """
    problems = Problems()
    columns = (text_column, label_column)
    rows = _read(train, "train", columns, problems)
    held = _read(validation, "validation", columns, problems) if validation else None
    given = read_taxonomy(classes) if classes else None
    return _assemble(
        rows, held, given, problems,
        fraction=validation_fraction, limit=limit, seed=seed, on_conflict=on_conflict,
    )  # fmt: skip


def task_from_arrays(
    texts: Sequence[str],
    labels: Sequence[str],
    *,
    validation: tuple[Sequence[str], Sequence[str]] | None = None,
    classes: Sequence[str] | Taxonomy | None = None,
    validation_fraction: float = 0.2,
    seed: int = 0,
    on_conflict: OnConflict = "error",
) -> Task:
    """Make a task of texts and labels in memory; the checks and arguments are `load_task`'s.

    Raises:
        DataError: lists every problem, with row numbers from 1.
    """
    problems = Problems()
    rows = _pair(texts, labels, "train", problems)
    held = _pair(*validation, "validation", problems) if validation else None
    if classes is not None and not isinstance(classes, Taxonomy):
        classes = Taxonomy.from_names(classes)
    return _assemble(
        rows, held, classes, problems,
        fraction=validation_fraction, limit=None, seed=seed, on_conflict=on_conflict,
    )  # fmt: skip


def read_rows(
    path: Path, text_column: str, label_column: str, *, classes: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Texts and labels of a file to evaluate on, in order; repeated texts are left as they are.

    Raises:
        DataError: lists every problem, among them labels that are not in `classes`.
    """
    problems = Problems()
    rows = _read(path, "row", (text_column, label_column), problems)
    _check_labels(rows, Taxonomy.from_names(classes), problems)
    problems.raise_if_any(f"{path} cannot be used as it is:")
    return [row.text for row in rows], [row.label for row in rows]


def _read(path: Path, part: str, columns: tuple[str, str], problems: Problems) -> list[Example]:
    """The rows that have a text and a label; what the others lack is noted."""
    records = read_records(path, problems)
    if not records and not problems:
        problems.add("empty files", f"{path} has no rows")
    if not check_columns(records, columns, path, problems):
        return []
    text_column, label_column = columns
    cells = ((n, record.get(text_column), record.get(label_column)) for n, record in records)
    return _examples(cells, part, problems)


def _pair(
    texts: Sequence[str], labels: Sequence[str], part: str, problems: Problems
) -> list[Example]:
    if len(texts) != len(labels):
        raise DataError(f"{part}: {len(texts)} texts, but {len(labels)} labels.")
    cells = (
        (n, text, label) for n, (text, label) in enumerate(zip(texts, labels, strict=True), start=1)
    )
    return _examples(cells, part, problems)


def _examples(
    cells: Iterable[tuple[int, Any, Any]], part: str, problems: Problems
) -> list[Example]:
    made = []
    for number, text, label in cells:
        # Labels such as 3 or True are names too; a missing one is not.
        name = "" if label is None else str(label).strip()
        usable = isinstance(text, str) and bool(text.strip())
        if not usable:
            problems.add("rows without a text", f"{part} row {number} has no text")
        if not name:
            problems.add("rows without a label", f"{part} row {number} has no label")
        if usable and name:
            made.append(Example(text.strip(), name, f"{part}:{number}"))
    return made


def _assemble(
    rows: list[Example],
    held: list[Example] | None,
    given: Taxonomy | None,
    problems: Problems,
    *,
    fraction: float,
    limit: int | None,
    seed: int,
    on_conflict: OnConflict,
) -> Task:
    """Check, draw and split rows that have been read."""
    warnings: list[str] = []
    if given is not None:
        _check_labels([*rows, *(held or [])], given, problems)
    rows = _consistent(rows, problems, warnings, on_conflict)
    if held is not None:
        held = _consistent(held, problems, warnings, on_conflict)
        rows = _disjoint(rows, held, problems, warnings, on_conflict)
    names = sorted({row.label for row in (*rows, *(held or []))})
    if len({row.label for row in rows}) < 2 and not problems:
        problems.add("classes", f"the training rows have one class only: {', '.join(names)}")
    conflicts = problems.count("texts with two labels") + problems.count("texts in both files")
    hint = " (--on-conflict drop leaves contradicting rows out)" if conflicts else ""
    problems.raise_if_any(f"The rows cannot be used as they are{hint}:")
    taxonomy = given or Taxonomy.from_names(names)
    train = limit_rows(rows, limit, seed)
    if len({row.label for row in train}) < 2:
        raise DataError(f"--limit {limit} leaves rows of one class only. Raise it.")
    if held is None:
        first, second = stratified_split([row.label for row in train], fraction, seed)
        if len(second) == 0:
            raise DataError(
                f"{len(train)} rows leave none for validation: every class keeps its first row "
                "for training. Give more rows, or a validation file."
            )
        train, held = tuple(train[i] for i in first), [train[i] for i in second]
    warnings += _warn_unseen(taxonomy, train)
    return Task(taxonomy, train, tuple(held), tuple(warnings))


def _check_labels(rows: Iterable[Example], taxonomy: Taxonomy, problems: Problems) -> None:
    for row in rows:
        if row.label not in taxonomy.index:
            close = get_close_matches(row.label, taxonomy.names, n=1)
            hint = f"; do you mean '{close[0]}'?" if close else ""
            problems.add(
                "rows with an unknown label",
                f"{_where(row)} has the label '{row.label}', which is not in the class list{hint}",
            )


def _consistent(
    rows: list[Example], problems: Problems, warnings: list[str], on_conflict: OnConflict
) -> list[Example]:
    """Rows without repeated ones, and without texts that have two labels."""
    by_text: dict[str, list[Example]] = {}
    for row in rows:
        by_text.setdefault(_key(row.text), []).append(row)
    kept: list[Example] = []
    repeated = conflicting = 0
    for same in by_text.values():
        if len({row.label for row in same}) == 1:
            kept.append(same[0])
            repeated += len(same) - 1
        elif on_conflict == "drop":
            conflicting += len(same)
        else:
            told = ", ".join(f"{_where(row)} '{row.label}'" for row in same[:5])
            problems.add("texts with two labels", f"the same text has several labels: {told}")
    if repeated:
        warnings.append(f"{repeated} repeated rows are used once")
    if conflicting:
        warnings.append(f"{conflicting} rows are dropped: their text has several labels")
    return kept


def _disjoint(
    rows: list[Example],
    held: list[Example],
    problems: Problems,
    warnings: list[str],
    on_conflict: OnConflict,
) -> list[Example]:
    """Training rows whose text is not in the validation rows."""
    where = {_key(row.text): row for row in held}
    both = [row for row in rows if _key(row.text) in where]
    if both and on_conflict == "drop":
        warnings.append(f"{len(both)} training rows are dropped: their text is a validation row")
        return [row for row in rows if _key(row.text) not in where]
    for row in both:
        twin = where[_key(row.text)]
        problems.add("texts in both files", f"{_where(row)} has the same text as {_where(twin)}")
    return rows


def _warn_unseen(taxonomy: Taxonomy, train: Iterable[Example]) -> list[str]:
    seen = {row.label for row in train}
    unseen = [name for name in taxonomy.names if name not in seen]
    if not unseen:
        return []
    told = ", ".join(unseen[:10]) + (", …" if len(unseen) > 10 else "")
    return [f"{len(unseen)} classes have no training row, the teacher writes for them: {told}"]


def _key(text: str) -> str:
    return text.strip().casefold()


def _where(row: Example) -> str:
    part, _, number = row.id.partition(":")
    return f"row {number}" if part == "row" else f"{part} row {number}"
