"""A student as a folder that `AutoModelForSequenceClassification` loads, without code of its own.

A student takes the mean of all token vectors, scaled to unit length. transformers'
`BertForSequenceClassification` takes the vector of the first token, through a dense layer and tanh.
One more BERT layer, whose weights are set and not trained, turns the one into the other:

1. Its queries and keys are zero. Every token attends to all tokens alike: the mean.
2. The mean is rotated, so that its numbers sum to zero, and made so large that the token's own
   vector, which the layer adds to it, is lost in the rounding. The layer norm divides what has the
   mean zero by its length: the unit length.
3. The dense layer makes it so small that tanh is the identity to the last digit of a float.
4. The classifier undoes rotation and scale, then it is the student's head.

A rotation cannot give n free numbers the sum zero: one direction is lost. It costs nothing where
nothing lies in it, and the last layer norm of a BERT says where that is: ``(h - bias) / weight``
sums to zero for every token, so along ``1 / weight`` the mean is a constant. MiniLM has a weight of
zero there, and the constant is zero. Where it is not, the parity gate sees what was lost.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import ExportError
from pgkd.extras import require

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from pgkd.encoders.head import Head
    from pgkd.encoders.transformer import Encoder

ARCHITECTURE = "bert"
"""The type of the encoders that `save_classifier` takes."""

_JOB = "The Hugging Face export"
_LARGE = 2.0**20  # of the mean, against the token's own vector
_SMALL = 2.0**-12  # of the numbers that tanh is given
_UNSEEN = -1e4  # logit of a class without rows
_BATCH = 16


def save_classifier(encoder: Encoder, head: Head, classes: Sequence[str], folder: Path) -> None:
    """Write a `BertForSequenceClassification` and its tokenizer.

    Args:
        encoder: of a fitted student; it is not changed.
        head: of the student.
        classes: class names in column order.
        folder: where to; it exists.

    Raises:
        ExportError: the encoder is no BERT.
        MissingExtraError: the extra ``export`` is not installed.
    """
    transformers = require("transformers", extra="export", job=_JOB)
    torch = require("torch", extra="export", job=_JOB)
    bert = encoder.model
    if bert.config.model_type != ARCHITECTURE:
        raise ExportError(
            f"The encoder is of the type '{bert.config.model_type}'. As a classifier of "
            f"transformers pgkd exports the type '{ARCHITECTURE}' alone; the format onnx takes all."
        )
    config = transformers.BertConfig.from_dict(bert.config.to_dict())
    config.num_hidden_layers += 1
    config.id2label = dict(enumerate(classes))
    config.label2id = {name: i for i, name in enumerate(classes)}
    config.classifier_dropout = 0.0
    model = transformers.BertForSequenceClassification(config).eval()
    with torch.no_grad():
        missing = model.bert.load_state_dict(bert.state_dict(), strict=False).missing_keys
        extra = f"encoder.layer.{config.num_hidden_layers - 1}."
        assert all(name.startswith((extra, "pooler.")) for name in missing), missing
        last = bert.encoder.layer[-1].output.LayerNorm
        rotation = _rotation(last.weight.cpu().double().numpy())
        _set_pooling_layer(torch, model.bert.encoder.layer[-1], rotation)
        _set_head(torch, model, head, rotation)
    model.save_pretrained(folder)
    tokenizer = copy.deepcopy(encoder.tokenizer)
    tokenizer.model_max_length = encoder.max_length
    tokenizer.save_pretrained(folder)


def _rotation(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turns every vector across ``1 / weight`` into one whose numbers sum to zero, shape (d, d)."""
    smallest = np.abs(weight).argmin()
    # Scaled by the smallest, for a weight of zero is its own direction.
    lost = np.where(np.arange(len(weight)) == smallest, 1.0, 0.0)
    others = weight != 0
    lost[others] = weight[smallest] / weight[others]
    lost[smallest] = 1.0
    lost /= np.linalg.norm(lost)
    ones = np.full(len(weight), len(weight) ** -0.5)
    mirror = lost - ones
    norm = np.linalg.norm(mirror)
    swap = np.eye(len(weight))  # Householder: takes `lost` to `ones`, and `ones` to `lost`
    if norm > 0:
        swap -= 2 * np.outer(mirror, mirror) / norm**2
    rotation: NDArray[np.float64] = swap - np.outer(ones, lost)
    return rotation


def _set_pooling_layer(torch: Any, layer: Any, rotation: NDArray[np.float64]) -> None:
    """Step 1 and 2: the mean of all tokens, rotated, large, then of the length sqrt(d)."""
    attention = layer.attention
    for dense in (attention.self.query, attention.self.key, attention.self.value):
        dense.weight.zero_()
        dense.bias.zero_()
    attention.self.value.weight.copy_(torch.eye(len(rotation)))
    attention.output.dense.weight.copy_(torch.tensor(_LARGE * rotation))
    for dense in (layer.intermediate.dense, layer.output.dense):
        dense.weight.zero_()
    for zero in (attention.output.dense, layer.intermediate.dense, layer.output.dense):
        zero.bias.zero_()
    for norm in (attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(1.0)
        norm.bias.zero_()


def _set_head(torch: Any, model: Any, head: Head, rotation: NDArray[np.float64]) -> None:
    """Step 3 and 4: small through tanh, then the head on what is turned back."""
    width = len(rotation)
    model.bert.pooler.dense.weight.copy_(_SMALL * torch.eye(width))
    model.bert.pooler.dense.bias.zero_()
    scale = width**-0.5 / _SMALL
    model.classifier.weight.copy_(torch.tensor(scale * head.weights @ rotation.T))
    bias = np.where(np.isneginf(head.bias), _UNSEEN, head.bias)
    model.classifier.bias.copy_(torch.tensor(bias))


def classifier_probabilities(folder: Path, texts: Sequence[str]) -> NDArray[np.float64]:
    """What transformers alone answers from an exported folder, shape (n, n_classes)."""
    transformers = require("transformers", extra="export", job=_JOB)
    torch = require("torch", extra="export", job=_JOB)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    for start in range(0, len(order), _BATCH):
        batch = [texts[i] for i in order[start : start + _BATCH]]
        inputs = tokenizer(batch, padding=True, truncation=True, return_tensors="pt")
        with torch.inference_mode():
            found.append(torch.softmax(model(**inputs).logits.double(), dim=1).numpy())
    probabilities = np.concatenate(found)
    return probabilities[np.argsort(order)]
