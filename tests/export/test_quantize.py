"""Graphs for a CPU: attention without softmax, and 8 bits with scales that texts fix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pgkd.encoders.transformer import Encoder
from pgkd.errors import ExportError
from pgkd.export import graph
from pgkd.export import quantize as quantizing
from pgkd.export.graph import encoder_graph, look_inside
from pgkd.export.predictor import OUTPUT, batches
from pgkd.export.quantize import observe, quantize
from tests.conftest import make_rows, of_kind

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

TEXTS, _ = make_rows(12)


def other(encoder: Encoder, kind: str) -> Encoder:
    """A small model of another architecture under the same tokenizer."""
    extra: dict[str, dict[str, Any]] = {
        "Albert": {"embedding_size": 16},
        "Deberta": {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
        "ModernBert": {"local_attention": 4},
    }
    return of_kind(encoder, kind, **extra.get(kind, {}))


def answers(model: Any, rows: list[list[int]]) -> NDArray[np.float32]:
    """What a graph gives for texts."""
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found: dict[int, NDArray[np.float32]] = {}
    for indices, inputs in batches(rows):
        found.update(zip(indices, session.run((OUTPUT,), inputs)[0], strict=True))
    return np.array([found[i] for i in range(len(rows))])


@pytest.mark.parametrize("scale", [1, 12])
def test_attention_is_that_of_softmax(scale: int) -> None:
    """With small scores and with large ones, with and without hidden tokens."""
    import torch

    torch.manual_seed(0)
    query, (key, value) = torch.randn(2, 3, 7, 8) * scale, torch.randn(2, 2, 3, 7, 8)
    hidden = torch.zeros(2, 1, 7, 7)
    hidden[0, ..., 5:] = torch.finfo(torch.float32).min
    highest = (query @ key.transpose(2, 3) / 8**0.5).abs().max()
    assert scale == 1 or graph._CEILING / 2 < highest < graph._CEILING
    for mask in (None, hidden):
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
        mixed, _ = graph._attention(None, query, key, value, mask)
        assert (mixed.transpose(1, 2) - expected).abs().max() < 1e-5


def test_scores_of_any_size_give_numbers() -> None:
    import torch

    for size in (1e4, -1e4):
        query, key = torch.full((1, 1, 2, 4), size), torch.ones(1, 1, 2, 4)
        got, _ = graph._attention(None, query, key, torch.ones(1, 1, 2, 4), None)
        assert torch.isfinite(got).all()


@pytest.mark.parametrize("kind", ["Albert", "Deberta", "ModernBert", "MPNet", "Roberta"])
def test_other_architectures_are_traced_and_quantised(encoder: Encoder, kind: str) -> None:
    """Albert's layers share their weights; two have an attention of their own, with a softmax."""
    made = other(encoder, kind)
    rows = made.tokens(TEXTS)
    graph = encoder_graph(made)
    expected = made.features(TEXTS)
    assert answers(graph, rows) == pytest.approx(expected, abs=1e-5)
    kinds = [node.op_type for node in graph.graph.node]
    assert ("Softmax" in kinds) == (kind in {"Deberta", "MPNet"})
    small = quantize(graph, rows)
    similarity = (answers(small, rows) * expected).sum(axis=1)
    assert similarity.min() > 0.99
    constants = {constant.name for constant in small.graph.initializer}
    left = [node for node in small.graph.node if node.op_type == "MatMul"]
    assert not any(constants.intersection(node.input) for node in left)


@pytest.mark.filterwarnings("ignore")  # of the tracer: deprecated
def test_padding_changes_no_digit(tmp_path: Path) -> None:
    """8 bits would make a step of the last digit, and an answer would hang on its batch."""
    import onnxruntime
    import torch

    class Attention(torch.nn.Module):  # type: ignore[misc]
        def forward(self, query: Any, key: Any, value: Any, mask: Any) -> Any:
            return graph._attention(None, query, key, value, mask)[0]

    names = ["query", "key", "value", "mask"]
    example = (*torch.randn(3, 2, 2, 5, 16), torch.zeros(2, 1, 5, 5))
    torch.onnx.export(
        Attention(), example, str(tmp_path / "attention.onnx"), dynamo=False, opset_version=20,
        input_names=names, dynamic_axes={name: [0, 2, 3] for name in names},
    )  # fmt: skip
    session = onnxruntime.InferenceSession(
        tmp_path / "attention.onnx", providers=["CPUExecutionProvider"]
    )
    rng = np.random.default_rng(0)
    for length in range(2, 40):  # tokenizers frame each text by two tokens
        rows = rng.normal(size=(3, 1, 2, 40, 16)).astype(np.float32)
        mask = np.zeros((1, 1, 40, 40), dtype=np.float32)
        mask[..., length:] = np.finfo(np.float32).min
        padded = session.run(None, dict(zip(names, [*rows, mask], strict=True)))[0]
        short = [*rows[:, :, :, :length], mask[:, :, :length, :length]]
        alone = session.run(None, dict(zip(names, short, strict=True)))[0]
        assert np.array_equal(padded[:, :length], alone)


