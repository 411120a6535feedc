"""Static embeddings: a vector for each token, whatever its context.

A text is the mean of its tokens' vectors: a lookup, hundreds of times cheaper than a transformer.
Such tables are distilled from larger models, as by model2vec (Minish Lab) and WordLlama (Miller).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pgkd.encoders.origin import WeightsOrigin, save_weights
from pgkd.errors import StudentError
from pgkd.extras import require

_TABLES = ("embedding.weight", "embeddings")  # in the files of WordLlama and of model2vec
_TABLE_FILE, _TOKENIZER_FILE = "embeddings.safetensors", "tokenizer.json"


class StaticEmbeddings:
    """A table of token vectors, with its tokenizer.

    Args:
        table: shape (vocabulary, width), float32.
        tokenizer: a `tokenizers.Tokenizer`.
        origin: where it was loaded from.
    """

    def __init__(self, table: NDArray[np.float32], tokenizer: Any, origin: WeightsOrigin) -> None:
        self.table = table
        self.tokenizer = tokenizer
        self.origin = origin

    def features(self, texts: Sequence[str], max_length: int) -> NDArray[np.float64]:
        """Mean token vectors of unit length, shape (n, width); zeros for a text without tokens.

        The row of a text does not depend on the other texts. Only the first `max_length` tokens of
        a text are read.
        """
        encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [row.ids[:max_length] for row in encoded]
        lengths = np.array([len(row) for row in ids], dtype=np.int64)
        means = np.zeros((len(ids), self.table.shape[1]), dtype=np.float32)
        filled = np.flatnonzero(lengths)
        if len(filled):
            flat = np.fromiter(chain.from_iterable(ids), np.int64, int(lengths.sum()))
            starts = np.concatenate(([0], np.cumsum(lengths[filled])[:-1]))
            sums = np.add.reduceat(self.table[flat], starts, axis=0)
            norms = np.linalg.norm(sums, axis=1, keepdims=True)
            means[filled] = sums / np.maximum(norms, np.finfo(np.float32).tiny)
        return means.astype(np.float64)

    def save(self, folder: Path) -> None:
        """Write table and tokenizer; see `save_weights`."""

        def save(new: Path) -> None:
            from safetensors.numpy import save_file

            save_file({_TABLES[0]: self.table}, new / _TABLE_FILE)
            self.tokenizer.save(str(new / _TOKENIZER_FILE))

        save_weights(folder, self.origin, save)


def load_embeddings(source: str) -> StaticEmbeddings:
    """Load a table once; students share it.

    Args:
        source: a name of `pgkd models list`, or a folder with one safetensors file and
            ``tokenizer.json``, as model2vec writes it.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``static`` is not installed.
    """
    origin = WeightsOrigin.find(source)
    if origin is None:
        raise StudentError(
            f"The embeddings '{source}' are neither a name of `pgkd models list` nor a folder."
        )
    return _load(origin)


@lru_cache(maxsize=4)
def _load(origin: WeightsOrigin) -> StaticEmbeddings:
    tokenizers = require("tokenizers", extra="static", job="The static student")
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(origin.source)
    tables = sorted(folder.glob("*.safetensors"))
    try:
        if len(tables) != 1:
            raise ValueError(f"it has {len(tables)} safetensors files instead of one")
        table = _find_table(load_file(tables[0]))
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / _TOKENIZER_FILE))
        if tokenizer.get_vocab_size() > len(table):
            raise ValueError("its tokenizer knows more tokens than the table has rows")
    except (OSError, ValueError, SafetensorError) as error:
        raise StudentError(f"The embeddings in {folder} cannot be loaded: {error}") from error
    except Exception as error:  # tokenizers raises the class Exception itself
        raise StudentError(f"{folder / _TOKENIZER_FILE} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return StaticEmbeddings(table, tokenizer, origin)


def _find_table(arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The table of a file; in model2vec's, tokens may share rows and have weights."""
    found = [arrays[name] for name in _TABLES if name in arrays]
    if len(found) != 1 or found[0].ndim != 2:
        raise ValueError(f"it has no table named {' or '.join(_TABLES)}")
    table = found[0].astype(np.float32)
    if "mapping" in arrays:
        table = table[arrays["mapping"].astype(np.int64)]
    if "weights" in arrays:
        table = table * arrays["weights"].astype(np.float32)[:, None]
    return np.ascontiguousarray(table)
