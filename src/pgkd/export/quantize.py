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
known when it is made. `round_weights` rounds them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import ExportError
from pgkd.export.graph import drop_unused, look_inside
from pgkd.export.predictor import batches
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

_JOB = "Exporting an encoder"


_TOKENS = 16_384  # more than the channels of a wide layer, and soon looked at


@dataclass(frozen=True, slots=True)
class ActivationStats:
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

    def __add__(self, other: ActivationStats) -> ActivationStats:
        """What was seen of both."""
        return ActivationStats(
            np.minimum(self.least, other.least),
            np.maximum(self.largest, other.largest),
            self.moment + other.moment,
        )


def observe(
    model: Any, names: Sequence[str], rows: Sequence[Sequence[int]]
) -> dict[str, ActivationStats]:
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
    seen: dict[str, ActivationStats] = {}
    for _, inputs in batches(_some(rows)):
        shown = inputs["attention_mask"] > 0
        for name, numbers in look(inputs).items():
            per_token = numbers.shape[:-1] == shown.shape
            found = numbers[shown] if per_token else numbers.reshape(-1, numbers.shape[-1])
            new = ActivationStats(found.min(axis=0), found.max(axis=0), found.T @ found)
            seen[name] = seen[name] + new if name in seen else new
    return seen


def _some(rows: Sequence[Sequence[int]]) -> list[Sequence[int]]:
    """About as many as hold `_TOKENS` tokens, evenly spread."""
    n = min(len(rows), max(1, _TOKENS * len(rows) // sum(map(len, rows))))
    return [rows[i * len(rows) // n] for i in range(n)]


LARGEST = 63  # of a weight: 7 bits, for CPUs that add two products of 8 bits in 16
_BLOCK = 64  # rows that are rounded before the rows below hear of it
_DAMPING = 0.01  # of the mean moment: channels that hardly moved are not relied on


def round_weights(weight: Floats, moment: Floats) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """A matrix in 7 bits whose products err little on inputs such as were seen.

    The rows are rounded one after the other. What a row's rounding does to a product is made good,
    as far as the inputs tell, by the rows below it, as in GPTQ (Frantar et al., ICLR 2023).

    Args:
        weight: shape (inputs, outputs).
        moment: of the inputs, the sum of the outer products of each with itself; shape (inputs,
            inputs).

    Returns:
        Whole numbers up to `LARGEST`, shape (inputs, outputs), and what multiplies each column,
        shape (outputs,).
    """
    scale = largest(weight, axis=0)[0] / LARGEST
    left = np.array(weight, dtype=np.float64)
    coded = np.empty(weight.shape, dtype=np.int8)
    factor = _inverse_hessian_factor(np.asarray(moment, dtype=np.float64))
    for start in range(0, len(left), _BLOCK):
        block = slice(start, min(start + _BLOCK, len(left)))
        errors = np.empty_like(left[block])
        for row in range(block.start, block.stop):
            coded[row] = np.clip(np.round(left[row] / scale), -LARGEST, LARGEST)
            error = (left[row] - coded[row] * scale) / factor[row, row]
            left[row : block.stop] -= np.outer(factor[row, row : block.stop], error)
            errors[row - start] = error
        left[block.stop :] -= factor[block, block.stop :].T @ errors
    return coded, scale.astype(np.float32)


def largest(values: Floats, axis: int) -> NDArray[np.float64]:
    """The largest size of a number along an axis, kept as one; 1 where all are 0."""
    found: NDArray[np.float64] = np.abs(values).max(axis=axis, keepdims=True).astype(np.float64)
    found[found == 0] = 1.0
    return found


def _inverse_hessian_factor(moment: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of a row's error each row below takes: the upper root of the inverse moment."""
    damping = _DAMPING * np.trace(moment) / len(moment) or 1.0
    inverse = np.linalg.inv(moment + damping * np.eye(len(moment)))
    return np.linalg.cholesky(inverse).T.astype(np.float64)


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

    def _smooth(self, x: str, seen: ActivationStats) -> NDArray[np.float32]:
        """What divides each channel of `x`: half way between its own range and its weights'."""
        products = filter(self._is_product, self._takers[x])
        weights = [self._constants[node.input[1]] for node in products]
        of_weights = np.max([np.abs(weight).max(axis=1) for weight in weights], axis=0)
        activations, weighed = (
            np.maximum(size, _LEAST_SHARE * (size.max() or 1.0)) for size in (seen.size, of_weights)
        )
        divisor: NDArray[np.float32] = np.sqrt(activations / weighed).astype(np.float32)
        return divisor

    def _steady_product(
        self, node: Any, seen: ActivationStats, divisor: NDArray[np.float32]
    ) -> None:
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

    def _row_product(self, node: Any, seen: ActivationStats) -> None:
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
