"""Transformer encoders: loaded once, mean pooled, each text computed once.

On a CPU the features of a text do not depend on the other texts, on their order or on the number of
threads: texts are embedded in batches of one fixed shape for each length, so the same arithmetic
runs for every text, whatever is cached. Other devices round differently, so each has encoders and
caches of its own.

Models come from safetensors alone: a pickle, or a model that brings its own code, is refused.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.devices import CPU, Device
from pgkd.encoders.origin import WeightsOrigin, save_weights
from pgkd.errors import StudentError
from pgkd.extras import require

_JOB = "The encoder student"
_BATCH = 8  # rows of every batch; the last one of a length is filled up with empty rows
_LARGE_BATCH = 128  # the same on a GPU, which eight rows leave idle
_STEP = 8  # token lengths are rounded up to a multiple of this
_CACHED_TEXTS = 200_000  # about 300 MB at 384 features


class Encoder:
    """An encoder with its tokenizer, and a cache of features by text.

    Args:
        model: a `transformers` model without a head, on its device.
        tokenizer: its tokenizer.
        max_length: number of tokens of a text that are read.
        origin: where this model was loaded from, or None where it was trained in memory.
        device: where the model is.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_length: int,
        origin: WeightsOrigin | None,
        device: Device = CPU,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.origin = origin
        self.device = device
        limit = getattr(model.config, "max_position_embeddings", max_length)
        self.max_length = int(min(max_length, limit, tokenizer.model_max_length))
        self._cache: dict[Any, NDArray[np.float32]] = {}  # by text, or by pair of texts

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.model.config.hidden_size)

    def with_model(self, model: Any) -> Encoder:
        """This encoder with another, trained model, and an empty cache."""
        return Encoder(
            model, self.tokenizer, max_length=self.max_length, origin=None, device=self.device
        )

    def features(self, texts: Sequence[Any]) -> NDArray[np.float64]:
        """Mean-pooled features of unit length, shape (n, hidden size).

        A pair of texts, as a tuple, is read as one input, with all tokens of the first segment.

        Pooling after Sentence-BERT (Reimers & Gurevych, EMNLP 2019).
        """
        fresh = dict(self._embed([t for t in dict.fromkeys(texts) if t not in self._cache]))
        rows = [fresh[text] if text in fresh else self._cache[text] for text in texts]
        self._cache.update(fresh)
        excess = max(0, len(self._cache) - _CACHED_TEXTS)
        for text in list(islice(self._cache, excess)):  # the oldest come first
            del self._cache[text]
        return np.array(rows, dtype=np.float64).reshape(len(texts), self.width)

    def tokens(self, texts: Sequence[Any]) -> list[list[int]]:
        """Token ids of every text, or pair of texts, at most `max_length`."""
        found = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
        return [list(ids) for ids in found["input_ids"]]

    def pool(self, model: Any, ids: Sequence[Sequence[int]], *, rows: int, length: int) -> Any:
        """Features of rows of token ids by a model on this device, shape (rows, hidden size).

        Rows beyond those given are empty, and token ids are padded to `length`.
        """
        import torch

        inputs = torch.full((rows, length), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((rows, length), dtype=torch.long)
        mask[len(ids) :, 0] = 1  # an empty row attends to one token: none at all gives NaN
        for i, row in enumerate(ids):
            inputs[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return mean_pool(model, inputs.to(self.device.name), mask.to(self.device.name))

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()

    def save(self, folder: Path) -> None:
        """Write model and tokenizer; see `save_weights`."""

        def save(new: Path) -> None:
            self.model.save_pretrained(new)
            self.tokenizer.save_pretrained(new)

        save_weights(folder, self.origin, save)

    def _embed(self, texts: Sequence[Any]) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """Yield each text with its features, batch by batch."""
        import torch

        size = _BATCH if self.device.name == "cpu" else _LARGE_BATCH
        by_length: dict[int, list[tuple[Any, list[int]]]] = {}
        for text, ids in zip(texts, self.tokens(texts) if texts else (), strict=True):
            length = min(-(-len(ids) // _STEP) * _STEP, self.max_length)
            by_length.setdefault(max(length, len(ids)), []).append((text, ids))
        for length, group in sorted(by_length.items()):
            for start in range(0, len(group), size):
                batch = group[start : start + size]
                rows = [ids for _, ids in batch]
                with torch.inference_mode():
                    pooled = self.pool(self.model, rows, rows=size, length=length)
                yield from zip((text for text, _ in batch), pooled.cpu().numpy(), strict=False)


def mean_pool(model: Any, inputs: Any, mask: Any) -> Any:
    """Mean of the token vectors under the mask, of unit length, shape (rows, hidden size)."""
    import torch

    hidden = model(input_ids=inputs, attention_mask=mask).last_hidden_state
    weight = mask.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weight).sum(1) / weight.sum(1)
    return torch.nn.functional.normalize(mean, dim=1)


def load_encoder(source: str, max_length: int, device: Device = CPU) -> Encoder:
    """Load an encoder once; students that share it share its cache.

    Args:
        source: a name of `pgkd models list`, a folder, or a name on the Hugging Face hub.
        max_length: number of tokens of a text that are read.
        device: where to put it.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``train`` is not installed.
    """
    return _load(
        WeightsOrigin.find(source) or WeightsOrigin(source, ((source,),)), max_length, device
    )


def forget_encoders() -> None:
    """Drop all loaded encoders and their features from memory."""
    _load.cache_clear()


@lru_cache(maxsize=4)
def _load(origin: WeightsOrigin, max_length: int, device: Device) -> Encoder:
    transformers = require("transformers", extra="train", job=_JOB)
    require("torch", extra="train", job=_JOB)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else it warns of every later fork
    offline = Path(origin.source).is_dir() or os.environ.get("PGKD_OFFLINE") == "1"
    safe = {"local_files_only": offline, "trust_remote_code": False}
    try:
        model = transformers.AutoModel.from_pretrained(origin.source, use_safetensors=True, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(origin.source, **safe)
    except (OSError, ValueError) as error:
        raise StudentError(
            f"The encoder '{origin.source}' cannot be loaded: {str(error).splitlines()[0]} "
            "Give a name of `pgkd models list`, a folder, or a hub name that can be reached."
        ) from error
    model = model.to(device.name)
    return Encoder(model, tokenizer, max_length=max_length, origin=origin, device=device)
