"""Fine-tuning of the whole encoder, begun from a linear probe.

LP-FT (Kumar et al., ICLR 2022): a random head drags the pretrained features away in the first
steps; a head fitted on the frozen features first does not. Every epoch is used: with a few hundred
rows no validation rows can be spared to choose one.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.extras import require
from pgkd.tasks.classification.students.devices import accelerator_on
from pgkd.tasks.classification.students.dropout import cheap_dropout
from pgkd.tasks.classification.students.features import Encoder, mean_pool, padded
from pgkd.tasks.classification.students.head import Head

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.devices import Place

_JOB = "Fine-tuning"
_POOL = 8  # batches that are sorted by length together


@dataclass(frozen=True, slots=True)
class FineTuning:
    """How long and how fast the encoder is trained.

    Three epochs cost nine forward passes over the rows. Five at half the rate gained one point of
    accuracy on trec6 and none on banking77. The embeddings are frozen: they hold half of MiniLM's
    weights and hardly learn. What else was tried lost (docs/negative-results.md).
    """

    epochs: int = 3
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup: float = 0.1  # share of the steps
    clip: float = 1.0  # norm of the gradient
    frozen_layers: int = 1  # from below, the embeddings being the first


def fine_tune(
    encoder: Encoder,
    head: Head,
    texts: Sequence[str],
    gold: NDArray[np.int64],
    weights: NDArray[np.float64],
    *,
    seed: int,
    recipe: FineTuning | None = None,
) -> tuple[Encoder, Head]:
    """Train a copy of an encoder and its head together, where the encoder lies.

    Args:
        encoder: where training starts; it is not changed.
        head: fitted on the encoder's features.
        texts: n texts.
        gold: shape (n,), class indices.
        weights: shape (n,), the weight of each row's loss.
        seed: of the order of the rows and of dropout.
        recipe: how long and how fast.

    Returns:
        The trained encoder and head.
    """
    torch = require("torch", extra="train", job=_JOB)
    recipe = recipe or FineTuning()
    seen = np.flatnonzero(~np.isneginf(head.bias))  # classes without rows have nothing to learn
    column = np.full(len(head.bias), -1)
    column[seen] = np.arange(len(seen))
    targets, device = column[gold], encoder.place.device
    # Mean 1 over all rows, not over a batch: else a batch of light rows pulls like one of heavy.
    row_weights = weights / weights.mean()
    ids, pad = encoder.tokens(texts), encoder.tokenizer.pad_token_id or 0
    with (
        accelerator_on(encoder.place) as accelerator,
        _reproducible(torch, encoder.place, seed),
    ):
        model = copy.deepcopy(encoder.model)
        layer = _layer(torch, head, seen).to(device)
        _freeze(torch, model, recipe.frozen_layers)
        parameters = [p for part in (model, layer) for p in part.parameters() if p.requires_grad]
        optimiser, schedule = _optimiser(torch, parameters, recipe, n_rows=len(texts))
        model.train()
        dropping = cheap_dropout() if encoder.place.kind == "cpu" else nullcontext()
        for batch in batches(np.array([len(row) for row in ids]), recipe, seed):
            with accelerator.autocast(), dropping:
                pooled = _pooled(torch, model, [ids[i] for i in batch], pad, device)
            logits = layer(pooled.float())  # large numbers, of which bf16 keeps two digits
            loss = _loss(torch, logits, targets[batch], row_weights[batch])
            optimiser.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(parameters, recipe.clip)
            optimiser.step()
            schedule.step()
    return encoder.trained(model), _head(head, layer, seen)


@contextmanager
def _reproducible(torch: Any, place: Place, seed: int) -> Iterator[None]:
    """The same seed and number of threads give the same weights; the caller's state comes back.

    On a CPU alone: elsewhere the generators are seeded and come back (but for that of mps), and
    the algorithms stay torch's choice, for some have no deterministic kind there.
    """
    before = torch.are_deterministic_algorithms_enabled()
    filling = torch.utils.deterministic.fill_uninitialized_memory
    gpus = list(range(torch.cuda.device_count())) if place.kind == "cuda" else []
    with torch.random.fork_rng(devices=gpus):
        torch.manual_seed(seed)  # of every device
        if place.kind == "cpu":
            torch.use_deterministic_algorithms(True)
            # Every new tensor would be filled first: a tenth of the time, and nothing reads it.
            torch.utils.deterministic.fill_uninitialized_memory = False
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before)
            torch.utils.deterministic.fill_uninitialized_memory = filling


def batches(
    lengths: NDArray[np.int64], recipe: FineTuning, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Row indices of every batch of every epoch, in a new random order each epoch.

    Rows of a batch are of similar length, so that little of it is padding: the random order is
    sorted by length within pools of a few batches, and the batches of a pool are shuffled.

    Args:
        lengths: shape (n,), tokens of each row.
        recipe: how many epochs, and how large a batch.
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


def _pooled(torch: Any, model: Any, rows: Sequence[list[int]], pad: int, device: str) -> Any:
    """Features of rows of token ids, shape (len(rows), hidden size)."""
    inputs, mask = padded(torch, rows, rows=len(rows), length=max(map(len, rows)), pad=pad)
    return mean_pool(torch, model, inputs.to(device), mask.to(device))


def _loss(
    torch: Any,
    logits: Any,
    targets: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Any:
    """The mean cross-entropy of a batch, each row times its weight."""
    losses = torch.nn.functional.cross_entropy(
        logits, torch.tensor(targets, device=logits.device), reduction="none"
    )
    pull = torch.tensor(weights, dtype=torch.float32, device=logits.device)
    return (losses * pull).mean()


def _freeze(torch: Any, model: Any, n_layers: int) -> None:
    """Freeze the lowest layers of a model, of which the embeddings are one; never the highest."""
    model.requires_grad_(True)  # it may be a copy of one that was trained
    wanted = getattr(model.config, "num_hidden_layers", 0)
    stacks = (m for m in model.modules() if isinstance(m, torch.nn.ModuleList))
    stack = next((layers for layers in stacks if len(layers) == wanted), ())
    embeddings = getattr(model, "embeddings", None) or model.get_input_embeddings()
    for layer in (embeddings, *stack[:-1])[:n_layers]:
        layer.requires_grad_(False)


def _layer(torch: Any, head: Head, seen: NDArray[np.int64]) -> Any:
    """The head as a torch layer, over the classes that have rows."""
    layer = torch.nn.Linear(head.weights.shape[1], len(seen))
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(head.weights[seen]))
        layer.bias.copy_(torch.tensor(head.bias[seen]))
    return layer


def _head(before: Head, layer: Any, seen: NDArray[np.int64]) -> Head:
    weights, bias = np.zeros_like(before.weights), np.full_like(before.bias, -np.inf)
    weights[seen] = layer.weight.detach().cpu().numpy()
    bias[seen] = layer.bias.detach().cpu().numpy()
    return Head(weights, bias)


def _optimiser(
    torch: Any, parameters: Sequence[Any], recipe: FineTuning, *, n_rows: int
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
