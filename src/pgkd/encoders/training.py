"""Fine-tuning of a whole encoder together with a head. Imports torch.

Training starts from a head that was fitted on the frozen features: a random one drags the
pretrained features away in the first steps (LP-FT; Kumar et al., ICLR 2022). Every epoch is used:
with a few hundred rows none can be spared to choose one.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

from pgkd.encoders.devices import Device, accelerator_on
from pgkd.encoders.transformer import Encoder

_POOL = 8  # batches that are sorted by length together
_VALUES = 256  # of a byte


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How long and how fast an encoder is trained.

    Three epochs cost nine forward passes over the rows. Five at half the rate gained one point of
    accuracy on trec6 and none on banking77. The embeddings are frozen: they are half of MiniLM's
    weights and hardly learn. What else was tried lost (docs/negative-results.md).
    """

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps
    clip: float = 1.0  # norm of the gradient
    frozen_layers: int = 1  # from below; the embeddings are the first


def train_encoder(
    encoder: Encoder,
    make_head: Callable[[], Any],
    loss: Callable[[Any, NDArray[np.int64]], Any],
    texts: Sequence[Any],
    *,
    seed: int,
    recipe: FineTuning | None = None,
    read: Callable[[Any, NDArray[np.int64]], Any] | None = None,
) -> tuple[Encoder, Any]:
    """Train a copy of an encoder together with a head, on the encoder's device.

    Args:
        encoder: where training starts; it is not changed.
        make_head: makes a torch module on top of features of shape (rows, hidden size), or of what
            `read` gives.
        loss: of a batch, from the head's outputs and the indices of its texts.
        texts: n texts, or pairs of texts that are read as one.
        seed: of the order of the texts and of dropout.
        recipe: how long and how fast.
        read: what the head is given, from the hidden states of a batch's tokens, shape (rows,
            length, hidden size), and the indices of its texts; None: the pooled features.

    Returns:
        The trained encoder and head.
    """
    recipe = recipe or FineTuning()
    ids = encoder.tokens(texts)
    with accelerator_on(encoder.device) as accelerator, reproducible(encoder.device, seed):
        model = copy.deepcopy(encoder.model)
        head = make_head().to(encoder.device.name)
        _freeze(model, recipe.frozen_layers)
        parameters = [p for part in (model, head) for p in part.parameters() if p.requires_grad]
        optimiser, schedule = make_optimiser(parameters, recipe, n_rows=len(texts))
        model.train()
        dropout = CheapDropout() if encoder.device.type == "cpu" else nullcontext()
        for batch in batches(np.array([len(row) for row in ids]), recipe, seed):
            rows = [ids[i] for i in batch]
            with accelerator.autocast(), dropout:
                look = encoder.hidden_states if read else encoder.pool
                found = look(model, rows, rows=len(rows), length=max(map(len, rows)))
            # The head in float32: bf16 keeps two digits of its large numbers.
            features = read(found.float(), batch) if read else found.float()
            value = loss(head(features), batch)
            optimiser.zero_grad()
            accelerator.backward(value)
            accelerator.clip_grad_norm_(parameters, recipe.clip)
            optimiser.step()
            schedule.step()
    return encoder.with_model(model), head


@contextmanager
def reproducible(device: Device, seed: int) -> Iterator[None]:
    """Make training give the same weights for a seed; afterwards restore torch's state.

    On a CPU the bytes are the same, for one number of threads. On other devices the generators are
    seeded (and restored, but for that of mps), and torch chooses the algorithms, because some have
    no deterministic version there.
    """
    deterministic = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    gpus = list(range(torch.cuda.device_count())) if device.type == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)  # of every device
        if device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            # Filling every new tensor would take a tenth of the time, and nothing reads it.
            torch.utils.deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic)
            torch.utils.deterministic.fill_uninitialized_memory = filling


