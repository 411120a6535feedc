"""Prompts for inputs and outputs, and the check of what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from pgkd.data.json_fields import JSONFields
from pgkd.task import Answer
from pgkd.tasks.common import samples
from pgkd.tasks.common.samples import SampleError, SamplesPrompt, shorten
from pgkd.tasks.generation.config import GenerationConfig
from pgkd.tasks.generation.data import GenerationExample
from pgkd.tasks.generation.metrics import WHOLE, OutputMetric, OutputScore
from pgkd.text import as_json

_SHOWN = 6  # rows of a prompt
_WRONG = 3  # of them, those that the student gets wrong
_AUTO = 8  # rows that a request asks for
_ITEM = samples.closed({"input": {"type": "string"}, "output": {"type": "string"}})
_SYSTEM = (
    "You write training data for a small model that turns an input into an output. "
    "Every output has to be exactly right for its input, in the form of the examples."
)
INVALID = "invalid output"
"""Why a sample is rejected whose output cannot be right."""


class MinedPair(NamedTuple):
    """A training row, what a student that never saw it answers, and the row's fold."""

    row: GenerationExample
    answer: Answer
    score: OutputScore
    fold: int


class PairWriter:
    """Writes the prompts of a run for its training rows."""

    def __init__(
        self, config: GenerationConfig, rows: Sequence[GenerationExample], metric: OutputMetric
    ) -> None:
        self._config, self._metric = config, metric
        texts = config.guidance.texts_per_request
        self.per_request = _AUTO if texts == "auto" else texts
        pairs = ((row.text, row.target) for row in rows)
        self._fields = JSONFields(pairs) if config.metric.kind == "json" else None
        self._length = samples.LengthTarget.of([row.text for row in rows])
        self._longest = max(len(row.target) for row in rows)

    def prompt(self, id_: str, part: str, count: int, rows: Sequence[MinedPair]) -> SamplesPrompt:
        """Ask for so many rows whose output has a part; `rows` are all training rows.

        The rows shown are of one fold: what is written from a look at them trains all other folds.
        """
        rng = np.random.default_rng([self._config.seed, crc32(id_.encode())])
        order = [rows[i] for i in rng.permutation(len(rows)).tolist()]
        wrong = [each for each in order if part in each.score.wrong]
        having = [each for each in order if part in self._metric.parts(each.row.target)]
        fold = (wrong or having or order)[0].fold
        # The surest mistakes, of twice as many as are shown, so that prompts differ.
        sure = [each for each in wrong if each.fold == fold][: 2 * _WRONG]
        sure = sorted(sure, key=lambda each: -each.answer["probability"])[:_WRONG]
        found = {each.row.id: each for each in (*sure, *having, *order) if each.fold == fold}
        shown, lines = list(found.values())[:_SHOWN], []
        lines.append("Examples:")
        for each in shown:
            pair = {"input": shorten(each.row.text), "output": each.row.target}
            lines.append(as_json(pair))
            if each in sure:
                answer = shorten(each.answer["output"]) or "nothing"
                lines.append(f"  The model wrongly answered: {answer} ({each.score.reason})")
        what = "" if part == WHOLE else f' Every output has the part "{part}".'
        words = self._length
        lines += [
            "",
            f"Write {count} new examples, different from these and from each other, of the kind "
            f"that the model gets wrong.{what} Inputs have {words.shortest} to {words.longest} "
            f"{words.unit}. Vary wording, names and values.",
            'Reply with JSON: {"samples": [{"input": "...", "output": "..."}]}. Every output is a '
            "string, as in the examples.",
        ]
        request = samples.samples_request(
            id_, _SYSTEM, "\n".join(lines), _ITEM, count, config=self._config,
            tokens=samples.answer_tokens(count, words) + count * self._longest // 2,
        )  # fmt: skip
        reason = f"{len(wrong)} of {len(having)} rows with {part} are wrong"
        kept = tuple(each.row for each in shown)
        return SamplesPrompt(id_, request, count, kept, (reason,), self.read, part)

    def read(self, item: Mapping[str, Any]) -> GenerationExample:
        """An example of an item of a reply.

        Raises:
            SampleError: it is none, or its output cannot be right.
        """
        text, output = samples.read_text(item, "input"), item.get("output")
        if isinstance(output, dict):  # some models answer with the object itself
            output = json.dumps(output, ensure_ascii=False, sort_keys=True)
        if not isinstance(output, str):
            raise SampleError("output has to be a string")
        if len(output) > 2 * self._longest + 100:
            raise SampleError(f"the output has {len(output)} characters", INVALID)
        try:
            output.encode()  # half a character has no place in a file
            self._metric.check(text, output.strip())
            if self._fields is not None:
                self._fields.check(text, output)
        except ValueError as error:
            raise SampleError(f"the output cannot be used: {error}", INVALID) from None
        return GenerationExample(text, output.strip(), metric=self._metric)
