"""What the teacher is asked: texts with stated sets of labels.

A request is about one label. Its texts have sets of labels as the rows have them, so that the
teacher writes what occurs together; sets that the student forgets as a whole come more often. The
reply states each set again: a text whose labels were not asked for is not used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from pgkd.tasks.common.cells import CellPrompts
from pgkd.tasks.common.labels import taxonomy_of
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import (
    LengthTarget,
    SampleError,
    SamplesPrompt,
    answer_tokens,
    closed,
    read_text,
    samples_request,
    shorten,
)
from pgkd.tasks.multilabel.config import MultiLabelConfig
from pgkd.tasks.multilabel.data import MultiLabelText
from pgkd.text import as_json, shown

NO_LABEL = "(no label)"
"""The cell of texts that no label fits."""

WRONG_LABELS, UNKNOWN_LABEL = "labels not asked for", "unknown label"

_SHOWN = 4  # rows of a request with its label, and as many others at most
_LISTED = 60  # labels that every request lists; of more, those that it is about

_SYSTEM = """You write training texts for a classifier that gives a text any number of labels, as \
the people who send such texts would write them.

Rules:
- Each text has exactly the labels that are asked for: a careful reader finds every one of them in \
the text, and no other label.
- Match the shown texts in language, tone, length and spelling. Never copy or paraphrase them.
- Every text is different: other situations, other wording, other openings.
- No placeholders such as [name], no numbering, no quotes around a text.
- Say with each text which labels it has. If it has fewer than were asked for, say those.
- Answer with JSON only."""


class MultiLabelPrompt(SamplesPrompt):
    """A `SamplesPrompt` for texts with labels."""

    def parents(self, example: Any) -> tuple[str, ...]:
        """See `Prompt.parents`: rows with one of its labels, or like it with none."""
        has = set(example.labels or (NO_LABEL,))
        return tuple(row.id for row in self.shown if has & {*(row.labels or (NO_LABEL,))})  # type: ignore[attr-defined]


class MultiLabelPrompts(CellPrompts[MultiLabelText]):
    """See `CellPrompts`: a cell is a label, or that there is none."""

    def __init__(
        self, config: MultiLabelConfig, dataset: Rows[MultiLabelText], folds: NDArray[np.int64]
    ) -> None:
        self._taxonomy = taxonomy_of(dataset)
        cells: dict[str, list[MultiLabelText]] = {name: [] for name in self._taxonomy.names}
        for row in dataset.train:
            for label in row.labels or (NO_LABEL,):
                cells.setdefault(label, []).append(row)
        super().__init__(config, cells, dataset.train, folds)
        self._length = LengthTarget.of([row.text for row in dataset.train])

    def prompt(
        self, id_: str, cell: str, count: int, mined: Mapping[str, Any], written: Sequence[Any]
    ) -> SamplesPrompt:
        """See `CellPrompts.prompt`."""
        confused, forgotten = (
            [name for name in mined.get(key, ()) if name != NO_LABEL]
            for key in ("confused_with", "forgotten_with")
        )
        wanted, confused = self._sets(id_, cell, count, forgotten), confused[:2]
        names = {name for labels in wanted for name in labels} | set(confused)
        rows, length = self._rows(cell, confused), self._length
        listed = [c for c in self._taxonomy if len(self._taxonomy) <= _LISTED or c.name in names]
        lines = ["The labels:"]
        lines += [f"- {c.name}" + (f": {c.description}" if c.description else "") for c in listed]
        lines += ["", "Real texts and their labels:"]
        lines += [f"{i}. {as_json(r.labels)} {shorten(r.text)}" for i, r in enumerate(rows, 1)]
        if confused:
            lines += ["", f"Often mistaken: {cell} and {' or '.join(confused)}. A text has one of "
                      "them only where it is asked for."]  # fmt: skip
        lines += ["", f"Write {count} new texts, each of about {length.usual} {length.unit} (from "
                  f"{length.shortest} to {length.longest}), with these labels:"]  # fmt: skip
        lines += [f"{i}. {as_json(labels)}" for i, labels in enumerate(wanted, start=1)]
        lines += ["", 'Answer: {"samples": [{"labels": ["…"], "text": "…"}, …]}']
        label = {"type": "string", "enum": sorted(names) or list(self._taxonomy.names)}
        labels_schema = {"type": "array", "items": label}
        request = samples_request(
            id_, _SYSTEM, "\n".join(lines),
            closed({"labels": labels_schema, "text": {"type": "string"}}), count,
            tokens=answer_tokens(count, length), config=self.config,
        )  # fmt: skip
        reason = f"{cell}: F1 {mined['f1']:.2f} on {mined['n']} rows" if mined else cell
        read = partial(read_sample, frozenset(self._taxonomy.names), tuple(map(frozenset, wanted)))
        return MultiLabelPrompt(id_, request, count, tuple(rows), (reason,), read, cell)

    def _sets(
        self, id_: str, cell: str, count: int, forgotten: Sequence[str]
    ) -> list[tuple[str, ...]]:
        """Sets of labels with this one, drawn as often as rows have them."""
        if cell == NO_LABEL:
            return [()] * count
        times = Counter([(cell,), *(row.labels for row in self.rows[cell])])
        times.update(tuple(sorted((cell, other))) for other in forgotten)
        sets = sorted(times)
        shares = np.array([times[each] for each in sets]) / times.total()
        rng = np.random.default_rng([self.config.seed, crc32(id_.encode())])
        return [sets[i] for i in np.sort(rng.choice(len(sets), size=count, p=shares))]

    def _rows(self, cell: str, others: Sequence[str]) -> list[MultiLabelText]:
        """Rows of one fold: of the label, of what it is confused with, and others where few."""
        near = self.next_fold(cell)
        chosen = self.pick([row for row in near if cell in (row.labels or (NO_LABEL,))], _SHOWN)
        for other in others:
            those = [row for row in near if other in row.labels and row not in chosen]
            chosen += self.pick(those, 2)
        rest = [row for row in near if row not in chosen]
        return chosen + self.pick(rest, max(0, _SHOWN - len(chosen)))


def read_sample(
    known: frozenset[str], wanted: Sequence[frozenset[str]], item: Mapping[str, Any]
) -> MultiLabelText:
    """An example of an item of a reply.

    The set that it states is one that was asked for, or a part of one: a teacher that could not
    bring in every label says so, and its text is a good one of the labels it has.

    Raises:
        SampleError: it is none.
    """
    stated = item.get("labels")
    if not isinstance(stated, list) or not all(isinstance(each, str) for each in stated):
        raise SampleError("labels has to be a list of strings")
    labels = {each.strip() for each in stated}
    if unknown := sorted(labels - known):
        raise SampleError(f"there is no label '{shown(unknown[0])}'", UNKNOWN_LABEL)
    if labels not in wanted and not (labels and any(labels < each for each in wanted)):
        found = as_json(sorted(labels)[:10])
        raise SampleError(f"the labels {found} were not asked for together", WRONG_LABELS)
    return MultiLabelText(read_text(item), tuple(sorted(labels)))
