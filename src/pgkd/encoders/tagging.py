"""Words tagged in the BIO scheme (Ramshaw & Marcus, 1995), by a head on token features."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pgkd.data.spans import Span, find_units
from pgkd.encoders.head import Head, make_linear, read_linear

if TYPE_CHECKING:
    from pgkd.encoders.transformer import Encoder

Floats = NDArray[np.float64]

_CHUNK = 256  # texts that are decoded together
_NO_LENGTH = 1e-9  # of features: a word beyond `max_length` has none
_UNSEEN = -10.0  # logit of a tag that no text has
_STEPS = 500  # of the solver
_EPOCHS = 10  # with a hundred rows half a point of F1 more than three


def align(units: Sequence[tuple[int, int]], offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """The share of each token in each unit, shape (units, tokens); zeros where there is none.

    Args:
        units: of a text.
        offsets: of its tokens; see `pgkd.encoders.transformer.Encoder.offsets`.
    """
    spans = np.array(units, dtype=np.int64).reshape(-1, 2)
    first, last = spans[:, :1], spans[:, 1:]
    there = (offsets[:, 0] < last) & (offsets[:, 1] > first) & (offsets[:, 1] > offsets[:, 0])
    shares: NDArray[np.float32] = there / np.maximum(there.sum(axis=1, keepdims=True), 1)
    return shares.astype(np.float32)


def tag_names(labels: Sequence[str]) -> tuple[str, ...]:
    """``O``, then ``B-`` and ``I-`` of each label: the columns of all logits."""
    return ("O", *(f"{part}-{label}" for label in labels for part in "BI"))


def make_tags(
    units: Sequence[tuple[int, int]], spans: Sequence[Span], labels: Sequence[str]
) -> NDArray[np.int64]:
    """The column of each unit's tag, shape (units,); a unit that a span cuts belongs to it."""
    tags = np.zeros(len(units), dtype=np.int64)
    for span in spans:
        column = 1 + 2 * labels.index(span.label)
        for i, (start, end) in enumerate(units):
            if start < span.end and span.start < end and not tags[i]:
                tags[i], column = column, column + column % 2  # B, and I from then on
    return tags


