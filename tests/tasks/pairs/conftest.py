"""Pairs that a small encoder can learn: how much of the second text is about billing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pgkd import Config, Distiller, FakeTeacher, RunFolder
from pgkd.teachers.base import Reply, Request
from tests.conftest import TOPICS

Answer = Callable[[Request], str | Reply]


def make_text(topic: str, rng: random.Random) -> str:
    words = [
        *rng.sample(TOPICS[topic].split(), 4),
        *rng.sample(["day", "case", "and", "then", "on"], 2),
    ]
    return " ".join(rng.sample(words, len(words))) + f" {rng.randrange(1000)}"


def make_pair(share: float, rng: random.Random) -> tuple[str, str]:
    """Two texts; of the second that share of words is about billing."""
    n = round(4 * share)
    other = TOPICS[rng.choice(["delivery", "account"])].split()
    words = [*rng.sample(TOPICS["billing"].split(), n), *rng.sample(other, 4 - n)]
    second = " ".join(rng.sample(words, 4)) + f" {rng.randrange(1000)}"
    return make_text(rng.choice(sorted(TOPICS)), rng), second


def make_labelled(n: int, seed: int = 0) -> tuple[list[tuple[str, str]], list[str]]:
    rng = random.Random(seed)
    labels = [("billing", "other")[i % 2] for i in range(n)]
    return [make_pair(label == "billing", rng) for label in labels], labels


def make_scored(n: int, seed: int = 0) -> tuple[list[tuple[str, str]], list[float]]:
    rng = random.Random(seed)
    scores = [rng.randrange(5) + 0.5 * (i < 2) for i in range(n)]
    return [make_pair(min(score, 4) / 4, rng) for score in scores], scores


def asked(request: Request) -> tuple[int, list[Any], str]:
    """How many pairs a request asks for, what they may have, and by which key."""
    samples = request.schema["properties"]["samples"]  # type: ignore[index]
    item = samples["items"]["properties"]
    key = "label" if "label" in item else "score"
    return samples["maxItems"], item[key]["enum"], key


def right(request: Request) -> str:
    """Pairs that are what was asked for."""
    rng = random.Random(request.messages[1].content)
    count, values, key = asked(request)
    found = []
    for _ in range(count):
        value = rng.choice(values)
        share = float(value == "billing") if key == "label" else min(value, 4) / 4
        first, second = make_pair(share, rng)
        found.append({"text": first, "text_pair": second, key: value})
    return json.dumps({"samples": found})


def weak(request: Request) -> str:
    """Pairs that are the contrary of what was asked for."""
    rng = random.Random(request.messages[1].content)
    count, values, key = asked(request)
    found = []
    for _ in range(count):
        first, second = make_pair(float(values[0] == "other"), rng)
        found.append({"text": first, "text_pair": second, key: values[0]})
    return json.dumps({"samples": found})


@pytest.fixture
def settings(tmp_path: Path, tiny_encoder: Path) -> dict[str, Any]:
    return {
        "task": "pairs", "rounds": 2, "patience": 9, "texts": 40, "out": str(tmp_path / "run"),
        "student": {"encoder": str(tiny_encoder), "recipe": "frozen"},
        "guidance": {"folds": 3, "texts_per_request": 4},
    }  # fmt: skip


def distil(
    settings: dict[str, Any], reply: Answer = right, data: Any = None, **more: Any
) -> RunFolder:
    config = Config.parse({**settings, **more})
    return Distiller(config, teacher=FakeTeacher(reply)).fit(*(data or make_labelled(40))).run_
