"""A tiny encoder with random weights: real transformers code, no download."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conftest import make_rows

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of one layer, and a word-piece tokenizer for the test rows."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-encoder")
    texts, _ = make_rows(60)
    words = sorted({word for text in texts for word in text.lower().replace(":", " ").split()})
    pieces = [
        *"abcdefghijklmnopqrstuvwxyz0123456789:,.",
        *(f"##{c}" for c in "abcdefghi0123456789"),
    ]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = dict.fromkeys([*special, *pieces, *words])
    pieces_of = BertWordPieceTokenizer(vocab={piece: i for i, piece in enumerate(vocabulary)})
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=pieces_of._tokenizer, pad_token="[PAD]", unk_token="[UNK]",
        cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]",
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    BertModel(config).save_pretrained(folder)
    return folder
