"""Transformer encoders: loaded once, mean pooled, each text computed once.

On a CPU the features of a text do not depend on the other texts, on their order or on the number of
threads: texts are embedded in batches of one fixed shape for each length, so the same arithmetic
runs for every text, whatever is cached. Other devices round differently, so each has encoders and
caches of its own.

Models come from safetensors alone: a pickle, or a model that brings its own code, is refused.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
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
_CACHED_TOKENS = 200_000  # the same, of features of tokens

TokenFeatures = tuple[NDArray[np.int64], NDArray[np.float32]]
"""Of the n tokens of a text that stand for some of its characters: where each begins and ends,
shape (n, 2), and its features, shape (n, hidden size)."""


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
        self._token_cache: dict[str, TokenFeatures] = {}

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

    def token_features(self, texts: Sequence[str]) -> list[TokenFeatures]:
        """The last hidden states of each text's tokens, with the characters they stand for.

        Raises:
            StudentError: the tokenizer does not tell where a token stands in a text.
        """
        fresh = [text for text in dict.fromkeys(texts) if text not in self._token_cache]
        offsets = dict(zip(fresh, self.offsets(fresh), strict=True))
        found = {text: self._token_cache[text] for text in texts if text not in offsets}
        for text, hidden in self._embed(fresh, self.hidden_states):
            found[text] = spanning(offsets[text], hidden)
        self._token_cache = {text: found[text] for text in fresh} | self._token_cache
        excess = sum(len(spans) for spans, _ in self._token_cache.values()) - _CACHED_TOKENS
        while excess > 0:
            excess -= len(self._token_cache.popitem()[1][0])
        return [found[text] for text in texts]

    def offsets(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """Where each token begins and ends in its text, in characters; shape (tokens, 2) each.

        Raises:
            StudentError: the tokenizer does not tell.
        """
        if not self.tokenizer.is_fast:
            raise StudentError(
                f"The encoder's tokenizer, {type(self.tokenizer).__name__}, does not tell where a "
                "token stands in a text. Choose an encoder with a tokenizer.json."
            )
        if not texts:
            return []
        found = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_length, return_offsets_mapping=True
        )
        return [np.array(rows, dtype=np.int64) for rows in found["offset_mapping"]]

    def tokens(self, texts: Sequence[Any]) -> list[list[int]]:
        """Token ids of every text, or pair of texts, at most `max_length`."""
        found = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)
        return [list(ids) for ids in found["input_ids"]]

    def pool(self, model: Any, ids: Sequence[Sequence[int]], *, rows: int, length: int) -> Any:
        """Features of rows of token ids by a model on this device, shape (rows, hidden size).

        Rows beyond those given are empty, and token ids are padded to `length`.
        """
        return mean_pool(model, *self._padded(ids, rows, length))

    def hidden_states(
        self, model: Any, ids: Sequence[Sequence[int]], *, rows: int, length: int
    ) -> Any:
        """As `pool`, before pooling: shape (rows, length, hidden size)."""
        inputs, mask = self._padded(ids, rows, length)
        return model(input_ids=inputs, attention_mask=mask).last_hidden_state

    def _padded(self, ids: Sequence[Sequence[int]], rows: int, length: int) -> tuple[Any, Any]:
        import torch

        inputs = torch.full((rows, length), self.tokenizer.pad_token_id or 0, dtype=torch.long)
        mask = torch.zeros((rows, length), dtype=torch.long)
        mask[len(ids) :, 0] = 1  # an empty row attends to one token: none at all gives NaN
        for i, row in enumerate(ids):
            inputs[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = 1
        return inputs.to(self.device.name), mask.to(self.device.name)

    def forget(self) -> None:
        """Empty the cache."""
        self._cache.clear()
        self._token_cache.clear()

    def save(self, folder: Path) -> None:
        """Write model and tokenizer; see `save_weights`."""

        def save(new: Path) -> None:
            self.model.save_pretrained(new)
            self.tokenizer.save_pretrained(new)

        save_weights(folder, self.origin, save)

    def _embed(
        self, texts: Sequence[Any], read: Callable[..., Any] | None = None
    ) -> Iterator[tuple[Any, NDArray[np.float32]]]:
        """Yield each text with what `pool`, or `hidden_states`, gives of it, batch by batch."""
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
                    found = (read or self.pool)(self.model, rows, rows=size, length=length)
                yield from zip((text for text, _ in batch), found.cpu().numpy(), strict=False)


def spanning(offsets: NDArray[np.int64], hidden: NDArray[np.float32]) -> TokenFeatures:
    """What stands for characters: no special token, and nothing that fills a row up.

    Args:
        offsets: shape (tokens, 2); a special token is empty.
        hidden: shape (tokens or more, hidden size).
    """
    kept = offsets[:, 1] > offsets[:, 0]
    return offsets[kept], hidden[: len(offsets)][kept]


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
