"""An encoder with its pooling as one ONNX graph.

Attention as a CPU computes it quickly, for graphs to trace.

Softmax takes each row's largest score away first, so that no power overflows, and walks row by row.
A row of scores is as long as a text, so a batch of short texts has many thousands of them, and most
of the time goes into walking. Here the powers of a whole block are taken at once, of scores that
are held below a ceiling instead: 60 is far above what a trained encoder has, and where one goes
higher the export's parity gate tells. onnxruntime folds the scale, and the turning of the keys,
into the product of queries and keys.
"""

from __future__ import annotations

import copy
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.encoders.transformer import mean_pool
from pgkd.errors import ExportError
from pgkd.export.predictor import INPUTS, OUTPUT
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from pgkd.encoders.transformer import Encoder

    Shape = tuple[int, ...]
    Look = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]

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


NAME = "pgkd"
"""What it is called where transformers looks for it."""

_CEILING = 60.0  # exp(60) x 512 tokens x any value is a number in float32
_HIDDEN = -80.0  # its power is nothing beside the others, and no denormal number, which are slow
_SOMETHING = 1e-30  # under the fraction: no division by zero, whatever the scores


def register() -> None:
    """Tell transformers of it, under `NAME`; models that have their own attention keep that.

    Raises:
        MissingExtraError: the extra ``export`` is not installed.
    """
    transformers = require("transformers", extra="export", job="Exporting an encoder")
    masks = require("transformers.masking_utils", extra="export", job="Exporting an encoder")
    transformers.AttentionInterface.register(NAME, _attention)
    transformers.AttentionMaskInterface.register(NAME, partial(_mask, masks))


def _mask(masks: Any, *, mask_function: Any, attention_mask: Any, dtype: Any, **others: Any) -> Any:
    """As transformers calls it, and its own where not every token sees all others.

    Returns:
        0, or the least number of `dtype` where a token is hidden; shape (batch, 1, 1, length): what
        one token of a text may see, all may.
    """
    import torch

    if attention_mask is None or mask_function is not masks.bidirectional_mask_function:
        return masks.eager_mask(
            mask_function=mask_function, attention_mask=attention_mask, dtype=dtype, **others
        )
    hidden = torch.tensor(torch.finfo(dtype).min)
    return torch.where(attention_mask[:, None, None, :].bool(), torch.tensor(0.0), hidden)


def _attention(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Any, None]:
    """As transformers calls it.

    Args:
        module: the layer; not looked at.
        query: shape (batch, heads, length, head width).
        key: the same shape.
        value: the same shape.
        attention_mask: added to scores: 0, or the least number of float32 where a token is hidden;
            shape (batch, 1, 1 or length, length), or None.
        scaling: of scores; one over the root of the head's width where it is None.

    Returns:
        The mixed values, shape (batch, length, heads, head width), and no weights.
    """
    import torch

    if scaling is None:
        scaling = query.shape[-1] ** -0.5
    ceiling = torch.tensor(_CEILING)
    if attention_mask is not None:
        ceiling = _CEILING + attention_mask.clamp(min=_HIDDEN - _CEILING)
    powers = torch.minimum(query * scaling @ key.transpose(2, 3), ceiling).exp()
    # Summed by a product with many columns, as the values are mixed: any other sum is rounded by
    # how long padding makes a row. 8 bits make steps of that, and an answer hangs on its batch.
    # The ones are as many as the mask has columns, for all layers share it, and then them.
    shown = key if attention_mask is None else attention_mask.transpose(2, 3)
    total = powers @ torch.ones(shown.shape[2], int(value.shape[3]))
    mixed = (powers @ value) / (total + _SOMETHING)
    return mixed.transpose(1, 2).contiguous(), None


_JOB = "Exporting an encoder"
_OPSET = 20  # the first with Gelu
_EXAMPLE = ([101, 7, 102, 0], [101, 7, 8, 102]), ([1, 1, 1, 0], [1, 1, 1, 1])


def encoder_graph(encoder: Encoder, *, pooled: bool = True) -> Any:
    """The graph from token ids and attention mask to features, in float32.

    Args:
        encoder: of a fitted student; it is not changed.
        pooled: features of texts, of unit length; else the last hidden states of their tokens.

    Returns:
        An `onnx.ModelProto`. Inputs ``input_ids`` and ``attention_mask``, int64 of shape (batch,
        length); output ``features``, float32 of shape (batch, width), or (batch, length, width).

    Raises:
        ExportError: the encoder's architecture cannot be traced.
        MissingExtraError: the extra ``export`` is not installed.
    """
    onnx = require("onnx", extra="export", job=_JOB)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.onnx"
        _trace(encoder, path, pooled=pooled)
        model = onnx.load(path)
    fix_reshapes(model)
    return model


def _trace(encoder: Encoder, path: Path, *, pooled: bool) -> None:
    """Write the graph as torch traces it.

    By the tracer of TorchScript: the newer exporter would need one package more.
    """
    torch = require("torch", extra="export", job=_JOB)
    register()
    model = copy.deepcopy(encoder.model).cpu()
    _fix_segment(torch, model)
    try:
        model.set_attn_implementation(NAME)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the tracer: deprecated, and constants it finds
            torch.onnx.export(
                _module(torch, model, pooled=pooled),
                tuple(torch.tensor(rows) for rows in _EXAMPLE),
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes={
                    **{name: {0: "batch", 1: "length"} for name in INPUTS},
                    OUTPUT: {0: "batch"} if pooled else {0: "batch", 1: "length"},
                },
            )
    except (RuntimeError, ValueError, TypeError, torch.onnx.errors.OnnxExporterError) as error:
        kind = encoder.model.config.model_type
        raise ExportError(
            f"An encoder of the type '{kind}' cannot be traced to ONNX: {error}. The run itself "
            "predicts: pgkd predict RUN"
        ) from error


def _fix_segment(torch: Any, model: Any) -> None:
    """A text is one segment: add the vector of the first to all tokens, and look none up."""
    embeddings: Any = getattr(model, "embeddings", None)
    table = getattr(embeddings, "token_type_embeddings", None)
    if isinstance(table, torch.nn.Embedding):
        first = table.weight[0].detach()

        class First(torch.nn.Module):  # type: ignore[misc]
            def forward(self, _: Any) -> Any:
                return first

        embeddings.token_type_embeddings = First()


def _module(torch: Any, model: Any, *, pooled: bool) -> Any:
    """The model, under its mean pooling where that is wanted, as a torch module."""

    class Features(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            if pooled:
                return mean_pool(self.model, input_ids, attention_mask)
            return self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    return Features().eval()


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
