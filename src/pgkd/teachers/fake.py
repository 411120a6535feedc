"""Teachers without a model, free and offline: one for tests, one that repeats a recorded run."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from pgkd.errors import TeacherRequestError
from pgkd.teachers.base import Reply, Request, Teacher

Answer = str | Reply | Exception

_WORD = re.compile(r"[^\W\d_]{3,}")
_FILLERS = (
    *("today", "again", "please", "about", "really", "still", "never", "after", "before", "since"),
    *("another", "whole", "morning", "evening", "quickly", "somehow", "maybe", "simply", "later"),
)


class FakeTeacher(Teacher):
    """Fills the JSON schema of a request with words of its last message and of the sampled label.

    Args:
        replies: what to answer instead: answers in order, or a function of the request. A str is
            the reply's text; an exception is raised. When the answers run out, it falls back to
            filling schemas.
        seed: of the words it samples; the same request and seed give the same reply.

    Attributes:
        requests: every request so far, in order.

    Example:
        >>> teacher = FakeTeacher(["not JSON"])
        >>> teacher.complete(Request(())).text
        'not JSON'
    """

    name = "fake"

    def __init__(
        self,
        replies: Iterable[Answer] | Callable[[Request], Answer] = (),
        *,
        seed: int = 0,
        model: str = "fake",
    ) -> None:
        self.requests: list[Request] = []
        self.model = model
        self._seed = seed
        self._answer = replies if callable(replies) else None
        self._queue = [] if callable(replies) else list(replies)

    def complete(self, request: Request) -> Reply:
        """The next answer."""
        self.requests.append(request)
        if self._answer is not None:
            answer = self._answer(request)
        elif self._queue:
            answer = self._queue.pop(0)
        else:
            answer = self._filled(request)
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, Reply) else self._reply(request, answer)

    def _reply(self, request: Request, text: str) -> Reply:
        words = sum(len(message.content.split()) for message in request.messages)
        return Reply(text, self.model, input_tokens=words, output_tokens=len(text.split()))

    def _filled(self, request: Request) -> str:
        rng = np.random.default_rng([self._seed, int(request.key[:12], 16)])
        last = request.messages[-1].content if request.messages else ""
        words = _WORD.findall(last) or ["text"]
        if request.schema is None:
            return _sentence(words, rng)
        return json.dumps(_fill(request.schema, words, rng), ensure_ascii=False)


class RecordedTeacher(Teacher):
    """Repeats the replies that a run has recorded, at no cost.

    Args:
        replies: replies by `Request.key`; where one request was sent more than once, its replies
            come in the order of the recording.
    """

    name = "recorded"

    def __init__(self, replies: Mapping[str, Sequence[Reply]]) -> None:
        self._replies = {key: list(found) for key, found in replies.items()}
        # As the recorded teacher, or the requests would differ.
        self.scores_choices = any(
            reply.scores is not None for found in replies.values() for reply in found
        )

    @classmethod
    def from_run(cls, run: Path) -> Self:
        """Read the replies of a run folder.

        Raises:
            RunError: the folder contains no record of calls, or it is damaged.
        """
        from pgkd.usage.ledger import Ledger  # which imports the contract of teachers

        replies: defaultdict[str, list[Reply]] = defaultdict(list)
        with Ledger.to_read(run / "ledger.sqlite", within=run) as ledger:
            for call in ledger.calls():
                if call.reply is not None:
                    replies[call.key].append(call.reply)
        return cls(replies)

    def complete(self, request: Request) -> Reply:
        """The recorded reply.

        Raises:
            TeacherRequestError: no reply to this request is left in the recording.
        """
        left = self._replies.get(request.key)
        if not left:
            raise TeacherRequestError(
                f"No recorded reply is left for request {request.key[:12]}: the recording was made "
                "with other rows, settings or another version."
            )
        return left.pop(0)


def _fill(schema: dict[str, Any], words: list[str], rng: np.random.Generator) -> Any:
    """A value that satisfies a schema of the kinds that pgkd sends."""
    if "enum" in schema:
        return schema["enum"][int(rng.integers(len(schema["enum"])))]
    match schema.get("type"):
        case "object":
            return _filled_object(schema.get("properties", {}), words, rng)
        case "array":
            return [_fill(schema["items"], words, rng) for _ in range(schema.get("minItems", 0))]
        case "integer":
            return int(rng.integers(1, 10))
        case "number":
            return float(rng.random())
        case "boolean":
            return bool(rng.integers(2))
        case _:
            return _sentence(words, rng)


def _filled_object(
    properties: dict[str, Any], words: list[str], rng: np.random.Generator
) -> dict[str, Any]:
    """An object whose texts name its labels, so that a student can learn from them."""
    enums = {key: _fill(part, words, rng) for key, part in properties.items() if "enum" in part}
    named = [word for label in enums.values() for word in _WORD.findall(str(label))]
    return {
        key: enums[key] if key in enums
        else _sentence(words, rng, named) if part.get("type") == "string"
        else _fill(part, words, rng)
        for key, part in properties.items()
    }  # fmt: skip


def _sentence(words: list[str], rng: np.random.Generator, named: Sequence[str] = ()) -> str:
    drawn = [*named, *rng.choice(words, size=5), *rng.choice(_FILLERS, size=3)]
    return " ".join(str(word) for word in rng.permutation(drawn))
