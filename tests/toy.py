"""The smallest kind of task: how many words a text has, learnt as a mean by first letter."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pgkd.config import Config
from pgkd.curation import Curator
from pgkd.synthesis import Synthesizer
from pgkd.task import Evaluation, Example, Origin, Parsed, Prompt, Rejected, Task
from pgkd.teachers.base import Message, Reply, Request
from pgkd.teachers.replies import objects


@dataclass(frozen=True)
class Counted(Example):
    text: str
    words: float
    id: str = ""
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def output(self) -> str:
        return str(self.words)

    def revised(self, text: str | None, output: str | None) -> Counted:
        words = float(output) if output else self.words
        return replace(self, text=text or self.text, words=words, human_verified=True)


@dataclass(frozen=True)
class Rows:
    train: tuple[Counted, ...]
    validation: tuple[Counted, ...]
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        parts = {"train": self.train, "validation": self.validation}
        return {name: [row.to_json() for row in rows] for name, rows in parts.items()}


class Means:
    """The student: the mean of the words by first letter."""

    def __init__(self, means: Mapping[str, float]) -> None:
        self.means = dict(means)

    def predict(self, texts: Sequence[str]) -> list[float]:
        return [self.means.get(text[0], 0.0) for text in texts]

    def answers(self, inputs: Sequence[str]) -> list[dict[str, Any]]:
        return [{"words": words} for words in self.predict(inputs)]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "student.json").write_text(json.dumps(self.means, sort_keys=True))


@dataclass(frozen=True)
class Errors(Evaluation):
    @property
    def figures(self) -> dict[str, float]:
        return {"error": float(self.losses.mean())}

    @property
    def n(self) -> int:
        return len(self.losses)

    @property
    def held_out(self) -> bool:
        return True

    def to_json(self) -> dict[str, Any]:
        return {"validation": {"n": self.n, **self.figures}}


@dataclass(frozen=True)
class Ask(Prompt):
    def parse(self, reply: Reply, count: int) -> Parsed:
        items = [item for found in objects(reply.text) for item in found.get("samples", ())]
        good = [i for i in items if isinstance(i.get("words"), int) and isinstance(i["text"], str)]
        bad = tuple(
            Rejected("no number", "words is no number", str(i)) for i in items if i not in good
        )
        return Parsed(tuple(Counted(i["text"], i["words"]) for i in good[:count]), bad)


class ToyLearner:
    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def train(self, synthetic: Sequence[Counted]) -> Means:
        groups: dict[str, list[float]] = {}
        for row in (*self.rows.train, *synthetic):
            groups.setdefault(row.text[0], []).append(row.words)
        return Means({letter: float(np.mean(words)) for letter, words in groups.items()})

    def evaluate(self, student: Means, synthetic: Sequence[Counted]) -> Errors:
        rows = self.rows.validation
        guessed = student.predict([row.text for row in rows])
        return Errors(np.abs(np.array(guessed) - np.array([row.words for row in rows])))

    def prompts(self, number: int, evaluation: Errors, synthetic: Sequence[Counted]) -> list[Ask]:
        text = f"Round {number}, error {evaluation.figures['error']:.2f}: write texts of words."
        return [
            Ask(f"r{number}-000{i}", Request((Message("user", f"{text} {i}"),)), 2, (), ("more",))
            for i in (1, 2)
        ]


class Toy(Task):
    name = "toy"
    config = Config

    def load(self, config: Config) -> Rows:
        raise NotImplementedError

    def from_arrays(self, config: Config, texts: Sequence[str], words: Sequence[float]) -> Rows:
        rows = [
            Counted(*pair, id=f"train:{i}")
            for i, pair in enumerate(zip(texts, words, strict=True), start=1)
        ]
        return Rows(tuple(rows[::2]), tuple(rows[1::2]))

    def dataset(self, data: dict[str, Any]) -> Rows:
        train, validation = (tuple(map(self.example, data[p])) for p in ("train", "validation"))
        return Rows(train, validation)

    def example(self, data: dict[str, Any]) -> Counted:
        origin = data.get("origin")
        return Counted(
            data["text"], data["words"], data["id"], Origin(**origin) if origin else None
        )

    def synthesizer(self, config: Config, dataset: Rows, *rest: Any) -> Synthesizer:
        teacher, run, hooks = rest
        curator = Curator(dataset.train, dataset.validation)
        return Synthesizer(teacher, curator, run, hooks, repairs=1)

    def learner(self, config: Config, dataset: Rows, *rest: Any) -> ToyLearner:
        return ToyLearner(dataset)

    def retrainer(self, run: Any, config: Config, dataset: Rows, student: Means) -> ToyLearner:
        return ToyLearner(dataset)

    def estimate(self, config: Config, dataset: Rows, teacher: Any) -> list[tuple[Request, int]]:
        prompts = ToyLearner(dataset).prompts(1, Errors(np.zeros(1)), ())
        return [(prompt.request, prompt.count) for prompt in prompts] * config.rounds

    def load_student(self, folder: Path) -> Means:
        return Means(json.loads((folder / "student.json").read_text()))

    def output(self, answer: dict[str, Any]) -> str:
        return str(answer["words"])

    def read(self, path: Path, config: Config) -> list[Counted]:
        lines = path.read_text().splitlines()
        rows = map(json.loads, lines)
        return [Counted(row["text"], row["words"], f":{i}") for i, row in enumerate(rows, start=1)]

    def figures(
        self, answers: Sequence[dict[str, Any]], examples: Sequence[Counted]
    ) -> dict[str, float]:
        wrong = [abs(a["words"] - row.words) for a, row in zip(answers, examples, strict=True)]
        return {"error": float(np.mean(wrong))}
