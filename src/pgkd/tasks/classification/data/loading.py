"""From files or arrays to a `Task`.

Everything that is wrong is found here, before any teacher is paid, and told at once. No test rows
come this way: `read_rows` reads them, for the evaluation alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pgkd.data.arrays import one_column
from pgkd.data.cells import examples_of, is_missing, name_of
from pgkd.data.problems import Problems
from pgkd.data.reading import open_table, raise_unusable
from pgkd.errors import DataError
from pgkd.tasks.classification.data.assembly import Fraction, Parts, Task, assemble
from pgkd.tasks.classification.data.checking import check_labels
from pgkd.tasks.classification.data.classes import read_taxonomy
from pgkd.tasks.classification.data.taxonomy import Taxonomy

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.example import Example

OnConflict = Literal["error", "drop"]


def load_task(
    *,
    train: Path,
    validation: Path | None = None,
    classes: Path | None = None,
    text_column: str = "text",
    label_column: str = "label",
    validation_fraction: Fraction = "auto",
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
        validation_fraction: share of the rows split off, in (0, 1); see `assemble`.
        limit: use so many training rows, drawn before the split; the classes are those of all rows.
        seed: of the drawing and the split.
        on_conflict: for a text with several labels, or in both files: refuse, or drop it from
            training.

    Raises:
        DataError: lists every problem of every file, with row numbers.
        MissingExtraError: a file's format needs an extra.
    """
    problems = Problems()
    columns = (text_column, label_column)
    parts = Parts(
        _read(train, "train", columns, problems),
        _read(validation, "validation", columns, problems) if validation else None,
        _classes(classes, problems) if classes else None,
    )
    files = " and ".join(str(file) for file in (train, validation) if file)
    return assemble(
        parts, problems, f"The rows of {files}", drop=on_conflict == "drop",
        fraction=validation_fraction, limit=limit, seed=seed,
    )  # fmt: skip


def task_from_arrays(
    texts: Sequence[str] | NDArray[Any],
    labels: Sequence[Any] | NDArray[Any],
    *,
    validation: tuple[Sequence[str], Sequence[Any]] | None = None,
    classes: Sequence[Any] | NDArray[Any] | Taxonomy | None = None,
    validation_fraction: Fraction = "auto",
    seed: int = 0,
    on_conflict: OnConflict = "error",
) -> Task:
    """Make a task of n texts and n labels in memory; checks and arguments are `load_task`'s.

    Raises:
        DataError: lists every problem, with row numbers from 1.
    """
    problems = Problems()
    if classes is not None and not isinstance(classes, Taxonomy):
        names = one_column(classes, "classes")
        classes = Taxonomy.from_names("" if is_missing(n) else name_of(n) for n in names)
    if validation is not None and not (
        isinstance(validation, list | tuple) and len(validation) == 2
    ):
        raise DataError("The validation rows are no pair of lists: give (texts, labels).")
    parts = Parts(
        _pair(texts, labels, "train", problems),
        None if validation is None else _pair(*validation, "validation", problems),
        classes,
    )
    return assemble(
        parts, problems, "The rows", drop=on_conflict == "drop",
        fraction=validation_fraction, limit=None, seed=seed,
    )  # fmt: skip


def read_rows(
    path: Path, text_column: str, label_column: str, *, classes: Sequence[str] | None = None
) -> tuple[list[str], list[str]]:
    """Texts and labels of a file that nothing is trained on, in order; repeated texts stay.

    Raises:
        DataError: lists every problem with its row, among them labels that are not in `classes`.
        MissingExtraError: the file's format needs an extra.
    """
    problems = Problems()
    rows = _read(path, "", (text_column, label_column), problems)
    if classes is not None:
        check_labels(rows, classes, problems)
    raise_unusable(path, problems)
    return [row.text for row in rows], [row.label for row in rows]


def _read(path: Path, part: str, columns: tuple[str, str], problems: Problems) -> list[Example]:
    """The rows of a file that have a text and a label; all else is noted."""
    before = len(problems)
    rows: list[Example] = []
    try:
        with open_table(path, columns, problems) as table:
            if table.has(columns, path, problems):
                rows = examples_of(table.cells(*columns), part, problems)
    except DataError as error:
        problems.add_error("files that cannot be read", error)
        return []
    if not rows and len(problems) == before:
        problems.add("empty files", f"{path} has no rows")
    return rows


def _pair(
    texts: Sequence[str] | NDArray[Any],
    labels: Sequence[Any] | NDArray[Any],
    part: str,
    problems: Problems,
) -> list[Example]:
    texts, labels = one_column(texts, "texts"), one_column(labels, "labels")
    if len(texts) != len(labels):
        problems.add("lengths", f"{part}: {len(texts)} texts, but {len(labels)} labels")
    numbered = enumerate(zip(texts, labels, strict=False), start=1)
    return examples_of(((n, *cells) for n, cells in numbered), part, problems)


def _classes(path: Path, problems: Problems) -> Taxonomy | None:
    try:
        return read_taxonomy(path)
    except DataError as error:
        problems.add_error("classes that cannot be used", error)
        return None
