"""Static embeddings: one vector a token, whatever stands beside it. No network is run.

A text is the mean of its tokens' vectors: a lookup, hundreds of times cheaper than an encoder.
Such tables are made from the embeddings of larger models, as model2vec (Minish Lab) and WordLlama
(Miller) do.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgkd.errors import StudentError
from pgkd.extras import require
from pgkd.files import link_or_copy, write_anew
from pgkd.tasks.classification.students.encoders import Origin
from pgkd.weights.fetch import ensure
from pgkd.weights.pins import find

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_JOB = "The static student"
_TABLES = ("embedding.weight", "embeddings")  # as WordLlama and model2vec call it
_TABLE_FILE, _TOKENIZER_FILE = "embeddings.safetensors", "tokenizer.json"


class StaticEmbeddings:
    """A table of token vectors, with its tokenizer.

    Args:
        table: shape (vocabulary, width), float32.
        tokenizer: a `tokenizers.Tokenizer`.
        origin: where exactly it was loaded from.
    """

    def __init__(self, table: NDArray[np.float32], tokenizer: Any, origin: Origin) -> None:
        self.table = table
        self.tokenizer = tokenizer
        self.origin = origin

    def features(self, texts: Sequence[str], max_length: int) -> NDArray[np.float64]:
        """Mean token vectors of unit length, shape (n, width); zeros for a text without tokens.

        The row of a text does not depend on the others: its vectors are summed by themselves.

        Args:
            texts: n texts.
            max_length: tokens of a text that are read.
        """
        found = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        ids = [encoded.ids[:max_length] for encoded in found]
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
        """Write table and tokenizer; files that are still as loaded are hard-linked."""
        files = self.origin.unchanged_files()

        def write(new: Path) -> None:
            from safetensors.numpy import save_file

            for path in files:
                link_or_copy(path, new / path.name)
            if not files:
                save_file({_TABLES[0]: self.table}, new / _TABLE_FILE)
                self.tokenizer.save(str(new / _TOKENIZER_FILE))

        write_anew(folder, write)


def load_embeddings(source: str) -> StaticEmbeddings:
    """Load a table once; students share it.

    Args:
        source: a name of `pgkd models list`, or a folder with one safetensors file and
            ``tokenizer.json``, such as model2vec writes.

    Raises:
        StudentError: it cannot be loaded.
        WeightsError: known weights are not here and cannot be fetched.
        MissingExtraError: the extra ``static`` is not installed.
    """
    if find(source) is None and not Path(source).is_dir():
        raise StudentError(
            f"The embeddings '{source}' are neither a name of `pgkd models list` nor a folder."
        )
    return _load(Origin.of(Path(ensure(source))))


@lru_cache(maxsize=4)
def _load(origin: Origin) -> StaticEmbeddings:
    tokenizers = require("tokenizers", extra="static", job=_JOB)
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    folder = Path(origin.source)
    tables = sorted(folder.glob("*.safetensors"))
    try:
        if len(tables) != 1:
            raise ValueError(f"it holds {len(tables)} safetensors files, not one")
        table = _table(load_file(tables[0]))
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / _TOKENIZER_FILE))
        if tokenizer.get_vocab_size() > len(table):
            raise ValueError("its tokenizer knows more tokens than the table has rows")
    except (OSError, ValueError, SafetensorError) as error:
        raise StudentError(f"The embeddings in {folder} cannot be loaded: {error}") from error
    except Exception as error:  # of the class Exception itself, and no other: tokenizers' own
        raise StudentError(f"{folder / _TOKENIZER_FILE} cannot be read: {error}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return StaticEmbeddings(table, tokenizer, origin)


def _table(arrays: dict[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The table of a file; model2vec's may share rows between tokens, and weigh them."""
    found = [arrays[name] for name in _TABLES if name in arrays]
    if len(found) != 1 or found[0].ndim != 2:
        raise ValueError(f"it holds no table named {' or '.join(_TABLES)}")
    table = found[0].astype(np.float32)
    if "mapping" in arrays:
        table = table[arrays["mapping"].astype(np.int64)]
    if "weights" in arrays:
        table = table * arrays["weights"].astype(np.float32)[:, None]
    return np.ascontiguousarray(table)
