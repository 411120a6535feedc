"""The user's rows and label names: read, checked, drawn and split.

Everything that is wrong is found here, before any teacher is paid, and reported at once. Test rows
do not come this way: `read_rows` reads them, for the evaluation alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pgkd.data.cells import (
    Problems,
    is_missing,
    name_of,
    one_column,
    parse_label,
    parse_text,
    place,
)
from pgkd.data.reading import open_table, raise_unusable
from pgkd.errors import DataError
from pgkd.tasks.classification.data.examples import (
    LabelClass,
    LabelledText,
    Taxonomy,
    read_taxonomy,
)
from pgkd.tasks.classification.data.pool import Pool
from pgkd.tasks.common.folds import group_rows
from pgkd.text import label_key, shown, text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.tasks.classification.data.examples import LabelledText

Fraction = float | Literal["auto"]

_MANY = 1000  # rows from which on a share of them can be spared for validation


@dataclass(frozen=True)
class TextDataset:
    """The user's texts and label names.

    Attributes:
        taxonomy: the classes.
        train: rows to train on, in the order of the file.
        validation: rows that judge the rounds; never trained on, never shown to the teacher. Empty
            where rows are few: then cross-validation over `train` judges.
        warnings: what the user should know and nothing had to be refused for.
        pool: texts without labels, which the teacher may be asked to label.
    """

    taxonomy: Taxonomy
    train: tuple[LabelledText, ...]
    validation: tuple[LabelledText, ...]
    warnings: tuple[str, ...] = ()
    pool: Pool = field(default_factory=Pool)

    def to_json(self) -> dict[str, Any]:
        """Plain data; of the pool, which may be a hundred MB, a digest."""
        return {
            "classes": [asdict(label) for label in self.taxonomy],
            "train": [row.to_json() for row in self.train],
            "validation": [row.to_json() for row in self.validation],
            "warnings": list(self.warnings),
            "pool": self.pool.digest(),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TextDataset:
        """Rebuild from `to_json`'s data, without the pool."""
        train, validation = (
            tuple(map(LabelledText.from_json, data[part])) for part in ("train", "validation")
        )
        taxonomy = Taxonomy(tuple(LabelClass(**fields) for fields in data["classes"]))
        return cls(taxonomy, train, validation, tuple(data["warnings"]))


@dataclass(frozen=True)
class Parts:
    """Rows and classes as given; None where nothing was given.

    Rows have ids that begin with their part, ``train:17``.
    """

    train: list[LabelledText]
    validation: list[LabelledText] | None
    taxonomy: Taxonomy | None

    def rows(self) -> list[LabelledText]:
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
) -> TextDataset:
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
    return TextDataset(taxonomy, tuple(train), tuple(held), tuple(warnings))


def _check(
    parts: Parts, problems: Problems, what: str, drop: bool
) -> tuple[list[LabelledText], list[LabelledText] | None, list[str]]:
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


def _check_enough(
    train: list[LabelledText], held: list[LabelledText] | None, problems: Problems
) -> None:
    """Two classes to train on and a row to validate on, as far as the rows left can tell."""
    names = {row.label for row in train}
    if len(names) == 1 and not problems.has(*CONFLICTS):
        problems.add("classes", f"the training rows have one class only: {names.pop()}")
    elif not names and not problems:
        problems.add("classes", "no training row is left")
    if held == [] and not problems:
        problems.add("empty files", "no validation row is left")


def _split(
    rows: Sequence[LabelledText], fraction: float, seed: int
) -> tuple[tuple[LabelledText, ...], list[LabelledText]]:
    first, second = stratified_split([row.label for row in rows], fraction, seed)
    if not len(second):
        raise DataError(
            f"{len(rows)} rows leave none for validation: every class keeps a row for training. "
            "Give more rows, or validation rows of their own."
        )
    return tuple(rows[i] for i in first), [rows[i] for i in second]


CONFLICTS = ("texts with several labels", "texts in both parts")