def test_channels_with_outliers_leave_the_others_their_digits(encoder: Encoder) -> None:
    """One channel of a layer norm a thousand times as large as the rest, and nobody weighs it."""
    import torch

    made = Encoder(encoder.model, encoder.tokenizer, max_length=24, origin=None)
    state = {name: value.clone() for name, value in made.model.state_dict().items()}
    try:
        with torch.no_grad():
            [norm] = [
                part for name, part in made.model.named_modules() if name == "embeddings.LayerNorm"
            ]
            norm.bias[3] = 1000.0
            for name, part in made.model.named_modules():
                if name.endswith(("query", "key", "value")):
                    part.weight[:, 3] = 1e-4
        rows = made.tokens(TEXTS)
        graph = encoder_graph(made)
        exact, small = answers(graph, rows), answers(quantize(graph, rows), rows)
        assert (exact * small).sum(axis=1).min() > 0.999
    finally:
        made.model.load_state_dict(state)


def test_layers_that_give_nothing_are_quantised_too(encoder: Encoder) -> None:
    """No scale is a division of nothing by nothing."""
    import torch

    made = other(encoder, "Roberta")
    with torch.no_grad():
        for name, weights in made.model.encoder.layer[1].named_parameters():
            if "LayerNorm" in name or "query" in name:
                weights.zero_()
    rows = made.tokens(TEXTS)
    assert np.isfinite(answers(quantize(encoder_graph(made), rows), rows)).all()


def test_padding_is_not_looked_at(encoder: Encoder) -> None:
    graph = encoder_graph(encoder)
    [name] = [
        node.output[0]
        for node in graph.graph.node
        if node.op_type == "LayerNormalization" and "embeddings" in node.output[0]
    ]
    short, long = encoder.tokens(["vpn", " ".join(TEXTS[:3])])
    together = observe(graph, [name], [short, long])[name]
    alone = [observe(graph, [name], [row])[name] for row in (short, long)]
    assert together.largest == pytest.approx(np.maximum(*(found.largest for found in alone)))
    assert together.least == pytest.approx(np.minimum(*(found.least for found in alone)))
    assert (together.size >= together.largest).all()
    assert together.moment == pytest.approx(sum(found.moment for found in alone), rel=1e-4)


def test_of_many_texts_some_from_all_over_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quantizing, "_TOKENS", 20)
    rows = [[number] * 10 for number in range(9)]
    assert [row[0] for row in quantizing._some(rows)] == [0, 4]
    assert quantizing._some([[1] * 30]) == [[1] * 30]  # one text at least
    monkeypatch.setattr(quantizing, "_TOKENS", 1000)
    assert quantizing._some(rows) == rows


def test_what_gelu_gives_fits_eight_bits_from_a_little_below_nothing(encoder: Encoder) -> None:
    """The more of them for what is above; a row of small numbers is not blown up."""
    import onnx

    rows = encoder.tokens(TEXTS)
    small = quantize(encoder_graph(encoder), rows)
    makers = {name: node for node in small.graph.node for name in node.output}
    [coded] = [
        node.output[0]
        for node in small.graph.node
        if node.op_type == "QuantizeLinear" and node.input[0].endswith("_by_row")
    ]
    x, inverse = makers[makers[coded].input[0]].input
    assert makers[x].op_type == "Gelu"
    look = look_inside(small, (x, inverse, coded))
    scale, zero = (
        onnx.numpy_helper.to_array(constant)
        for name in makers[coded].input[1:]
        for constant in small.graph.initializer
        if constant.name == name
    )
    for _, inputs in batches(rows):
        exact, by_row, whole = look(inputs).values()
        found = (whole.astype(float) - zero) * scale / by_row
        assert np.abs(found - exact).max() <= 0.51 * scale * max(1.0, exact.max())


def test_a_graph_without_products_is_refused(encoder: Encoder) -> None:
    graph = encoder_graph(encoder)
    del graph.graph.initializer[:]
    with pytest.raises(ExportError, match="no product that could be quantised"):
        quantize(graph, [[1, 2]])
