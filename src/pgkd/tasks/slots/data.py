"""A text with its entities, and the files that hold such rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pgkd.data.cells import Problems, name_of, one_column
from pgkd.data.reading import open_table
from pgkd.data.spans import (
    Span,
    cuts_word,
    format_spans,
    parse_lines,
    parse_spans,
    parse_tagged,
)
from pgkd.errors import DataError
from pgkd.task import Example, Origin
from pgkd.tasks.classification.data.examples import LabelClass, read_taxonomy
from pgkd.tasks.common.labels import with_labels
from pgkd.tasks.common.rows import Make, Rows, load_rows, read_rows, rows_from_arrays
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.text import shown, text_key

COLUMNS = ("entities", "spans", "ents")
"""Where entities are looked for."""


@dataclass(frozen=True, slots=True)
class SlotText(Example):
    """A text with its entities, in order; none is a valid answer. See `Example`."""

    text: str
    entities: tuple[Span, ...]
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def output(self) -> str:
        """See `format_spans`."""
        return format_spans(span.to_json(self.text) for span in self.entities)

    @property
    def marks(self) -> tuple[tuple[int, int, str], ...]:
        """See `Example.marks`."""
        return tuple((span.start, span.end, span.label) for span in self.entities)

    @property
    def output_key(self) -> tuple[tuple[str, str], ...]:
        """What it shares with rows whose text differs from its own in case and spaces alone."""
        return tuple((s.label, text_key(self.text[s.start : s.end])) for s in self.entities)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in it, each once, in order."""
        return tuple(sorted({span.label for span in self.entities}))

    def revised(self, text: str | None, output: str | None) -> SlotText:
        """See `Example.revised`; entities are found again in a new text."""
        text = text or self.text
        try:
            spans = parse_lines(text, self.output if output is None else output)
        except ValueError as error:
            raise DataError(f"These entities cannot be used: {error}.") from error
        return replace(self, text=text, entities=spans, human_verified=True)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SlotText:
        """Rebuild from `to_json`'s data; other fields are left alone."""
        spans = tuple(Span(each["start"], each["end"], each["label"]) for each in data["entities"])
        return cls(data["text"], spans, data["id"], Origin.from_json(data.get("origin")))


def _maker(known: Sequence[str], *, tagged: bool) -> Make[SlotText]:
    """What makes an example; its cells are the text as it stands in the file, and entities."""

    def make(texts: Sequence[str], cells: Sequence[Any], id_: str) -> SlotText:
        raw, *rest = cells
        if tagged:
            raw, spans = parse_tagged(raw)
        else:
            spans = parse_spans(rest[0], raw)
        text, cut = raw.strip(), len(raw) - len(raw.lstrip())
        if known and (unknown := sorted({span.label for span in spans}.difference(known))):
            raise ValueError(f"'{shown(unknown[0])}' is not in the list of labels")
        moved = tuple(Span(s.start - cut, s.end - cut, s.label) for s in spans)
        return SlotText(text, moved, id_)

    return make


def _entity_columns(config: SlotsConfig, path: Path | None) -> tuple[str, ...]:
    """The column of a file's entities; none where they are tags in its texts."""
    if config.data.entity_column is not None or path is None:
        return (config.data.entity_column,) if config.data.entity_column else ()
    try:
        with open_table(path, (config.data.text_column, *COLUMNS), Problems()) as table:
            return tuple(name for name in COLUMNS if name in table.columns)[:1]
    except DataError:  # whoever reads the whole file says so
        return COLUMNS[:1]


def load_slots(config: SlotsConfig) -> Rows[SlotText]:
    """The rows of the files that a config names; see `load_rows`."""
    data = config.data
    labels = tuple(read_taxonomy(data.classes)) if data.classes else ()
    columns = _entity_columns(config, data.train)
    make = _maker([each.name for each in labels], tagged=not columns)
    rows = load_rows(config, (data.text_column,), (data.text_column, *columns), make)
    return _with_labels(rows, labels)


def read_slots(path: Path, config: SlotsConfig) -> list[SlotText]:
    """The rows of another file; see `read_rows`."""
    text, columns = config.data.text_column, _entity_columns(config, path)
    return read_rows(path, (text,), (text, *columns), _maker((), tagged=not columns))


def slots_from_arrays(
    config: SlotsConfig,
    inputs: Any,
    outputs: Any = None,
    classes: Sequence[Any] | None = None,
    validation: tuple[Any, Any] | None = None,
) -> Rows[SlotText]:
    """Rows in memory; see `Task.from_arrays`.

    Args:
        config: the settings of the run.
        inputs: n texts; with tags, where `outputs` is None.
        outputs: n lists of entities, as `parse_spans` reads them.
        classes: label names; None: those of the rows.
        validation: inputs and outputs of validation rows.
    """
    labels = tuple(LabelClass(name_of(name)) for name in (classes or ()))
    make = _maker([each.name for each in labels], tagged=outputs is None)

    def pair(inputs: Any, outputs: Any = None) -> tuple[list[Any], list[Any]]:
        texts = one_column(inputs, "texts")
        given = texts if outputs is None else list(outputs)
        return texts, [*zip(texts, given, strict=False)] if len(given) == len(texts) else given

    held = None if validation is None else pair(*validation)
    rows = rows_from_arrays(
        config, *pair(inputs, outputs), lambda texts, cells, id_: make(texts, cells[0], id_), held
    )
    return _with_labels(rows, labels)


def _with_labels(rows: Rows[SlotText], labels: tuple[LabelClass, ...]) -> Rows[SlotText]:
    """The rows, with all labels in their details."""
    rows = with_labels(rows, attrgetter("labels"), labels)
    if not any(row.entities for row in rows.train):
        raise DataError(
            "No training row has an entity: give a column 'entities', or tags in the text such as "
            "[jazz](genre)."
        )
    cut = sum(cuts_word(span, row.text) for row in rows.train for span in row.entities)
    told = [f"entities that begin or end inside a word, answered as whole words: {cut}"]
    return replace(rows, warnings=(*rows.warnings, *(told if cut else ())))
