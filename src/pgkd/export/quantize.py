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
known when it is made. `pgkd.export.rounding` tells how they are rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import ExportError
from pgkd.export.calibration import Seen, observe
from pgkd.export.rounding import largest, round_weights
from pgkd.export.shapes import drop_unused
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

_TABLE_MAX = 127
_LARGE = 1 << 18  # elements: smaller tables are not worth it
_GELU_LOWEST = -0.17  # nothing that GELU gives is below it
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
        seen = observe(self._model, sorted({node.input[0] for node in products}), rows)
        steady = [x for x in seen if self._makers[x].op_type in _STEADY]
        smooth = {x: self._smooth(x, seen[x]) for x in steady}
        for node in self._old:
            x = node.input[0] if node.input else ""
            if self._known.intersection(node.output):
                continue
            if self._is_product(node) and x in smooth:
                self._steady_product(node, seen[x], smooth[x])
            elif self._is_product(node):
                self._row_product(node, seen[x])
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
        if node.op_type != "MatMul" or node.input[0] not in self._makers:
            return False
        matrix = self._constants.get(node.input[1])
        return matrix is not None and matrix.ndim == 2

    def _constant_size(self, name: str) -> int:
        return self._constants[name].size if name in self._constants else 0

    def _smooth(self, x: str, seen: Seen) -> NDArray[np.float32]:
        """What divides each channel of `x`: half way between its own range and its weights'."""
        products = filter(self._is_product, self._takers[x])
        weights = [self._constants[node.input[1]] for node in products]
        of_weights = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
        activations, weighed = (
            np.maximum(size, _LEAST_SHARE * (size.max() or 1.0)) for size in (seen.size, of_weights)
        )
        divisor: NDArray[np.float32] = np.sqrt(activations / weighed).astype(np.float32)
        return divisor

    def _steady_product(self, node: Any, seen: Seen, divisor: NDArray[np.float32]) -> None:
        """``x @ w`` as (x / divisor, in uint8) @ (divisor * w, in int8), by one scale for all."""
        x, name = node.input
        least = min(0.0, float((seen.least / divisor).min()))
        step = (max(0.0, float((seen.largest / divisor).max())) - least) / 255 or 1.0
        scale = self._constant(f"{x}_step", np.float32(step))
        zero = self._constant(f"{x}_zero", np.uint8(np.clip(np.round(-least / step), 0, 255)))
        if f"{x}_uint8" not in self._known:
            self._known.add(f"{x}_uint8")
            factor = self._constant(f"{x}_factor", 1 / divisor)
            self._add("Mul", [x, factor], f"{x}_even")
            self._add("QuantizeLinear", [f"{x}_even", scale, zero], f"{x}_uint8")
        weight = divisor[:, None] * self._constants[name]
        coded = round_weights(weight, seen.moment / np.outer(divisor, divisor))
        bias, out = self._bias_after(node.output[0])
        self._multiply(x, name, coded, (scale, zero), out, bias)

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

    def _row_product(self, node: Any, seen: Seen) -> None:
        """``x @ w`` as (x / row, in uint8) @ (w, in int8), times row."""
        x, name = node.input
        lowest = _GELU_LOWEST if self._makers[x].op_type == "Gelu" else -1.0
        step = (1 - lowest) / 255
        scale = self._constant(f"step_from_{lowest}", np.float32(step))
        zero = self._constant(f"zero_from_{lowest}", np.uint8(round(-lowest / step)))
        if f"{x}_uint8" not in self._known:
            self._known.add(f"{x}_uint8")
            self._add_row(x, lowest)
            self._add("Reciprocal", [f"{x}_row"], f"{x}_inverse")
            self._add("Mul", [x, f"{x}_inverse"], f"{x}_by_row")
            self._add("QuantizeLinear", [f"{x}_by_row", scale, zero], f"{x}_uint8")
        [out] = node.output
        coded = round_weights(self._constants[name], seen.moment)
        self._multiply(x, name, coded, (scale, zero), f"{out}_unit")
        self._add("Mul", [f"{out}_unit", f"{x}_row"], out)

    def _add_row(self, x: str, lowest: float) -> None:
        """What divides each row of `x`, so that it lies between `lowest` and 1."""
        last = self._constant("last_axis", np.array([-1], dtype=np.int64))
        # Many small steps of one number a row: the few that walk over all of x are what costs.
        self._add("ReduceMax", [x, last], f"{x}_max", keepdims=1)
        if lowest == -1:
            least = self._constant("least", np.float32(1e-12))  # of a row of zeros
            self._add("ReduceMin", [x, last], f"{x}_min", keepdims=1)
            self._add("Neg", [f"{x}_min"], f"{x}_depth")
            self._add("Max", [f"{x}_max", f"{x}_depth", least], f"{x}_row")
        else:
            self._add("Max", [f"{x}_max", self._constant("one", np.float32(1))], f"{x}_row")

    def _multiply(
        self,
        x: str,
        name: str,
        coded: tuple[NDArray[np.int8], NDArray[np.float32]],
        step: tuple[str, str],
        output: str,
        bias: str = "",
    ) -> None:
        """The product of `x` in uint8 and a matrix, each of whose columns has its own scale."""
        weights = self._constant(f"{x} {name}_int8", coded[0])
        scales = self._constant(f"{x} {name}_scale", coded[1])
        scale, zero = step
        inputs = [f"{x}_uint8", weights, scale, scales, zero, *(("", bias) if bias else ())]
        self._add("MatMulIntegerToFloat", inputs, output, domain=_DOMAIN)

    def _lookup(self, node: Any, table: NDArray[np.float32]) -> None:
        """Rows of a table in int8, each with its own scale: a quarter of the bytes."""
        name, ids = node.input
        [out] = node.output
        row = largest(table, axis=1) / _TABLE_MAX
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
        """Put the new nodes in place, and drop what none of them uses."""
        del self._graph.node[:]
        self._graph.node.extend(self._nodes)
        drop_unused(self._graph)
        if _DOMAIN not in {found.domain for found in self._model.opset_import}:
            self._model.opset_import.append(self._onnx.helper.make_opsetid(_DOMAIN, 1))