def check_labels(rows: Iterable[LabelledText], names: Sequence[str], problems: Problems) -> None:
    """Note every row whose label is not a class, with the class that was probably meant."""
    known = set(names)
    by_key = {label_key(name): name for name in names}

    @cache
    def hint(label: str) -> str:
        close = get_close_matches(label_key(label), by_key, n=1)
        return f"; do you mean '{shown(by_key[close[0]])}'?" if close else ""

    kind = "rows with an unknown label"
    for row in rows:
        if row.label not in known:
            label = shown(row.label)
            told = f"{place(row.id)} has the label '{label}', which is not in the class list"
            # With a wrong column every row ends here: a hint for each would take minutes.
            problems.add(kind, told + ("" if problems.is_full(kind) else hint(row.label)))


def consistent(
    rows: Iterable[LabelledText], problems: Problems, warnings: list[str], *, part: str, drop: bool
) -> list[LabelledText]:
    """Each text once, without the texts that have several labels.

    Args:
        rows: of one part.
        problems: takes the texts with several labels.
        warnings: takes what was left out.
        part: what the warnings call the rows.
        drop: leave texts with several labels out with a warning: no problem then.
    """
    by_text: defaultdict[str, list[LabelledText]] = defaultdict(list)
    for row in rows:
        by_text[text_key(row.text)].append(row)
    accepted: list[LabelledText] = []
    repeated = contradicting = 0
    for same in by_text.values():
        if len({row.label for row in same}) == 1:
            accepted.append(same[0])
            repeated += len(same) - 1
            continue
        contradicting += len(same)
        if not drop:
            told = ", ".join(f"{place(row.id)} '{shown(row.label)}'" for row in same[:5])
            more = f" and {len(same) - 5} more" if len(same) > 5 else ""
            problems.add(CONFLICTS[0], f"the same text has several labels: {told}{more}")
    if repeated:
        warnings.append(f"{part}: repeated rows left out: {repeated}")
    if contradicting and drop:
        warnings.append(f"{part}: rows dropped, as their text has several labels: {contradicting}")
    return accepted


def disjoint(
    train: list[LabelledText],
    validation: Iterable[LabelledText],
    problems: Problems,
    warnings: list[str],
    *,
    drop: bool,
) -> list[LabelledText]:
    """Training rows whose text is no validation row; the others are dropped or a problem."""
    held = {text_key(row.text): row for row in validation}
    both = [row for row in train if text_key(row.text) in held]
    if both and drop:
        warnings.append(f"train: rows dropped, as their text is a validation row: {len(both)}")
    elif both:
        for row in both:
            twin = place(held[text_key(row.text)].id)
            problems.add(CONFLICTS[1], f"{place(row.id)} has the same text as {twin}")
    return [row for row in train if text_key(row.text) not in held]


def class_warnings(names: Sequence[str], train: Iterable[LabelledText]) -> list[str]:
    """What looks odd about the classes: no training row, or names that are hard to tell apart."""
    seen = {row.label for row in train}
    unseen = [name for name in names if name not in seen]
    warnings = []
    if unseen:
        warnings.append(f"classes without a training row ({len(unseen)}): {_some(unseen)}")
    alike: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[label_key(name)].append(name)
    groups = [group for group in alike.values() if len(group) > 1]
    for how, in_case in (("differ in case only", True), ("look the same", False)):
        told = [
            " / ".join(map(shown, group))
            for group in groups
            if (len({name.casefold() for name in group}) == 1) is in_case
        ]
        if told:
            warnings.append(f"classes that {how} ({len(told)}): {', '.join(told[:10])}")
    return warnings


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(shown, names[:10])) + (", …" if len(names) > 10 else "")


def limit_rows(
    rows: Sequence[LabelledText], limit: int | None, seed: int
) -> tuple[LabelledText, ...]:
    """At most `limit` rows, drawn uniformly at random without replacement, in their old order."""
    if limit is None or limit >= len(rows):
        return tuple(rows)
    chosen = np.random.default_rng(seed).choice(len(rows), size=limit, replace=False)
    return tuple(rows[i] for i in np.sort(chosen))


