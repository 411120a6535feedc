"""A language model of two layers with random weights, and rows that it can learn in a second."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from pgkd.tasks.generation.config import GenerationConfig
from pgkd.teachers.base import Request

DEVICES, STATES = ("lamp", "heater", "radio", "fan"), ("on", "off")
WORDS = ("ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "kiwi", "lynx", "moth", "newt")


def pair(device: str, state: str, rng: random.Random) -> tuple[str, str]:
    """A request, and what it says as JSON."""
    text = " ".join([*state, device, *rng.sample(WORDS, 2)])
    return text, json.dumps({"device": device, "state": state})


def pairs(n: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Inputs and outputs of n rows."""
    rng = random.Random(seed)
    found = [pair(DEVICES[i % 4], STATES[i // 4 % 2], rng) for i in range(n)]
    return [text for text, _ in found], [output for _, output in found]


def reply(request: Request) -> str:
    """Right samples, as many as the request asks for, and one whose output is no JSON."""
    rng = random.Random(f"{request.messages[-1].content}{request.sampling.seed}")
    assert request.schema is not None
    count = request.schema["properties"]["samples"]["minItems"]
    made = [pair(rng.choice(DEVICES), rng.choice(STATES), rng) for _ in range(count)]
    samples = [{"input": text, "output": output} for text, output in made]
    return json.dumps({"samples": [*samples, {"input": "turn it up", "output": "{device"}]})


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model and its tokenizer."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-model")
    bpe = ByteLevelBPETokenizer()
    bpe.train_from_iterator(
        [text for part in pairs(80) for text in part], vocab_size=400, special_tokens=["<end>"],
        show_progress=False,
    )  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe._tokenizer, eos_token="<end>", pad_token="<end>"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "max_position_embeddings": 256}
    config = LlamaConfig(
        vocab_size=len(tokenizer), eos_token_id=0, bos_token_id=None, pad_token_id=0,
        **sizes, **heads,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def settings(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    """Settings of a run that takes a second or two."""
    student = {"model": str(tiny_model), "learning_rate": 0.005, "epochs": 2, "max_output": 16}
    return {
        "task": "generation", "rounds": 1, "texts": 12, "patience": 9, "out": tmp_path / "run",
        "student": {**student, "device": "cpu"}, "metric": {"kind": "json"},
        "guidance": {"texts_per_request": 3},
    }  # fmt: skip


@pytest.fixture
def config(settings: dict[str, Any]) -> GenerationConfig:
    """The same, checked."""
    return GenerationConfig.parse(settings)