def batches(
    lengths: NDArray[np.int64], recipe: FineTuning, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Row indices of every batch of every epoch, in a new random order each epoch.

    Rows of a batch are of similar length, so that little of it is padding: the random order is
    sorted by length within pools of a few batches, and the batches of a pool are shuffled.

    Args:
        lengths: shape (n,), tokens of each row.
        recipe: the number of epochs and the batch size.
        seed: of the order.
    """
    rng, size = np.random.default_rng(seed), recipe.batch_size
    for _ in range(recipe.epochs):
        order = rng.permutation(len(lengths))
        for start in range(0, len(order), size * _POOL):
            pool = order[start : start + size * _POOL]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            cut = [pool[i : i + size] for i in range(0, len(pool), size)]
            for i in rng.permutation(len(cut)):
                yield cut[i]


def _freeze(model: Any, n_layers: int) -> None:
    """Freeze the lowest layers of a model, of which the embeddings are one; never the highest."""
    model.requires_grad_(True)  # it may be a copy of a model that was trained
    depth = getattr(model.config, "num_hidden_layers", 0)
    stacks = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    stack = next((layers for layers in stacks if len(layers) == depth), ())
    embeddings = getattr(model, "embeddings", None) or model.get_input_embeddings()
    for layer in (embeddings, *stack[:-1])[:n_layers]:
        layer.requires_grad_(False)


def make_optimiser(
    parameters: Sequence[Any], recipe: FineTuning, *, n_rows: int
) -> tuple[Any, Any]:
    """AdamW with a linear warm-up and a linear decay to zero."""
    optimiser = torch.optim.AdamW(
        parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay,
        fused=True,  # the same steps, in a third less time where batches are small
    )  # fmt: skip
    steps = recipe.epochs * -(-n_rows // recipe.batch_size)
    warm = max(1, round(recipe.warmup * steps))

    def factor(step: int) -> float:
        return min((step + 1) / warm, max(0.0, (steps - step) / max(1, steps - warm)))

    return optimiser, torch.optim.lr_scheduler.LambdaLR(optimiser, factor)


class CheapDropout(TorchFunctionMode):  # type: ignore[misc]
    """Within it, every dropout draws bytes, at less than half of its cost on a CPU.

    There torch draws a number in double precision for every element, a good part of the time of a
    small encoder. Here eight elements share a 64-bit word of the same generator. It replaces
    `torch.nn.functional.dropout` and the dropout of `scaled_dot_product_attention`. The probability
    is rounded to a 256th, and the values that stay are scaled by the rounded one. Masks repeat with
    the seed of torch's CPU generator.
    """

    def __torch_function__(self, func: Any, _types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _REPLACED.get(func, func)(*args, **kwargs or {})


def _dropout(values: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
    """As torch's function of that name; `inplace` is not followed."""
    dropped = round(p * _VALUES)
    if not training or not dropped:
        return values
    words = torch.empty(-(-values.numel() // 8), dtype=torch.int64)
    drawn = words.random_(torch.iinfo(torch.int64).min, None).view(torch.uint8)
    mask = (drawn[: values.numel()] >= min(dropped, _VALUES - 1)).view(values.shape)
    scale = _VALUES / (_VALUES - dropped) if dropped < _VALUES else 0.0
    return values * mask.to(values.dtype).mul_(scale)


def _attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, dropout_p: float = 0.0,
    is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
) -> Any:  # fmt: skip
    """As torch's `scaled_dot_product_attention`, which it calls where nothing is dropped."""
    if not dropout_p or is_causal or enable_gqa:
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
        )
    scores = (query @ key.transpose(-2, -1)).mul_(scale or query.shape[-1] ** -0.5)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores.masked_fill_(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores += attn_mask
    return _dropout(scores.softmax(-1), dropout_p) @ value


_REPLACED = {
    torch.nn.functional.dropout: _dropout,
    torch.nn.functional.scaled_dot_product_attention: _attention,
}
