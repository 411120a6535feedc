"""Attention as a CPU computes it quickly, for graphs to trace.

Softmax takes each row's largest score away first, so that no power overflows, and walks row by row.
A row of scores is as long as a text, so a batch of short texts has many thousands of them, and most
of the time goes into walking. Here the powers of a whole block are taken at once, of scores that
are held below a ceiling instead: 60 is far above what a trained encoder has, and where one goes
higher the export's parity gate tells. onnxruntime folds the scale, and the turning of the keys,
into the product of queries and keys.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pgkd.extras import require

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
