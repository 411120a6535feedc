"""A student that loads in a moment and needs neither torch nor scikit-learn, and texts for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from pgkd.apps.bulk.predicting import BulkJob, Source
from pgkd.tasks.common import saving
from tests.conftest import TOPICS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WORDS = " ".join(TOPICS.values()).split()


def make_texts(n: int) -> list[str]:
    """Different texts of one to nine words, in no order of length."""
    rng = np.random.default_rng(n)
    drawn = (rng.choice(WORDS, size=rng.integers(1, 10)) for _ in range(n))
    return [f"{i} {' '.join(words)}" for i, words in enumerate(drawn)]


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a static student with random vectors."""
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("model")
    rng = np.random.default_rng(0)
    width, classes = 16, list(TOPICS)
    description = {
        "kind": "static",
        "classes": classes,
        "settings": {"seed": 0, "embeddings": "elsewhere", "max_length": 32},
        "head": {"C": 1.0, "class_weight": None, "calibration": {}, "fine_tuned": {}},
    }
    weights = rng.normal(size=(len(classes), width))
    saving.write(folder, description, {"weights": weights, "bias": np.zeros(len(classes))})
    (folder / "embeddings").mkdir()
    ids = {word: i for i, word in enumerate(["[UNK]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "embeddings" / "tokenizer.json"))
    table = rng.normal(size=(len(ids), width)).astype(np.float32)
    save_file({"embeddings": table}, folder / "embeddings" / "embeddings.safetensors")
    return folder


@pytest.fixture
def job(model: Path, tmp_path: Path) -> BulkJob:
    """Three hundred lines of text."""
    return BulkJob(Source(write_lines(tmp_path / "texts.txt", make_texts(300))), model, ".csv")
