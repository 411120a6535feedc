"""Shapes that a traced graph computes anew for every batch, told beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.export.inside import look_inside
from pgkd.export.onnx_model import INPUTS
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence

    Shape = tuple[int, ...]

_SIZES = ((2, 3), (5, 7))  # (batch, length): no number of the one is one of the other


def fix_reshapes(model: Any) -> None:
    """Give every reshape its target as a constant, where 0 copies a dimension of what it takes.

    A tracer writes down how the target is computed from the sizes of a batch: a dozen small nodes a
    layer, which cost a text that comes alone what they cost a batch. Which dimensions are copied,
    and which are always the same, is seen by running the graph on batches of two sizes. A reshape
    that does something else with them stays as it is.

    Args:
        model: an `onnx.ModelProto` with `INPUTS`; it is changed.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
    """
    onnx = require("onnx", extra="export", job="Exporting an encoder")
    made = {name for node in model.graph.node for name in node.output}
    reshapes = [n for n in model.graph.node if n.op_type == "Reshape" and n.input[0] in made]
    look = look_inside(model, sorted({x for n in reshapes for x in (n.input[0], n.output[0])}))
    shapes = [
        {name: found.shape for name, found in look(dict.fromkeys(INPUTS, ones)).items()}
        for ones in (np.ones(size, dtype=np.int64) for size in _SIZES)
    ]
    for node in reshapes:
        taken, given = ([of_size[x] for of_size in shapes] for x in (node.input[0], node.output[0]))
        target = _target(taken, given)
        if target is not None:
            node.input[1] = f"{node.output[0]}_shape"
            constant = np.array(target, dtype=np.int64)
            model.graph.initializer.append(onnx.numpy_helper.from_array(constant, node.input[1]))
    drop_unused(model.graph)


def drop_unused(graph: Any) -> None:
    """Drop the nodes and the constants of an `onnx.GraphProto` that no output needs."""
    used = {output.name for output in graph.output}
    nodes = []
    for node in reversed(graph.node):  # they stand in the order of their work
        if used.intersection(node.output):
            used.update(node.input)
            nodes.append(node)
    constants = [constant for constant in graph.initializer if constant.name in used]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(reversed(nodes))
    graph.initializer.extend(constants)


def _target(taken: Sequence[Shape], given: Sequence[Shape]) -> list[int] | None:
    """What tells for batches of every size, and not of one alone, what a reshape gives."""
    target: list[int] = []
    for axis, sizes in enumerate(zip(*given, strict=True)):
        if [shape[axis : axis + 1] for shape in taken] == [(size,) for size in sizes]:
            target.append(0)
        elif len(set(sizes)) == 1:
            target.append(sizes[0])
        else:
            return None
    return target