def stratified_split(
    labels: Sequence[str], fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split row indices in two, class by class.

    Args:
        labels: n class names.
        fraction: share of the rows in the second part, in (0, 1).
        seed: of the drawing.

    Returns:
        Indices of the first (training) and second (validation) part, each ascending. Every class
        that has a row has one in the first part: the only row of a class trains. The second part
        has ``round(fraction * n)`` rows and at least one, or as many as that leaves.
    """
    rng = np.random.default_rng(seed)
    groups = group_rows(labels)
    sizes = np.array([len(group) for group in groups])
    held = _proportional(sizes, max(1, round(fraction * len(labels))), upper=sizes - 1)
    second = [rng.permutation(group)[:n] for group, n in zip(groups, held, strict=True)]
    validation = np.sort(np.concatenate(second)).astype(np.int64)
    return np.setdiff1d(np.arange(len(labels)), validation), validation


def draw_per_class(labels: Sequence[str], n: int, seed: int) -> NDArray[np.int64]:
    """Row indices, ascending: of each class `n` drawn at random, or all where it has fewer."""
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(group)[:n] for group in group_rows(labels)]
    return np.sort(np.concatenate(drawn)).astype(np.int64) if drawn else np.array([], np.int64)


def _proportional(
    sizes: NDArray[np.int64], total: int, upper: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Split `total` in proportion to `sizes` by largest remainder, none above its `upper`."""
    exact = sizes * (total / sizes.sum())
    counts: NDArray[np.int64] = np.minimum(np.floor(exact).astype(np.int64), upper)
    while counts.sum() < min(total, upper.sum()):
        open_ = counts < upper
        # Ties go to the larger class, which can spare a row.
        gap = np.where(open_, exact - counts, -np.inf)
        counts[np.lexsort((sizes, gap))[-1]] += 1
    return counts


OnConflict = Literal["error", "drop"]


def load_dataset(
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
) -> TextDataset:
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


def dataset_from_arrays(
    texts: Sequence[str] | NDArray[Any],
    labels: Sequence[Any] | NDArray[Any],
    *,
    validation: tuple[Sequence[str], Sequence[Any]] | None = None,
    classes: Sequence[Any] | NDArray[Any] | Taxonomy | None = None,
    validation_fraction: Fraction = "auto",
    seed: int = 0,
    on_conflict: OnConflict = "error",
) -> TextDataset:
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


def _read(
    path: Path, part: str, columns: tuple[str, str], problems: Problems
) -> list[LabelledText]:
    """The rows of a file that have a text and a label; all else is noted."""
    before = len(problems)
    rows: list[LabelledText] = []
    try:
        with open_table(path, columns, problems) as table:
            if table.has(columns, path, problems):
                rows = _labelled_texts(table.cells(*columns), part, problems)
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
) -> list[LabelledText]:
    texts, labels = one_column(texts, "texts"), one_column(labels, "labels")
    if len(texts) != len(labels):
        problems.add("lengths", f"{part}: {len(texts)} texts, but {len(labels)} labels")
    numbered = enumerate(zip(texts, labels, strict=False), start=1)
    return _labelled_texts(((n, *cells) for n, cells in numbered), part, problems)


def _classes(path: Path, problems: Problems) -> Taxonomy | None:
    try:
        return read_taxonomy(path)
    except DataError as error:
        problems.add_error("classes that cannot be used", error)
        return None


def _labelled_texts(
    cells: Iterable[tuple[int, Any, Any]], part: str, problems: Problems
) -> list[LabelledText]:
    """The rows that have a text and a label; what the others lack is noted.

    Args:
        cells: row number, text and label of each row.
        part: ``"train"`` or ``"validation"``, or empty where there is one part only. A row's id
            is ``part:number``.
        problems: takes what is wrong.
    """
    made = []
    for number, text_cell, label_cell in cells:
        row = place(f"{part}:{number}")
        text = parse_text(text_cell, row, problems)
        label = parse_label(label_cell, row, problems)
        if text is not None and label is not None:
            made.append(LabelledText(text, label, f"{part}:{number}"))
    return made
