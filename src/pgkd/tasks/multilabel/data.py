"""A text with its set of labels, and the files that hold such rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pgkd.data.cells import name_of, one_column
from pgkd.data.label_sets import (
    find_separator,
    join_labels,
    parse_flags,
    parse_labels,
    rows_of_matrix,
    separator_of_column,
)
from pgkd.errors import DataError
from pgkd.task import Example, Origin
from pgkd.tasks.classification.data.examples import Taxonomy, read_taxonomy
from pgkd.tasks.common.labels import with_labels
from pgkd.tasks.common.rows import Make, Rows, load_rows, rows_from_arrays
from pgkd.tasks.multilabel.config import MultiLabelConfig, MultiLabelData
from pgkd.text import shown


@dataclass(frozen=True, slots=True)
class MultiLabelText(Example):
    """A text with its labels: sorted names, each once; none is a valid answer. See `Example`."""

    text: str
    labels: tuple[str, ...]
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def output(self) -> str:
        """The labels, as `join_labels` writes them."""
        return join_labels(self.labels)

    def revised(self, text: str | None, output: str | None) -> MultiLabelText:
        """See `Example.revised`; the output may also be a JSON list."""
        try:
            labels = self.labels if output is None else parse_labels(output, ",")
        except ValueError as error:
            raise DataError(f"These labels cannot be used: {error}.") from error
        return replace(self, text=text or self.text, labels=labels, human_verified=True)


def file_reader(
    data: MultiLabelData, path: Path | None, taxonomy: Taxonomy | None = None
) -> Make[MultiLabelText]:
    """What makes an example of a row of a file; of labels that are in `taxonomy`, if given."""
    separator = data.separator or (separator_of_column(path, data.label_column) if path else None)
    return make_reader(data.label_columns, separator, taxonomy)


def load_multilabel(config: MultiLabelConfig) -> Rows[MultiLabelText]:
    """The rows of the files that a config names; see `load_rows`."""
    data = config.data
    taxonomy = read_taxonomy(data.classes) if data.classes else None
    make = file_reader(data, data.train, taxonomy)
    rows = load_rows(config, (data.text_column,), data.columns, make)
    return with_labels(rows, attrgetter("labels"), taxonomy, data.label_columns)


def make_reader(
    columns: Sequence[str], separator: str | None, taxonomy: Taxonomy | None
) -> Make[MultiLabelText]:
    """See `file_reader`; `columns` are those of 0 and 1."""
    known = set(taxonomy.names) if taxonomy else set[str]()

    def make(texts: Sequence[str], cells: Sequence[Any], id_: str) -> MultiLabelText:
        if columns:
            labels = parse_flags(columns, cells)
        elif isinstance(cells[0], str) and cells[0].strip() in known:
            labels = (cells[0].strip(),)
        else:
            labels = parse_labels(cells[0], separator)
        if known and (unknown := sorted(set(labels) - known)):
            raise ValueError(f"'{shown(unknown[0])}' is not in the list of labels")
        return MultiLabelText(texts[0], labels, id_)

    return make


def multilabel_from_arrays(
    config: MultiLabelConfig,
    inputs: Any,
    outputs: Any,
    classes: Sequence[Any] | None = None,
    validation: tuple[Any, Any] | None = None,
) -> Rows[MultiLabelText]:
    """Rows in memory; see `Task.from_arrays`.

    Args:
        config: the settings of the run.
        inputs: n texts.
        outputs: n sets, lists or separated strings of label names; or an indicator matrix of 0
            and 1, shape (n, n_labels), with `classes`.
        classes: label names, in the order of the matrix's columns.
        validation: inputs and outputs of validation rows.
    """
    names = [name_of(name) for name in ([] if classes is None else classes)]
    taxonomy = Taxonomy.from_names(names) if names else None

    def pair(inputs: Any, outputs: Any) -> tuple[list[Any], list[Any]]:
        return one_column(inputs, "texts"), rows_of_matrix(outputs, names)

    train = pair(inputs, outputs)
    make = make_reader((), config.data.separator or find_separator(train[1]), taxonomy)
    held = None if validation is None else pair(*validation)
    return with_labels(rows_from_arrays(config, *train, make, held), attrgetter("labels"), taxonomy)