def tagged_spans(
    units: Sequence[tuple[int, int]], tags: Sequence[int], labels: Sequence[str]
) -> list[Span]:
    """The spans of a valid sequence of tags."""
    spans: list[Span] = []
    for (start, end), tag in zip(units, tags, strict=True):
        if tag % 2:
            spans.append(Span(start, end, labels[tag // 2]))
        elif tag:
            spans[-1] = Span(spans[-1].start, end, spans[-1].label)
    return spans


def decode(logits: Sequence[Floats]) -> list[tuple[list[int], float]]:
    """The likeliest valid tags of n texts, and the probability of all of a text's tags.

    An I stands after a B or an I of its label alone. Tags are otherwise independent, so of the best
    sequences the Viterbi algorithm keeps one a tag, and the probability of all valid ones is summed
    alongside. None of the texts has a say in another's answer.

    Args:
        logits: of each text, shape (units, tags).
    """
    order = sorted(range(len(logits)), key=lambda i: len(logits[i]))
    found: list[tuple[list[int], float]] = [([], 1.0)] * len(logits)
    for start in range(0, len(order), _CHUNK):
        chunk = order[start : start + _CHUNK]
        for i, one in zip(chunk, _decode([logits[i] for i in chunk]), strict=True):
            found[i] = one
    return found


def _decode(logits: Sequence[Floats]) -> list[tuple[list[int], float]]:
    n, length, k = len(logits), max(map(len, logits)), logits[0].shape[1]
    scores = np.full((length, n, k), -np.inf)
    scores[:, :, 0] = 0.0  # after the end: an O that costs nothing
    for i, rows in enumerate(logits):
        scores[: len(rows), i] = rows
    inside, begin = np.arange(2, k, 2), np.arange(1, k, 2)
    total, best = np.full((n, k), -np.inf), np.full((n, k), -np.inf)
    total[:, 0] = best[:, 0] = 0.0  # before the beginning: an O
    came_from = np.zeros((length, n, k), dtype=np.int64)
    for t in range(length):
        came_from[t] = best.argmax(axis=1)[:, None]
        came_from[t][:, inside] = np.where(best[:, begin] >= best[:, inside], begin, inside)
        best = np.take_along_axis(best, came_from[t], axis=1) + scores[t]
        highest = total.max(axis=1, keepdims=True)
        powers = np.exp(total - highest)
        reach = np.repeat(powers.sum(axis=1, keepdims=True), k, axis=1)
        reach[:, inside] = powers[:, begin] + powers[:, inside]
        with np.errstate(divide="ignore"):
            total = highest + np.log(reach) + scores[t]
    tags, paths = best.argmax(axis=1), np.zeros((length, n), dtype=np.int64)
    for t in range(length - 1, -1, -1):
        paths[t] = tags
        tags = came_from[t][np.arange(n), tags]
    highest = total.max(axis=1)
    every = highest + np.log(np.exp(total - highest[:, None]).sum(axis=1))
    chances = np.exp(np.minimum(best.max(axis=1) - every, 0.0))
    return [(paths[: len(rows), i].tolist(), float(chances[i])) for i, rows in enumerate(logits)]


def find_spans(
    texts: Sequence[str], logits: Sequence[Floats], labels: Sequence[str]
) -> list[tuple[list[Span], float]]:
    """The spans of n texts, and the probability of all of a text's tags; see `decode`."""
    pairs = zip(texts, decode(logits), strict=True)
    return [(tagged_spans(find_units(text), tags, labels), p) for text, (tags, p) in pairs]


def unit_features(encoder: Any, texts: Sequence[str]) -> list[NDArray[np.float32]]:
    """Features of each text's words, shape (words, 3 * hidden size).

    A word has the mean of its tokens' last hidden states, of unit length, and beside it those of
    the words before and after it, zeros at the ends.
    """
    return [
        beside(align(find_units(text), offsets) @ hidden)
        for text, (offsets, hidden) in zip(texts, encoder.token_features(texts), strict=True)
    ]


def beside(means: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of words, shape (words, width), of unit length between those of their neighbours."""
    found = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), _NO_LENGTH)
    padded = np.pad(found, ((1, 1), (0, 0)))
    return np.hstack([padded[:-2], padded[1:-1], padded[2:]])


def fit_tagger(
    encoder: Encoder,
    texts: Sequence[str],
    tags: Sequence[NDArray[np.int64]],
    n_tags: int,
    weights: Floats,
    strength: float,
) -> Head:
    """Fit logistic regression to the tags of words.

    Args:
        encoder: gives their features.
        texts: n texts.
        tags: of each text, shape (units,).
        n_tags: how many tags there are.
        weights: shape (n,), of each text's words.
        strength: scikit-learn's C.

    Returns:
        A head, all of whose numbers are finite.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    features, gold = np.concatenate(unit_features(encoder, texts)), np.concatenate(tags)
    seen = np.unique(gold)
    head = Head(np.zeros((n_tags, features.shape[1])), np.full(n_tags, _UNSEEN))
    if len(seen) == 1:
        head.bias[seen] = 0.0
        return head
    # One thread: the last digit of a sum over several depends on the number of cores.
    with threadpool_limits(limits=1):
        model = LogisticRegression(C=strength, max_iter=_STEPS)
        model.fit(features, gold, np.repeat(weights, [len(each) for each in tags]))
    coef, intercept = model.coef_, model.intercept_
    if len(seen) == 2:  # scikit-learn has one row of weights for two classes
        coef, intercept = (np.concatenate([-part, part]) / 2 for part in (coef, intercept))
    head.weights[seen], head.bias[seen] = coef, intercept
    return head


def fine_tune_tags(
    encoder: Encoder,
    head: Head,
    texts: Sequence[str],
    tags: Sequence[NDArray[np.int64]],
    weights: Floats,
    seed: int,
) -> tuple[Encoder, Head]:
    """Train a copy of an encoder together with a head, by cross-entropy over words.

    Args:
        encoder: where training starts; it is not changed.
        head: on `unit_features`; all of its numbers are finite.
        texts: n texts.
        tags: of each text, shape (units,).
        weights: shape (n,), of each text's words.
        seed: of the order of the texts and of dropout.
    """
    import torch
    from torch.nn.functional import cross_entropy, normalize, pad

    from pgkd.encoders.training import FineTuning, train_encoder

    offsets = zip(texts, encoder.offsets(texts), strict=True)
    shares = [torch.tensor(align(find_units(text), found)) for text, found in offsets]
    row_weights = weights / weights.mean()

    def read(hidden: Any, batch: NDArray[np.int64]) -> Any:
        parts = []
        for i, states in zip(batch, hidden, strict=True):
            share = shares[i].to(states.device)
            padded = pad(normalize(share @ states[: share.shape[1]], dim=1), (0, 0, 1, 1))
            parts.append(torch.cat([padded[:-2], padded[1:-1], padded[2:]], dim=1))
        return torch.cat(parts)

    def loss(logits: Any, batch: NDArray[np.int64]) -> Any:
        gold = torch.tensor(np.concatenate([tags[i] for i in batch]), device=logits.device)
        scale = np.concatenate([np.full(len(tags[i]), row_weights[i]) for i in batch])
        losses = cross_entropy(logits, gold, reduction="none")
        return (losses * torch.tensor(scale, dtype=torch.float32, device=logits.device)).mean()

    trained, layer = train_encoder(
        encoder, lambda: make_linear(head), loss, texts,
        seed=seed, recipe=FineTuning(epochs=_EPOCHS), read=read,
    )  # fmt: skip
    return trained, read_linear(layer)


def lower_half(encoder: Encoder) -> Encoder:
    """The lower half of an encoder's layers.

    What a word is stands there; the upper layers of an encoder of sentences bring together what a
    text says (cf. Tenney et al., ACL 2019). An encoder whose layers are not in a list stays whole.
    """
    from torch.nn import ModuleList

    depth = getattr(encoder.model.config, "num_hidden_layers", 0)
    half = -(-depth // 2)
    model = copy.deepcopy(encoder.model)
    stacks = [m for m in model.modules() if isinstance(m, ModuleList) and len(m) == depth]
    if half == depth or len(stacks) != 1:
        return encoder
    del stacks[0][half:]
    model.config.num_hidden_layers = half
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = model.config.layer_types[:half]
    return encoder.with_model(model)
