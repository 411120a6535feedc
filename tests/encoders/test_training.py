"""Fine-tuning: batches, and dropout with masks from bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch.nn.functional import dropout, scaled_dot_product_attention

from pgkd.encoders.training import CheapDropout, FineTuning, batches
from pgkd.encoders.transformer import load_encoder
from pgkd.tasks.classification.students.encoder import fine_tune_classes
from pgkd.tasks.classification.students.head import HeadSettings, fit_head
from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path

P = 26 / 256  # what .1 is rounded to
TEXTS, LABELS = make_rows(8)
CLASSES = tuple(sorted(set(LABELS)))


def test_the_training_order_is_shuffled_anew_every_epoch() -> None:
    """The trap: a training loader that never shuffles."""
    recipe = FineTuning(epochs=3, batch_size=4)
    order = np.concatenate(list(batches(np.full(32, 7), recipe, seed=0))).reshape(3, 32)
    assert (np.sort(order, axis=1) == np.arange(32)).all()
    assert len({tuple(epoch) for epoch in (*order, np.arange(32))}) == 4
    together = [frozenset(map(frozenset, epoch.reshape(-1, 4).tolist())) for epoch in order]
    assert len(set(together)) == 3  # other rows share a batch, and not only in another order


def test_rows_of_a_batch_are_of_similar_length() -> None:
    lengths = np.random.default_rng(1).integers(5, 128, 64)
    found = list(batches(lengths, FineTuning(epochs=1, batch_size=8), seed=0))
    padded = sum(len(batch) * lengths[batch].max() for batch in found)
    unsorted = sum(8 * lengths[i : i + 8].max() for i in range(0, 64, 8))
    assert padded - lengths.sum() < 0.5 * (unsorted - lengths.sum())
    longest = [int(lengths[batch].max()) for batch in found]
    assert longest != sorted(longest)  # else every epoch would end with the long ones


def test_the_share_is_dropped_and_the_rest_makes_up_for_it() -> None:
    torch.manual_seed(0)
    ones = torch.ones(1000, 999)  # not a multiple of eight
    with CheapDropout():
        found = dropout(ones, 0.1, training=True)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - P)])
    assert float((found == 0).float().mean()) == pytest.approx(P, abs=0.002)
    for line in (found.mean(0), found.mean(1)):  # along either side, no pattern of eight
        assert float(line.std()) == pytest.approx((P / (1 - P) / 1000) ** 0.5, rel=0.15)


def test_a_gradient_goes_where_values_went() -> None:
    values = torch.rand(50, 40, requires_grad=True)
    with CheapDropout():
        found = dropout(values + 1, 0.3, training=True)
    found.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad == 0, found == 0)
    assert float(values.grad.max()) == pytest.approx(1 / (1 - 77 / 256))


def test_masks_repeat_with_the_seed_and_differ_within_one() -> None:
    def drawn(seed: int) -> list[Any]:
        torch.manual_seed(seed)
        with CheapDropout():
            return [dropout(torch.ones(20, 20), 0.5, training=True) for _ in range(2)]

    (first, second), (again, _), (other, _) = drawn(1), drawn(1), drawn(2)
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("p", "training"), [(0.0, True), (0.001, True), (0.5, False)])
def test_where_nothing_is_dropped_values_stay(p: float, training: bool) -> None:
    values = torch.rand(9, 9)
    with CheapDropout():
        assert torch.equal(dropout(values, p, training=training), values)


def test_all_is_dropped_at_one() -> None:
    with CheapDropout():
        assert not dropout(torch.ones(9, 9), 1.0, training=True).any()


MASKS = {
    "none": None,
    "hidden": torch.arange(16)[None] < 11,
    "added": torch.linspace(-3, 3, 16)[None],
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("scale", [None, 0.3])
def test_weights_of_attention_are_torch_s_but_for_those_dropped(
    mask: str, scale: float | None
) -> None:
    torch.manual_seed(0)
    query, key = torch.randn(2, 40, 3, 16, 8)
    weights = torch.eye(16).expand(40, 3, 16, 16)  # as values they show the weights
    given = {"attn_mask": MASKS[mask], "scale": scale}
    whole = scaled_dot_product_attention(query, key, weights, **given)
    with CheapDropout():
        same = scaled_dot_product_attention(query, key, weights, **given, dropout_p=0.0)
        found = scaled_dot_product_attention(query, key, weights, **given, dropout_p=0.1)
    assert torch.equal(same, whole)
    kept = found != 0
    assert torch.allclose(found[kept], whole[kept] / (1 - P), atol=1e-6)
    assert float((kept[whole > 0]).float().mean()) == pytest.approx(1 - P, abs=0.01)


def test_fine_tuning_on_a_cpu_draws_its_masks_from_bytes(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own dropout draws them inside of its kernels, where no method is called."""
    encoder = load_encoder(str(tiny_encoder), 32)
    head = fit_head(encoder.features(TEXTS), LABELS, CLASSES, HeadSettings(C=10.0))
    gold = np.array([CLASSES.index(label) for label in LABELS])
    shapes = []
    whole = torch.Tensor.random_

    def spy(tensor: Any, *args: Any) -> Any:
        shapes.append(tuple(tensor.shape))
        return whole(tensor, *args)

    monkeypatch.setattr(torch.Tensor, "random_", spy)
    fine_tune_classes(
        encoder, head, TEXTS, gold, np.ones(len(TEXTS)), seed=0, recipe=FineTuning(epochs=1)
    )
    assert shapes
