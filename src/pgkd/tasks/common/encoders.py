"""Encoders under the students of several kinds of task: found, and exported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pgkd.encoders.devices import find_device
from pgkd.encoders.transformer import Encoder, load_encoder
from pgkd.extras import require

if TYPE_CHECKING:
    from pgkd.encoders.head import Head
    from pgkd.tasks.common.config import EncoderConfig


def pretrained(config: EncoderConfig) -> Encoder:
    """The encoder that every training starts from."""
    if config.threads is not None:
        require("torch", extra="train", job="The student").set_num_threads(config.threads)
    device = find_device(config.device, config.precision)
    return load_encoder(config.encoder, config.max_length, device)


def export_encoder(
    encoder: Encoder, head: Head, format: str, texts: Sequence[Any], folder: Path
) -> None:
    """Write an encoder's graph, its tokenizer and a head.

    Args:
        encoder: of a student.
        head: of the student.
        format: ``"onnx"`` or ``"onnx-int8"``.
        texts: such as it will be given; the scales of int8 are fixed by them.
        folder: where to; it exists.
    """
    from pgkd.export.graph import encoder_graph
    from pgkd.export.predictor import save_model
    from pgkd.export.quantize import quantize

    graph = encoder_graph(encoder)
    if format == "onnx-int8":
        graph = quantize(graph, encoder.tokens(texts))
    save_model(graph, encoder.tokenizer, head, folder)
