"""What the numbers inside a graph are like, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.export.inside import look_inside
from pgkd.export.onnx_model import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_TOKENS = 16_384  # more than the channels of a wide layer, and soon looked at


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a value with channels.

    Attributes:
        least: number of each channel, shape (channels,).
        largest: the same.
        moment: sum over all tokens of the outer product of a token's numbers with themselves, shape
            (channels, channels).
    """

    least: NDArray[np.float32]
    largest: NDArray[np.float32]
    moment: NDArray[np.float32]

    @property
    def size(self) -> NDArray[np.float32]:
        """The largest size of a number, shape (channels,)."""
        found: NDArray[np.float32] = np.maximum(self.largest, -self.least)
        return found

    def __add__(self, other: Seen) -> Seen:
        """What was seen of both."""
        return Seen(
            np.minimum(self.least, other.least),
            np.maximum(self.largest, other.largest),
            self.moment + other.moment,
        )


def observe(model: Any, names: Sequence[str], rows: Sequence[Sequence[int]]) -> dict[str, Seen]:
    """Run a graph on texts and look at numbers inside it.

    Args:
        model: an `onnx.ModelProto`, as `encoder_graph` makes it; it is not changed.
        names: outputs of its nodes, the last axis of which are channels. Of shape (batch, length,
            channels), what fills rows up is not looked at; another, as of DeBERTa's relative
            positions, is looked at as a whole.
        rows: token ids of n texts, n at least 1. Where they are many, some from all over them are
            looked at.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
    """
    look = look_inside(model, names)
    seen: dict[str, Seen] = {}
    for _, inputs in batches(_some(rows)):
        shown = inputs["attention_mask"] > 0
        for name, numbers in look(inputs).items():
            per_token = numbers.shape[:-1] == shown.shape
            found = numbers[shown] if per_token else numbers.reshape(-1, numbers.shape[-1])
            new = Seen(found.min(axis=0), found.max(axis=0), found.T @ found)
            seen[name] = seen[name] + new if name in seen else new
    return seen


def _some(rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """About as many as hold `_TOKENS` tokens, evenly spread."""
    n = min(len(rows), max(1, _TOKENS * len(rows) // sum(map(len, rows))))
    return [rows[i * len(rows) // n] for i in range(n)]
