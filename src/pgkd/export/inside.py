"""The numbers inside a graph, for what is decided by looking at them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Look = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]

_JOB = "Exporting an encoder"


def look_inside(model: Any, names: Sequence[str]) -> Look:
    """Open a graph so that values inside it are seen.

    Args:
        model: an `onnx.ModelProto`; it is not changed.
        names: outputs of its nodes.

    Returns:
        Runs the graph on inputs by name and gives those values by theirs.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
    """
    onnx = require("onnx", extra="export", job=_JOB)
    runtime = require("onnxruntime", extra="export", job=_JOB)
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = runtime.InferenceSession(
        opened.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda inputs: dict(zip(names, session.run(list(names), dict(inputs)), strict=True))
