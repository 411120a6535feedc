"""How large the numbers inside a graph become, channel by channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.extras import require
from pgkd.serving.onnx_model import batches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Range:
    """The least and the largest number of each channel, both of shape (channels,)."""

    least: NDArray[np.float32]
    largest: NDArray[np.float32]

    @property
    def size(self) -> NDArray[np.float32]:
        """The largest size of a number, shape (channels,)."""
        found: NDArray[np.float32] = np.maximum(self.largest, -self.least)
        return found


def ranges(model: Any, names: Sequence[str], rows: Sequence[Sequence[int]]) -> dict[str, Range]:
    """Run a graph on texts and look at numbers inside it.

    Args:
        model: an `onnx.ModelProto`, as `encoder_graph` makes it; it is not changed.
        names: outputs of its nodes, of shape (batch, length, channels).
        rows: token ids of n texts, n at least 1.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
    """
    onnx = require("onnx", extra="export", job="Quantising")
    runtime = require("onnxruntime", extra="export", job="Quantising")
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    unknown = onnx.helper.make_tensor_value_info
    opened.graph.output.extend(unknown(name, onnx.TensorProto.FLOAT, None) for name in names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    found: dict[str, Range] = {}
    for _, inputs in batches(rows):
        shown = inputs["attention_mask"] > 0  # and not what fills rows up
        for name, numbers in zip(names, session.run(list(names), inputs), strict=True):
            of_tokens = numbers[shown]
            new = Range(of_tokens.min(axis=0), of_tokens.max(axis=0))
            old = found.get(name, new)
            found[name] = Range(
                np.minimum(old.least, new.least), np.maximum(old.largest, new.largest)
            )
    return found
