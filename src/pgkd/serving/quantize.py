"""A graph in 8 bits whose output does not depend on the batch.

onnxruntime's own dynamic quantisation takes one scale for all activations of a batch: a text's
answer then depends on the texts beside it, and one outlier coarsens them all. Here

- what a layer norm gives, and what attention mixes, has a scale for each channel that is fixed
  beforehand, on texts that the student was trained on. It is shared out between activations and
  weights as in SmoothQuant (Xiao et al., ICML 2023), for a few channels have large outliers;
- whatever else, the middle of the feed-forward layers, has one for each token, by its own largest
  value, as in ZeroQuant (Yao et al., NeurIPS 2022): its range differs too much from text to text.

Weights have a scale for each column, and 7 bits. CPUs without VNNI add two products of 8 bits in 16
bits, which overflow; with weights of at most 63 they cannot, and where a graph will run is not
known when it is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import ExportError
from pgkd.extras import require
from pgkd.serving.calibration import Range, ranges

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_WEIGHT_MAX = 63
_TABLE_MAX = 127
_LARGE = 1 << 18  # elements: smaller tables are not worth it
_DOMAIN = "com.microsoft"  # of MatMulIntegerToFloat
_STEADY = {"LayerNormalization", "Reshape"}  # what gives them: a reshape joins attention's heads
_LEAST_SHARE = 1e-3  # of the largest channel: one that never moved is not divided by nothing


def quantize(model: Any, rows: Sequence[Sequence[int]]) -> Any:
    """A copy of a graph with its matrix products, and its large tables, in int8.

    Args:
        model: an `onnx.ModelProto`, as `encoder_graph` makes it.
        rows: token ids of texts such as it will be given, at least one, to fix scales by.

    Raises:
        ExportError: it has no product with a constant matrix.
        MissingExtraError: the extra ``export`` is not installed.
    """
    return _Quantizer(model).run(rows)


class _Quantizer:
    def __init__(self, model: Any) -> None:
        self._onnx = require("onnx", extra="export", job="Quantising")
        self._model = self._onnx.ModelProto()
        self._model.CopyFrom(model)
        self._graph = self._model.graph
        to_array = self._onnx.numpy_helper.to_array
        self._constants = {i.name: to_array(i) for i in self._graph.initializer}
        self._old = self._resolved(self._graph.node)
        self._makers = {name: node for node in self._old for name in node.output}
        self._nodes: list[Any] = []
        self._known: set[str] = set()  # values, and constants, that are there already
        self._takers: dict[str, list[Any]] = {}
        for node in self._old:
            for name in node.input:
                self._takers.setdefault(name, []).append(node)

    def run(self, rows: Sequence[Sequence[int]]) -> Any:
        products = [node for node in self._old if self._is_product(node)]
        if not products:
            raise ExportError("The encoder's graph holds no product that could be quantised.")
        taken = {node.input[0] for node in products} & set(self._makers)
        steady = sorted(x for x in taken if self._makers[x].op_type in _STEADY)
        found = ranges(self._model, steady, rows)
        smooth = {x: self._smooth(x, found[x]) for x in steady}
        for node in self._old:
            x = node.input[0] if node.input else ""
            if self._known.intersection(node.output):
                continue
            if self._is_product(node) and x in steady:
                self._steady_product(node, found[x], smooth[x])
            elif self._is_product(node):
                self._row_product(node)
            elif node.op_type == "Gather" and self._constant_size(x) >= _LARGE:
                self._lookup(node, self._constants[x])
            else:
                self._nodes.append(node)
        self._replace_nodes()
        return self._model

    def _resolved(self, nodes: Iterable[Any]) -> list[Any]:
        """The nodes, without those that give an equal constant another name."""
        names: dict[str, str] = {}
        kept = []
        for node in nodes:
            if node.op_type == "Identity" and node.input[0] in self._constants:
                names[node.output[0]] = node.input[0]
                continue
            node.input[:] = [names.get(name, name) for name in node.input]
            kept.append(node)
        return kept

    def _is_product(self, node: Any) -> bool:
        matrix = self._constants.get(node.input[1]) if node.op_type == "MatMul" else None
        return matrix is not None and matrix.ndim == 2

    def _constant_size(self, name: str) -> int:
        return self._constants[name].size if name in self._constants else 0

    def _smooth(self, x: str, found: Range) -> NDArray[np.float32]:
        """What divides each channel of `x`: half way between its own range and its weights'."""
        products = filter(self._is_product, self._takers[x])
        weights = [self._constants[node.input[1]] for node in products]
        of_weights = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
        activations, weighed = (
            np.maximum(size, _LEAST_SHARE * (size.max() or 1.0))
            for size in (found.size, of_weights)
        )
        divisor: NDArray[np.float32] = np.sqrt(activations / weighed).astype(np.float32)
        return divisor

    def _steady_product(self, node: Any, found: Range, divisor: NDArray[np.float32]) -> None:
        """``x @ w`` as (x / divisor, in uint8) @ (divisor * w, in int8), by one scale for all."""
        x, name = node.input
        least = min(0.0, float((found.least / divisor).min()))
        step = (max(0.0, float((found.largest / divisor).max())) - least) / 255 or 1.0
        scale = self._constant(f"{x}_step", np.float32(step))
        zero = self._constant(f"{x}_zero", np.uint8(np.clip(np.round(-least / step), 0, 255)))
        if f"{x}_uint8" not in self._known:
            self._known.add(f"{x}_uint8")
            factor = self._constant(f"{x}_factor", 1 / divisor)
            self._add("Mul", [x, factor], f"{x}_even")
            self._add("QuantizeLinear", [f"{x}_even", scale, zero], f"{x}_uint8")
        weight = divisor[:, None] * self._constants[name]
        bias, out = self._bias_after(node.output[0])
        self._multiply(x, name, weight, (scale, zero), out, bias)

    def _bias_after(self, product: str) -> tuple[str, str]:
        """The bias that is added to a product and what that gives; or none, and the product."""
        takers = self._takers.get(product, [])
        if len(takers) == 1 and takers[0].op_type == "Add":
            for name in takers[0].input:
                if name in self._constants and self._constants[name].ndim == 1:
                    [out] = takers[0].output
                    self._known.add(out)
                    return name, out
        return "", product

    def _row_product(self, node: Any) -> None:
        """``x @ w`` as (x / row, in uint8) @ (w, in int8), times row."""
        x, name = node.input
        scale = self._constant("unit_scale", np.float32(1 / 127))
        zero = self._constant("unit_zero", np.uint8(128))
        if f"{x}_uint8" not in self._known:
            self._known.add(f"{x}_uint8")
            last = self._constant("last_axis", np.array([-1], dtype=np.int64))
            least = self._constant("least", np.float32(1e-12))  # of a row of zeros
            # Many small steps of one number a row: the few that walk over all of x are what costs.
            self._add("ReduceMax", [x, last], f"{x}_max", keepdims=1)
            self._add("ReduceMin", [x, last], f"{x}_min", keepdims=1)
            self._add("Neg", [f"{x}_min"], f"{x}_depth")
            self._add("Max", [f"{x}_max", f"{x}_depth", least], f"{x}_row")
            self._add("Reciprocal", [f"{x}_row"], f"{x}_inverse")
            self._add("Mul", [x, f"{x}_inverse"], f"{x}_by_row")
            self._add("QuantizeLinear", [f"{x}_by_row", scale, zero], f"{x}_uint8")
        [out] = node.output
        self._multiply(x, name, self._constants[name], (scale, zero), f"{out}_unit")
        self._add("Mul", [f"{out}_unit", f"{x}_row"], out)

    def _multiply(
        self,
        x: str,
        name: str,
        weight: NDArray[np.float32],
        step: tuple[str, str],
        output: str,
        bias: str = "",
    ) -> None:
        """The product of `x` in uint8 and a matrix, each of whose columns has its own scale."""
        column = _largest(weight, axis=0) / _WEIGHT_MAX
        coded = self._constant(f"{x} {name}_int8", np.round(weight / column).astype(np.int8))
        scales = self._constant(f"{x} {name}_scale", column.astype(np.float32).reshape(-1))
        scale, zero = step
        inputs = [f"{x}_uint8", coded, scale, scales, zero, *(("", bias) if bias else ())]
        self._add("MatMulIntegerToFloat", inputs, output, domain=_DOMAIN)

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
