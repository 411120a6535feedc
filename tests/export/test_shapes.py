"""What a traced graph need not compute for every batch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.export.graph import encoder_graph, fix_reshapes
from pgkd.export.predictor import INPUTS, OUTPUT
from tests.conftest import of_kind

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.encoders.transformer import Encoder


def kinds(model: Any, folder: Path) -> Counter[str]:
    """The operators of a graph as onnxruntime runs it: nothing is there twice."""
    onnx = pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(options.optimized_model_filepath).graph
    return Counter(node.op_type for node in graph.node)


def test_a_layer_more_computes_no_shape_more(encoder: Encoder, tmp_path: Path) -> None:
    one, two = (
        kinds(encoder_graph(of_kind(encoder, "Bert", num_hidden_layers=layers)), tmp_path)
        for layers in (1, 2)
    )
    more = two - one
    assert more["Reshape"] == 4  # query, key, value, and heads that are joined
    computed = ("Shape", "Gather", "Unsqueeze", "Concat", "Slice", "Expand", "ConstantOfShape")
    assert not any(more[kind] for kind in computed)


def test_one_segment_and_one_row_of_the_mask(encoder: Encoder) -> None:
    """No token looks up its segment; no mask is built token by token."""
    graph = encoder_graph(encoder).graph
    assert not any("token_type" in constant.name for constant in graph.initializer)
    of_whole_masks = {"GatherElements", "Range", "GreaterOrEqual", "And"}
    assert not of_whole_masks.intersection(node.op_type for node in graph.node)


def made(onnx: Any, target: list[Any]) -> Any:
    """A graph whose one reshape has a target that is computed."""
    helper = onnx.helper
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["x"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Add", ["x", "x"], ["twice"]),
        helper.make_node("Shape", ["attention_mask"], ["shape"]),
        *target,
        helper.make_node("Reshape", ["twice", "target"], [OUTPUT]),
    ]
    sizes = ("batch", "length")
    integers, floats = onnx.TensorProto.INT64, onnx.TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info(name, integers, sizes) for name in INPUTS]
    outputs = [helper.make_tensor_value_info(OUTPUT, floats, None)]
    graph = helper.make_graph(nodes, "made", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_a_reshape_that_moves_sizes_stays_as_it_is() -> None:
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    constant = onnx.numpy_helper.from_array(np.array([1, 0]), "turned")
    model = made(onnx, [helper.make_node("Gather", ["shape", "turned"], ["target"])])
    model.graph.initializer.append(constant)
    before = model.SerializeToString()
    fix_reshapes(model)
    assert model.SerializeToString() == before


def test_a_reshape_that_copies_sizes_says_so() -> None:
    onnx = pytest.importorskip("onnx")
    one = onnx.numpy_helper.from_array(np.array([1]), "one")
    model = made(onnx, [onnx.helper.make_node("Concat", ["shape", "one"], ["target"], axis=0)])
    model.graph.initializer.append(one)
    fix_reshapes(model)
    assert [node.op_type for node in model.graph.node] == ["Cast", "Add", "Reshape"]
    [target] = map(onnx.numpy_helper.to_array, model.graph.initializer)
    assert target.tolist() == [0, 0, 1]
