"""What the teacher is asked: texts with the values that have a label.

A request is about one label. Its texts have the labels together that rows have together. The reply
names each value as it stands in the text: a teacher that counts characters counts wrongly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pgkd.curation import Reason
from pgkd.data.spans import Span, check_spans, has_tags, locate
from pgkd.tasks.common.cells import CellPrompts
from pgkd.tasks.common.labels import classes_of
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import (
    LengthTarget,
    SampleError,
    SamplesPrompt,
    answer_tokens,
    closed,
    normalise,
    read_text,
    samples_request,
    shorten,
)
from pgkd.tasks.slots.config import SlotsConfig
from pgkd.tasks.slots.data import SlotText
from pgkd.text import as_json, shown

UNKNOWN_LABEL, WRONG_LABELS = "unknown label", "label not in the text"
WRONG_VALUE = "value that cannot be found"

_SHOWN = 4  # rows of a request
_VALUES = 3  # of a label in its list
_LISTED = 60  # labels that every request lists; of more, those that it is about
_MOST = 200  # entities of a text

_SYSTEM = """You write training texts for a model that finds the parts of a text that have a \
label, as the people who send such texts would write them.

Rules:
- Each text has at least the labels that are asked for.
- List every part of the text that one of the labels fits, as the shown texts do: what they leave \
unlabelled stays so, and values begin and end where theirs do.
- A value is copied from the text, letter by letter, and occurs once in it.
- Names and titles are other ones than those shown, and each is used once. Words that people \
always use, such as "here", may come again.
- Match the shown texts in language, tone, length and spelling. Never copy or paraphrase them.
- Every text is different: other wording, other openings, the values in other places.
- No placeholders such as [name], no numbering, no quotes around a text.
- Answer with JSON only."""


class SlotsPrompts(CellPrompts[SlotText]):
    """See `CellPrompts`: a cell is a label; mined cells have ``errors`` by row."""

    def __init__(
        self, config: SlotsConfig, dataset: Rows[SlotText], folds: NDArray[np.int64]
    ) -> None:
        self._labels = classes_of(dataset)
        names, rows = [each.name for each in self._labels], dataset.train
        cells = {name: [row for row in rows if name in row.labels] for name in names}
        super().__init__(config, cells, rows, folds)
        self._length = LengthTarget.of([row.text for row in dataset.train])
        self._most = max(len(row.entities) for row in dataset.train)

    def prompt(
        self, id_: str, cell: str, count: int, mined: Mapping[str, Any], written: Sequence[Any]
    ) -> SamplesPrompt:
        """See `CellPrompts.prompt`."""
        near, wanted = self.next_fold(cell), self._label_sets(id_, cell, count)
        errors = mined.get("errors", {})
        errors = {row: [x for x in those if x.span.label == cell] for row, those in errors.items()}
        rows, length = self._pick_rows(cell, near, errors), self._length
        names = {name for labels in wanted for name in labels}.union(*(row.labels for row in rows))
        listed = [c for c in self._labels if len(self._labels) <= _LISTED or c.name in names]
        lines = ["The labels:"]
        for each in listed:
            known = [each.description] if each.description else []
            if values := _values_of(near, each.name):
                known.append(f"such as {', '.join(values)}")
            lines.append(f"- {each.name}" + (f": {'; '.join(known)}" if known else ""))
        lines += ["", "Real texts and their entities:"]
        lines += [f"{i}. {_sample(row)}" for i, row in enumerate(rows, start=1)]
        told = [
            f"- {i}: {error.describe(row.text)}"
            for i, row in enumerate(rows, start=1)
            for error in errors.get(row.id, ())
        ]
        lines += ["", "The model makes mistakes in them:", *told] if told else []
        what = "1 new text" if count == 1 else f"{count} new texts, each"
        hard = f", in which {cell} is as hard to find" if told else ""
        lines += ["", f"Write {what} of about {length.usual} {length.unit} (from {length.shortest} "
                  f"to {length.longest}){hard}. They have these labels:"]  # fmt: skip
        lines += [f"{i}. {as_json(labels)}" for i, labels in enumerate(wanted, start=1)]
        lines += ["", 'Answer: {"samples": [{"text": "…", "entities": [{"label": "…", "value": '
                  '"…"}, …]}, …]}']  # fmt: skip
        label = {"type": "string", "enum": [each.name for each in listed]}
        entity = closed({"label": label, "value": {"type": "string"}})
        tokens = answer_tokens(count, length) + count * (20 * self._most + 2 * length.longest)
        request = samples_request(
            id_, _SYSTEM, "\n".join(lines),
            closed({"text": {"type": "string"}, "entities": {"type": "array", "items": entity}}),
            count, tokens=tokens, config=self.config,
        )  # fmt: skip
        reason = f"{cell}: F1 {mined['f1']:.2f} on {mined['n']} entities" if mined else cell
        read = partial(read_sample, frozenset(self.rows), cell)
        return SamplesPrompt(id_, request, count, tuple(rows), (reason,), read, cell)

    def _label_sets(self, id_: str, cell: str, count: int) -> list[tuple[str, ...]]:
        """The labels of as many rows that have this one."""
        sets = [row.labels for row in self.rows[cell]] or [(cell,)]
        rng = np.random.default_rng([self.config.seed, crc32(id_.encode())])
        return [sets[i] for i in rng.permutation(max(count, len(sets)))[:count] % len(sets)]

    def _pick_rows(
        self, cell: str, near: Sequence[SlotText], errors: Mapping[str, Any]
    ) -> list[SlotText]:
        """Rows of one fold: half of them with mistakes, then of the label, then others."""
        chosen = self.pick([row for row in near if errors.get(row.id)], _SHOWN // 2)
        for those in ([row for row in near if cell in row.labels], near):
            chosen += self.pick([r for r in those if r not in chosen], _SHOWN - len(chosen))
        return chosen


def read_sample(known: frozenset[str], cell: str, item: Mapping[str, Any]) -> SlotText:
    """An example of an untrusted item of a reply; the label of the request has to be in it.

    Raises:
        SampleError: it is none.
    """
    text, entities = read_text(item), item.get("entities")
    if has_tags(text):
        raise SampleError("the text has tags in it", Reason.PLACEHOLDER)
    if not isinstance(entities, list) or len(entities) > _MOST:
        raise SampleError(f"entities has to be a list of at most {_MOST}")
    try:
        spans = check_spans([_read_entity(known, each, text) for each in entities], text)
    except SampleError:
        raise
    except ValueError as error:
        raise SampleError(str(error), WRONG_VALUE) from error
    if all(span.label != cell for span in spans):
        raise SampleError(f"the text has no {shown(cell)}, which was asked for", WRONG_LABELS)
    return SlotText(text, spans)


def _read_entity(known: frozenset[str], entity: Any, text: str) -> Span:
    found = entity if isinstance(entity, dict) else {}
    label, value, number = (found.get(key) for key in ("label", "value", "occurrence"))
    if not isinstance(label, str) or not isinstance(value, str):
        raise SampleError("an entity has to be an object with a label and a value")
    if label not in known:
        raise SampleError(f"there is no label '{shown(label)}'", UNKNOWN_LABEL)
    return locate(text, normalise(value), label, number if type(number) is int else None)


def _values_of(rows: Sequence[SlotText], label: str) -> list[str]:
    """The first different values of a label, as JSON."""
    found = (row.text[s.start : s.end] for row in rows for s in row.entities if s.label == label)
    return [as_json(shown(value)) for value in list(dict.fromkeys(found))[:_VALUES]]


def _sample(row: SlotText) -> str:
    """A row as a reply would have it; of a long text its beginning."""
    text, pairs = shorten(row.text), [(s.label, row.text[s.start : s.end]) for s in row.entities]
    entities = [{"label": label, "value": value} for label, value in pairs if value in text]
    return as_json({"text": text, "entities": entities})
