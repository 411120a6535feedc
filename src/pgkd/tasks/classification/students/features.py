"""Texts to vectors: a transformer encoder, mean pooled, each text computed once.

On a CPU the features of a text do not depend on which other texts are asked for beside it, in
which order, or on how many threads: texts are embedded in batches of one fixed shape for each
length, so the same arithmetic runs for every text. Students stay the same to the byte, whatever was
cached before. Another device rounds otherwise: its encoders, and their caches, are its own.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.extras import require
from pgkd.tasks.classification.students.devices import CPU, Place

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pgkd.tasks.classification.students.encoders import Origin

_JOB = "The encoder student"
_BATCH = 8  # rows of every batch; the last one of a length is filled up with empty rows
_LARGE_BATCH = 128  # the same on other devices than a CPU, which are idle with eight
_STEP = 8  # token lengths are rounded up to a multiple of this
_CACHED_TEXTS = 200_000  # of the cache, about 300 MB at 384 features


class Encoder:
    """An encoder with its tokenizer, and a cache of features by text.

    Args:
        model: a `transformers` model without a head.
        tokenizer: its tokenizer.
        max_length: tokens of a text that are read.
        origin: where exactly this model was loaded from, or None where it was trained in memory.
        place: where the model lies already.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int,
        origin: Origin | None,
        place: Place = CPU,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.origin = origin
        self.place = place
        limit = getattr(model.config, "max_position_embeddings", max_length)
        self.max_length = int(min(max_length, limit, tokenizer.model_max_length))
        self._cache: dict[str, NDArray[np.float32]] = {}

    def trained(self, model: Any) -> Encoder:
        """The encoder that this one has become by training: its model, and an empty cache."""
        return Encoder(
            model, self.tokenizer, max_length=self.max_length, origin=None, place=self.place
        )

    def features(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Mean-pooled features of unit length, shape (n, hidden size).

        Pooling after Sentence-BERT (Reimers & Gurevych, EMNLP 2019).
        """
        missing = list(dict.fromkeys(text for text in texts if text not in self._cache))
        fresh = dict(self._embed(missing))
        rows = [fresh[text] if text in fresh else self._cache[text] for text in texts]
        self._remember(fresh)
        width = self.model.config.hidden_size
        return np.array(rows, dtype=np.float64).reshape(len(texts), width)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text, cut to the longest that is read."""
        found = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
        return [list(ids) for ids in found["input_ids"]]

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def _remember(self, fresh: dict[str, NDArray[np.float32]]) -> None:
        self._cache.update(fresh)
        excess = max(0, len(self._cache) - _CACHED_TEXTS)
        for text in list(islice(self._cache, excess)):  # the oldest come first
            del self._cache[text]

    def _embed(self, texts: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield each text with its features, batch by batch."""
        torch = require("torch", extra="train", job=_JOB)
        size = _BATCH if self.place.device == "cpu" else _LARGE_BATCH
        by_length: dict[int, list[tuple[str, list[int]]]] = {}
        for text, ids in zip(texts, self.tokens(texts) if texts else (), strict=True):
            length = min(-(-len(ids) // _STEP) * _STEP, self.max_length)
            by_length.setdefault(max(length, len(ids)), []).append((text, ids))
        for length, group in sorted(by_length.items()):
            for start in range(0, len(group), size):
                batch = group[start : start + size]
                rows = [ids for _, ids in batch]
                pad = self.tokenizer.pad_token_id or 0
                inputs, mask = padded(torch, rows, rows=size, length=length, pad=pad)
                device = self.place.device
                with torch.inference_mode():
                    pooled = mean_pool(torch, self.model, inputs.to(device), mask.to(device))
                yield from zip((text for text, _ in batch), pooled.cpu().numpy(), strict=False)


def padded(
    torch: Any, ids: Sequence[Sequence[int]], *, rows: int, length: int, pad: int
) -> tuple[Any, Any]:
    """Token ids and attention mask, both of shape (rows, length)."""
    inputs = torch.full((rows, length), pad, dtype=torch.long)
    mask = torch.zeros((rows, length), dtype=torch.long)
    mask[len(ids) :, 0] = 1  # an empty row attends to one token: none at all gives not-a-number
    for i, row in enumerate(ids):
        inputs[i, : len(row)] = torch.tensor(row)
        mask[i, : len(row)] = 1
    return inputs, mask


def mean_pool(torch: Any, model: Any, inputs: Any, mask: Any) -> Any:
    """Mean of the token vectors under the mask, of unit length, shape (rows, hidden size)."""
    hidden = model(input_ids=inputs, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)
