"""Rows of an input and an output, both texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from pgkd.data.cells import is_broken, is_missing
from pgkd.errors import DataError
from pgkd.task import Example, Origin
from pgkd.tasks.generation.metrics import OutputMetric


@dataclass(frozen=True, slots=True)
class GenerationExample(Example):
    """An input and the expected output. `metric` scores outputs by it, and is no part of it."""

    text: str
    target: str
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False
    metric: OutputMetric | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_json(cls, data: Mapping[str, Any], metric: OutputMetric | None = None) -> Self:
        """Rebuild an example from `to_json`'s data."""
        origin = Origin.from_json(data.get("origin"))
        return cls(data["text"], data["output"], data["id"], origin, metric=metric)

    @property
    def output(self) -> str:
        """See `Example.output`."""
        return self.target

    def revised(self, text: str | None, output: str | None) -> GenerationExample:
        """See `Example.revised`."""
        text, output = text or self.text, output or self.target
        try:
            if self.metric is not None:
                self.metric.check(text, output)
        except ValueError as error:
            raise DataError(f"This output cannot be used: {error}.") from None
        return replace(self, text=text, target=output, human_verified=True)

    def to_json(self) -> dict[str, Any]:
        """See `Example.to_json`."""
        origin = asdict(self.origin) if self.origin else None
        return {"text": self.text, "output": self.target, "id": self.id, "origin": origin}


def make_example(
    metric: OutputMetric, texts: Sequence[str], cells: Sequence[Any], id_: str
) -> GenerationExample:
    """An example of a row's cells; see `pgkd.tasks.common.rows.Make`."""
    output = cells[0]
    if is_missing(output):
        raise ValueError("it has no output")
    if not isinstance(output, str) or is_broken(output):
        raise ValueError(f"its output is no text but a value of type {type(output).__name__}")
    metric.check(texts[0], output.strip())
    return GenerationExample(texts[0], output.strip(), id_, metric=metric)
