"""Texts to vectors: a transformer encoder, mean pooled, each text computed once.

The features of a text do not depend on which other texts are asked for beside it, in which order,
or on how many threads: texts are embedded in batches of one fixed shape for each length, so the
same arithmetic runs for every text. Students stay the same to the byte, whatever was cached before.
"""

from __future__ import annotations

import os
import shutil
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.weights import ensure, find

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_JOB = "The encoder student"
_BATCH = 16  # rows of every batch; the last one of a length is filled up with empty rows
_STEP = 8  # token lengths are rounded up to a multiple of this
_CACHED_TEXTS = 200_000  # of the cache, about 300 MB at 384 features
_MODEL_FILES = ("*.json", "*.safetensors", "*.txt", "*.model")


class Encoder:
    """An encoder with its tokenizer, and a cache of features by text.

    Args:
        model: a `transformers` model without a head.
        tokenizer: its tokenizer.
        max_length: tokens of a text that are read.
        source: folder that holds exactly this model, or None where it was changed in memory.
    """

    def __init__(self, model: Any, tokenizer: Any, *, max_length: int, source: Path | None) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.source = source
        limit = getattr(model.config, "max_position_embeddings", max_length)
        self.max_length = min(max_length, limit)
        self._cache: dict[str, NDArray[np.float32]] = {}

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

    def save(self, folder: Path) -> None:
        """Write model and tokenizer; unchanged files are hard-linked where that is possible."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.source is None:
            self.model.save_pretrained(folder)
            self.tokenizer.save_pretrained(folder)
            return
        for pattern in _MODEL_FILES:
            for path in sorted(self.source.glob(pattern)):
                _link_or_copy(path, folder / path.name)

    def _remember(self, fresh: dict[str, NDArray[np.float32]]) -> None:
        self._cache.update(fresh)
        for text in list(self._cache)[: max(0, len(self._cache) - _CACHED_TEXTS)]:
            del self._cache[text]

    def _embed(self, texts: Sequence[str]) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Yield each text with its features, batch by batch."""
        torch = require("torch", extra="train", job=_JOB)
        by_length: dict[int, list[tuple[str, list[int]]]] = {}
        for text, ids in zip(texts, self.tokens(texts) if texts else (), strict=True):
            length = min(-(-len(ids) // _STEP) * _STEP, self.max_length)
            by_length.setdefault(max(length, len(ids)), []).append((text, ids))
        for length, group in sorted(by_length.items()):
            for start in range(0, len(group), _BATCH):
                batch = group[start : start + _BATCH]
                rows = [ids for _, ids in batch]
                pad = self.tokenizer.pad_token_id or 0
                inputs, mask = padded(torch, rows, rows=_BATCH, length=length, pad=pad)
                with torch.inference_mode():
                    pooled = mean_pool(torch, self.model, inputs, mask)
                yield from zip((text for text, _ in batch), pooled.numpy(), strict=False)


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


@lru_cache(maxsize=4)
def load_encoder(source: str, max_length: int) -> Encoder:
    """Load an encoder once; students that share it share its cache.

    Args:
        source: a name of `pgkd models list`, a folder, or a name on the Hugging Face hub.
        max_length: tokens of a text that are read.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``train`` is not installed.
    """
    transformers = require("transformers", extra="train", job=_JOB)
    require("torch", extra="train", job=_JOB)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    known = find(source) is not None or Path(source).is_dir()
    path = ensure(source) if known else source
    here = known or os.environ.get("PGKD_OFFLINE") == "1"
    try:
        model = transformers.AutoModel.from_pretrained(path, local_files_only=here)
        tokenizer = transformers.AutoTokenizer.from_pretrained(path, local_files_only=here)
    except (OSError, ValueError) as error:
        raise StudentError(
            f"The encoder '{source}' cannot be loaded: {str(error).splitlines()[0]} "
            "Give a name of `pgkd models list`, a folder, or a hub name that can be reached."
        ) from error
    return Encoder(model, tokenizer, max_length=max_length, source=Path(path) if known else None)


def _link_or_copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source.resolve())
    except OSError:
        shutil.copy2(source, target)
