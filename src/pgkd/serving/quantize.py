"""A graph in 8 bits whose output does not depend on the batch.

Activations are quantised token by token, each by its own largest value, as in ZeroQuant (Yao et
al., NeurIPS 2022); weights column by column. onnxruntime's own dynamic quantisation takes one scale
for a whole batch instead: a text's answer then depends on the texts beside it, and one outlier
coarsens them all.

Weights have 7 bits. CPUs without VNNI add two products of 8 bits in 16 bits, which overflow; with
weights of at most 63 they cannot, and where a graph will run is not known when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import ExportError
from pgkd.extras import require

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WEIGHT_MAX = 63
_TABLE_MAX = 127
_LARGE = 1 << 18  # elements: smaller tables are not worth it
_DOMAIN = "com.microsoft"  # of MatMulIntegerToFloat


def quantize(model: Any) -> Any:
    """A copy of a graph with its matrix products, and its large tables, in int8.

    Args:
        model: an `onnx.ModelProto`, as `encoder_graph` makes it.

    Raises:
        ExportError: it has no product with a constant matrix.
        MissingExtraError: the extra ``export`` is not installed.
    """
    return _Quantizer(model).run()


class _Quantizer:
    def __init__(self, model: Any) -> None:
        self._onnx = require("onnx", extra="export", job="Quantising")
        self._model = self._onnx.ModelProto()
        self._model.CopyFrom(model)
        self._graph = self._model.graph
        to_array = self._onnx.numpy_helper.to_array
        self._constants = {i.name: to_array(i) for i in self._graph.initializer}
        self._nodes: list[Any] = []
        self._known: set[str] = set()  # constants and quantised rows that are there already

    def run(self) -> Any:
        products = 0
        for node in self._graph.node:
            constant = self._constants.get(self._matrix_of(node))
            if node.op_type == "MatMul" and constant is not None and constant.ndim == 2:
                self._product(node, constant)
                products += 1
            elif node.op_type == "Gather" and constant is not None and constant.size >= _LARGE:
                self._lookup(node, constant)
            elif node.op_type == "BiasGelu":
                # By tanh, which is off by less than a step of 8 bits and takes two thirds the time.
                self._add("FastGelu", list(node.input), node.output[0], domain=_DOMAIN)
            else:
                self._nodes.append(node)
        if not products:
            raise ExportError("The encoder's graph holds no product that could be quantised.")
        self._replace_nodes()
        return self._model

    @staticmethod
    def _matrix_of(node: Any) -> str:
        at = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        return "" if at is None else str(node.input[at])

    def _product(self, node: Any, weight: NDArray[np.float32]) -> None:
        """``x @ w`` as (x / row, in uint8) @ (w / column, in int8), times row and column."""
        x, name = node.input
        scale = self._constant("unit_scale", np.float32(1 / 127))
        zero = self._constant("unit_zero", np.uint8(128))
        if name not in self._known:
            column = _largest(weight, axis=0) / _WEIGHT_MAX
            self._constant(f"{name}_int8", np.round(weight / column).astype(np.int8))
            self._constant(f"{name}_scale", column.astype(np.float32).reshape(-1))
            self._known.add(name)
        self._quantise_rows(x, scale, zero)
        [out] = node.output
        inputs = [f"{x}_uint8", f"{name}_int8", scale, f"{name}_scale", zero]
        self._add("MatMulIntegerToFloat", inputs, f"{out}_unit", domain=_DOMAIN)
        self._add("Mul", [f"{out}_unit", f"{x}_row"], out)

    def _quantise_rows(self, x: str, scale: str, zero: str) -> None:
        """Divide each row by its largest value and round, once for all products that take it."""
        if x in self._known:
            return
        self._known.add(x)
        least = self._constant("least", np.float32(1e-12))  # of a row of zeros
        # Many small steps of one number a row, for the few that walk over all of x are what costs.
        self._add("ReduceMax", [x], f"{x}_max", axes=[-1], keepdims=1)
        self._add("ReduceMin", [x], f"{x}_min", axes=[-1], keepdims=1)
        self._add("Neg", [f"{x}_min"], f"{x}_depth")
        self._add("Max", [f"{x}_max", f"{x}_depth", least], f"{x}_row")
        self._add("Reciprocal", [f"{x}_row"], f"{x}_inverse")
        self._add("Mul", [x, f"{x}_inverse"], f"{x}_by_row")
        self._add("QuantizeLinear", [f"{x}_by_row", scale, zero], f"{x}_uint8")

    def _lookup(self, node: Any, table: NDArray[np.float32]) -> None:
        """Rows of a table in int8, each with its own scale: a quarter of the bytes."""
        name, ids = node.input
        [out] = node.output
        row = _largest(table, axis=1) / _TABLE_MAX
        coded = self._constant(f"{name}_int8", np.round(table / row).astype(np.int8))
        scales = self._constant(f"{name}_scale", row.astype(np.float32))
        self._add("Gather", [coded, ids], f"{out}_int8")
        self._add("Gather", [scales, ids], f"{out}_scale")
        self._add("Cast", [f"{out}_int8"], f"{out}_float", to=self._onnx.TensorProto.FLOAT)
        self._add("Mul", [f"{out}_float", f"{out}_scale"], out)

    def _constant(self, name: str, value: Any) -> str:
        if name not in self._known:
            self._known.add(name)
            self._graph.initializer.append(self._onnx.numpy_helper.from_array(value, name))
        return name

    def _add(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self._nodes.append(self._onnx.helper.make_node(kind, inputs, [output], **attributes))

    def _replace_nodes(self) -> None:
        """Put the new nodes in place, and drop the constants that none of them uses."""
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        used = {name for node in self._nodes for name in node.input}
        kept = [constant for constant in self._graph.initializer if constant.name in used]
        del self._graph.initializer[:]
        self._graph.initializer.extend(kept)
        if _DOMAIN not in {found.domain for found in self._model.opset_import}:
            self._model.opset_import.append(self._onnx.helper.make_opsetid(_DOMAIN, 1))


def _largest(values: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """The largest size of a number along an axis, kept as one; 1 where all are 0."""
    found: NDArray[np.float64] = np.abs(values).max(axis=axis, keepdims=True).astype(np.float64)
    found[found == 0] = 1.0
    return found
