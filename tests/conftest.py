"""What many tests share: a small task, and run folders in a temporary place."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from pgkd.config import Config
from tests.browser import browser as browser
from tests.browser import page as page
from tests.turns import pytest_collection_modifyitems as pytest_collection_modifyitems
from tests.turns import pytest_report_header as pytest_report_header
from tests.turns import pytest_runtest_setup as pytest_runtest_setup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pgkd.encoders.transformer import Encoder
    from pgkd.runs.folder import RunFolder
    from pgkd.usage.ledger import Call

os.environ["ACCELERATE_TORCH_DEVICE"] = "cpu"  # of `device: auto`: bytes are promised there alone

TOPICS = {
    "billing": "invoice charge payment refund card fee statement price",
    "delivery": "parcel courier late address tracking shipment box arrived",
    "account": "login password email profile username locked reset delete",
    "product": "broken size colour quality manual battery screen warranty",
}


def make_rows(per_class: int, *, start: int = 0) -> tuple[list[str], list[str]]:
    """Rows that a linear student can learn, all different and none near another."""
    texts, labels = [], []
    for i in range(start, start + per_class):
        for label, words in TOPICS.items():
            w = words.split()
            a, b, c = w[i % 8], w[(i * 3 + 1) % 8], w[(i * 5 + 3) % 8]
            texts.append(f"case {i * 37 % 1000}: {a} and {b}, then {c} on day {i * 7919 % 365}")
            labels.append(label)
    return texts, labels


def calls_of(run: RunFolder) -> list[Call]:
    """Every call in the ledger of a run."""
    with run.ledger() as ledger:
        return list(ledger.calls())


def until(found: Callable[[], object], seconds: float = 60) -> None:
    """Wait for what another thread or process does; the seconds bound a failure, not the speed."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)


@pytest.fixture
def rows() -> tuple[list[str], list[str]]:
    """Ten rows of each of four classes."""
    return make_rows(10)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A quick run: linear student, two rounds of six texts, of a teacher nobody examines."""
    return Config.parse(
        {
            "student": {"kind": "linear"},
            "teacher": {"provider": "fake"},
            "data": {"validation_fraction": 0.2},
            "guidance": {"folds": 3, "texts_per_request": 2},
            "pool": {"samples": 6},
            "exam": 0,
            "rounds": 2,
            "samples": 6,
            "out": tmp_path / "run",
        }
    )


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of one layer, and a word-piece tokenizer for the test rows."""
    return make_encoder(tmp_path_factory.mktemp("tiny-encoder"), make_rows(60)[0])


def make_encoder(folder: Path, texts: Sequence[str]) -> Path:
    """Save a BERT of one layer with random weights, and a tokenizer that knows these texts."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

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


def of_kind(encoder: Encoder, kind: str, **settings: Any) -> Encoder:
    """A model of another architecture, with random weights, under the same tokenizer."""
    import torch
    import transformers

    sizes = {
        "vocab_size": len(encoder.tokenizer), "hidden_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 64, "pad_token_id": 0,
    }  # fmt: skip
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**(sizes | settings))
    return encoder.with_model(getattr(transformers, f"{kind}Model")(config))


@pytest.fixture(scope="session")
def tiny_embeddings(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Path:
    """A folder with a table of random token vectors, under the tokenizer of `tiny_encoder`."""
    import shutil

    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer

    folder = tmp_path_factory.mktemp("tiny-embeddings")
    shutil.copy(tiny_encoder / "tokenizer.json", folder)
    size = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    table = np.random.default_rng(0).normal(size=(size, 24)).astype(np.float16)
    save_file({"embedding.weight": table}, folder / "embeddings.safetensors")
    return folder
