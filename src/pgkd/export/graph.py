"""An encoder with its pooling as one ONNX graph."""

from __future__ import annotations

import copy
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.errors import ExportError
from pgkd.export import attention
from pgkd.export.onnx_model import INPUTS, OUTPUT
from pgkd.export.shapes import fix_reshapes
from pgkd.extras import require
from pgkd.tasks.classification.students.features import mean_pool

if TYPE_CHECKING:
    from pgkd.tasks.classification.students.features import Encoder

_JOB = "Exporting an encoder"
_OPSET = 20  # the first with Gelu
_EXAMPLE = ([101, 7, 102, 0], [101, 7, 8, 102]), ([1, 1, 1, 0], [1, 1, 1, 1])


def encoder_graph(encoder: Encoder) -> Any:
    """The graph from token ids and attention mask to features of unit length, in float32.

    Args:
        encoder: of a fitted student; it is not changed.

    Returns:
        An `onnx.ModelProto`. Inputs ``input_ids`` and ``attention_mask``, int64 of shape (batch,
        length); output ``features``, float32 of shape (batch, width).

    Raises:
        ExportError: the encoder's architecture cannot be traced.
        MissingExtraError: the extra ``export`` is not installed.
    """
    onnx = require("onnx", extra="export", job=_JOB)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traced.onnx"
        _trace(encoder, path)
        model = onnx.load(path)
    fix_reshapes(model)
    return model


def _trace(encoder: Encoder, path: Path) -> None:
    """Write the graph as torch traces it.

    By the tracer of TorchScript: the newer exporter would need one package more.
    """
    torch = require("torch", extra="export", job=_JOB)
    attention.register()
    model = copy.deepcopy(encoder.model).cpu()
    _fix_segment(torch, model)
    try:
        model.set_attn_implementation(attention.NAME)
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # of the tracer: deprecated, and constants it finds
            torch.onnx.export(
                _pooled(torch, model),
                tuple(torch.tensor(rows) for rows in _EXAMPLE),
                str(path),
                dynamo=False,
                opset_version=_OPSET,
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_axes={
                    **{name: {0: "batch", 1: "length"} for name in INPUTS},
                    OUTPUT: {0: "batch"},
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


def _pooled(torch: Any, model: Any) -> Any:
    """The model under its mean pooling, as a torch module."""

    class Pooled(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return mean_pool(torch, self.model, input_ids, attention_mask)

    return Pooled().eval()
