"""Dropout at less than half of its cost on a CPU.

There torch draws a number in double precision for every element, a good part of the time of a
small encoder. A byte is enough to decide with: eight elements share a 64-bit word of the same
generator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.extras import require

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_VALUES = 256  # of a byte


def cheap_dropout() -> AbstractContextManager[Any]:
    """Within it, `torch.nn.functional.dropout` draws bytes, whoever calls it.

    So does the dropout that `scaled_dot_product_attention` has built in. The probability is rounded
    to a 256th, and what is kept is scaled by the rounded one. It is torch's generator of the CPU
    that is drawn from, so masks repeat with its seed.

    Raises:
        MissingExtraError: the extra ``train`` is not installed.
    """
    torch = require("torch", extra="train", job="Fine-tuning")
    mode = require("torch.overrides", extra="train", job="Fine-tuning").TorchFunctionMode

    class CheapDropout(mode):  # type: ignore[misc, valid-type]
        def __torch_function__(
            self, func: Any, _types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            if func is torch.nn.functional.dropout:
                return _dropout(torch, *args, **kwargs or {})
            if func is torch.nn.functional.scaled_dot_product_attention:
                return _attention(torch, *args, **kwargs or {})
            return func(*args, **kwargs or {})

    return CheapDropout()


def _dropout(
    torch: Any, values: Any, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Any:
    """As torch's function of that name; `inplace` is not followed."""
    dropped = round(p * _VALUES)
    if not training or not dropped:
        return values
    words = torch.empty(-(-values.numel() // 8), dtype=torch.int64)
    drawn = words.random_(torch.iinfo(torch.int64).min, None).view(torch.uint8)
    kept = (drawn[: values.numel()] >= min(dropped, _VALUES - 1)).view(values.shape)
    scale = _VALUES / (_VALUES - dropped) if dropped < _VALUES else 0.0
    return values * kept.to(values.dtype).mul_(scale)


def _attention(
    torch: Any, query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """As torch's `scaled_dot_product_attention`, and torch's own where nothing is dropped."""
    if not dropout_p or is_causal or enable_gqa:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scores = (query @ key.transpose(-2, -1)).mul_(scale or query.shape[-1] ** -0.5)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores.masked_fill_(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores += attn_mask
    return _dropout(torch, scores.softmax(-1), dropout_p) @ value
