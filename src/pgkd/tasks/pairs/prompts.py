"""What the teacher is asked: pairs that have one label, or a score within one band."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.data.cells import parse_number
from pgkd.tasks.common import samples
from pgkd.tasks.common.cells import CellPrompts
from pgkd.tasks.common.rows import Rows
from pgkd.tasks.common.samples import LengthTarget, SampleError, SamplesPrompt, read_text, shorten
from pgkd.tasks.common.shares import Target
from pgkd.tasks.pairs.config import PairsConfig
from pgkd.tasks.pairs.data import Pair

_SHOWN, _CONTRAST = 4, 3  # rows of the cell that a request shows, and rows of other cells
_EARLIER, _EARLIER_WORDS = 4, 12  # pairs written before, and words of their first texts
_LEVELS = 4  # steps of a band in the schema

_SYSTEM = """You write training pairs for a small model that reads two texts and predicts {what}.

- Write pairs as they would occur in the real data: the language, topic, tone and length of the \
examples.
- A careful reader who sees both texts of a pair has to agree with its {kind}.
- Make pairs differ from each other and from the examples: other situations, other wording. Vary \
what makes the {kind} right.
- Word overlap must not give the {kind} away.
- Answer with JSON only."""


class PairPrompts(CellPrompts[Pair]):
    """See `CellPrompts`."""

    def __init__(self, config: PairsConfig, dataset: Rows[Pair], folds: NDArray[np.int64]) -> None:
        target = self._target = Target.of(dataset.details)
        cells: dict[str, list[Pair]] = {name: [] for name in target.cells}
        for row in dataset.train:
            cells[target.cell(row)].append(row)
        super().__init__(config, cells, dataset.train, folds)
        columns = zip(*(row.texts for row in dataset.train), strict=True)
        self._lengths = [LengthTarget.of(texts) for texts in columns]
        kind = "label" if target.labels else "score"
        what = "one of the labels " + ", ".join(f'"{name}"' for name in target.labels)
        if not target.labels:
            what = f"a score from {target.low:g} to {target.high:g}"
        system = [_SYSTEM.format(what=what, kind=kind)]
        if scale := config.guidance.scale:
            system.append(f"What a {kind} means: {scale}")
        self._system = "\n\n".join(system)

    def prompt(
        self, id_: str, cell: str, count: int, mined: Mapping[str, Any], written: Sequence[Pair]
    ) -> SamplesPrompt:
        """See `CellPrompts.prompt`."""
        target, near = self._target, self.next_fold(cell)
        own = self.pick([row for row in near if target.cell(row) == cell], _SHOWN)
        others = [name for name in target.cells if name != cell]
        if not target.labels:  # the bands next to it
            others.sort(key=lambda name: abs(target.cells.index(name) - target.cells.index(cell)))
        contrast = []
        for name in others[:_CONTRAST]:
            contrast += self.pick([row for row in near if target.cell(row) == name], 1)
        wanted = f'with the label "{cell}"' if target.labels else f"with a score from {cell}"
        lengths = " ".join(
            f"The {which} text has about {x.usual} {x.unit} ({x.shortest} to {x.longest})."
            for which, x in zip(("first", "second"), self._lengths, strict=True)
        )
        earlier = [row for row in written if target.cell(row) == cell][-_EARLIER:]
        begun = [f"- {shorten(row.text, _EARLIER_WORDS)}" for row in earlier]
        parts = [
            _listed(f"Real pairs {wanted}:", own),
            _listed("Real pairs that are something else:", contrast, outputs=True),
            "\n".join(["Written before; write about other things:", *begun]) if begun else "",
            self._mistake(mined),
            f"Write {count} new pairs {wanted}. {lengths}",
        ]
        text = {"type": "string"}
        item = samples.closed({"text": text, "text_pair": text, **self._output(cell)})
        both = LengthTarget(1, 2, sum(length.longest for length in self._lengths))
        request = samples.samples_request(
            id_, self._system, "\n\n".join(part for part in parts if part), item, count,
            tokens=samples.answer_tokens(count, both), config=self.config,
        )  # fmt: skip
        reasons = (
            f"{cell}: {count} pairs, error rate {mined['error_rate']:.2f}" if mined else cell,
        )
        read = make_item_reader(target, cell)
        return SamplesPrompt(id_, request, count, (*own, *contrast), reasons, read, cell)

    def _output(self, cell: str) -> dict[str, Any]:
        """The schema of a label, or of a score in a band."""
        if self._target.labels:
            return {"label": {"type": "string", "enum": [cell]}}
        low, high = self._target.bounds(cell)
        steps = [round(float(step), 4) for step in np.linspace(low, high, _LEVELS + 1)]
        return {"score": {"type": "number", "enum": steps}}

    def _mistake(self, mined: Mapping[str, Any]) -> str:
        """What the student makes of the rows of a cell, where it helps to know."""
        if self.config.guidance.allocation != "guided":
            return ""
        if taken_for := mined.get("taken_for"):
            return f'The model often takes such pairs for "{taken_for}": show the difference.'
        bias = mined.get("bias", 0.0)
        if abs(bias) < self._target.band / 4:
            return ""
        return f"The model rates such pairs {abs(bias):.1f} too {'high' if bias > 0 else 'low'}."


def make_item_reader(target: Target, cell: str) -> Callable[[Mapping[str, Any]], Pair]:
    """What makes a pair of an item of a reply; see `SamplesPrompt.read`."""
    low, high = (0.0, 0.0) if target.labels else target.bounds(cell)

    def read(item: Mapping[str, Any]) -> Pair:
        texts = read_text(item), read_text(item, "text_pair")
        if target.labels:
            if item.get("label") != cell:
                raise SampleError(f'the label has to be "{cell}"', "another label")
            return Pair(*texts, label=cell)
        try:
            score = parse_number(item.get("score"))
        except ValueError as error:
            raise SampleError(str(error)) from None
        if not low - 1e-6 <= score <= high + 1e-6:
            raise SampleError(f"the score has to be from {low:g} to {high:g}", "another score")
        return Pair(*texts, score=min(max(score, target.low), target.high))

    return read


def _listed(title: str, rows: Sequence[Pair], *, outputs: bool = False) -> str:
    """Rows as a prompt shows them; empty where there are none."""
    lines = [title] if rows else []
    for row in rows:
        told = f" → {row.output}" if outputs or row.score is not None else ""
        lines.append(f"- 1: {shorten(row.text)}\n  2: {shorten(row.text_pair)}{told}")
    return "\n".join(lines)
