"""The contract of a teacher: one method, from a `Request` to a `Reply`."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from pgkd.teachers.batch import BatchApi

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "refusal", "other"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the reply is drawn. Providers that lack a setting ignore it."""

    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a teacher.

    Attributes:
        messages: the conversation, static parts first so that prefix caches hit.
        schema: JSON schema that the reply's text has to satisfy, or None for free text.
        sampling: how the reply is drawn.
        purpose: what it is for (``"describe"``, ``"write"``, ``"repair"``,
            ``"label"``, ``"audit"``); for the ledger only.
        id: its name in the run, such as ``r3-0007`` of round 3; for the ledger only.
        repeat: tells requests apart that ask the same to sample more than one reply.
        choices: the only replies wanted. A teacher with `scores_choices` tells in its reply how
            likely each is; others take no notice.
        wants_logprob: whether the reply should bear its log-probability, where the provider tells.
    """

    messages: tuple[Message, ...]
    schema: dict[str, Any] | None = None
    sampling: Sampling = field(default_factory=Sampling)
    purpose: str = "write"
    id: str = ""
    repeat: int = 0
    choices: tuple[str, ...] = ()
    wants_logprob: bool = False
    _key: str = field(default="", init=False, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a JSON line."""
        return {
            "messages": [_plain(message) for message in self.messages],
            "schema": self.schema,
            "sampling": _plain(self.sampling),
            "purpose": self.purpose,
            "id": self.id,
            "repeat": self.repeat,
            "choices": self.choices,
            "wants_logprob": self.wants_logprob,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Request:
        """Rebuild from `to_json`'s data."""
        messages = tuple(Message(**message) for message in data["messages"])
        return cls(**{**data, "messages": messages, "sampling": Sampling(**data["sampling"])})

    @property
    def key(self) -> str:
        """SHA-256 of everything that shapes the reply: two requests with one key ask the same."""
        if not self._key:  # a call wants it four times, and a prompt is long
            object.__setattr__(self, "_key", self._hashed())
        return self._key

    def _hashed(self) -> str:
        content = {k: v for k, v in self.to_json().items() if k not in ("purpose", "id")}
        for later in ("choices", "wants_logprob"):  # keys of older ledgers and caches stay good
            if not content[later]:
                del content[later]
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """What a teacher answered. The text is untrusted.

    Attributes:
        text: the answer as it came; whether it fits the schema is the reader's to check.
        model: the model that answered, as the provider names it.
        input_tokens: tokens of the prompt, None where the provider does not say.
        output_tokens: tokens of the answer, None where the provider does not say.
        seconds: wall time of the call.
        finish_reason: ``"length"`` means that the text is cut off.
        scores: log-probability of each of the request's choices, given that it is one of them;
            None where the teacher cannot tell.
        logprob: log-probability of the text, where it was wanted and the provider tells it.
        cached_tokens: tokens of the prompt that the provider had in its own cache, and bills for
            less; they are among `input_tokens`. None where it does not say.
    """

    text: str
    model: str
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0
    finish_reason: FinishReason = "stop"
    scores: tuple[float, ...] | None = None
    logprob: float | None = None
    cached_tokens: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a JSON line."""
        return _plain(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Reply:
        """Rebuild from `to_json`'s data.

        Raises:
            TypeError, ValueError: it is no such data.
        """
        reply = cls(**data)
        if reply.scores is None:
            return reply
        return replace(reply, scores=tuple(map(float, reply.scores)))


def _plain(record: Message | Sampling | Reply) -> dict[str, Any]:
    """The fields of a record that holds no other; `asdict` copies deeply, call by call."""
    return {name: getattr(record, name) for name in record.__slots__}


class Teacher(ABC):
    """An LLM to learn from. A plug-in implements `complete`, and `close` if it holds anything."""

    name: str = "teacher"
    model: str = ""
    """The model asked, as its price list names it."""
    biller: str | None = None
    """Whose prices apply: a provider by genai-prices' name or the URL of an API; None bills nobody,
    for the model runs on the user's own machine."""
    concurrency: int = 1
    """Calls that it can take at once, from several threads."""
    scores_choices: bool = False
    """Whether its replies to a request with `choices` bear the scores of them all."""
    thinks: bool = False
    """Whether its model is known to think before it answers; its bounds then allow for it."""

    def _stand_for(self, other: Teacher) -> None:
        """Take the name, the prices and the abilities of the teacher that this one passes on to."""
        self.name, self.model, self.biller = other.name, other.model, other.biller
        self.concurrency, self.scores_choices = other.concurrency, other.scores_choices
        self.thinks = other.thinks

    @abstractmethod
    def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            TeacherError: no reply came; the subclass says whether a retry may help.
        """

    def attempt(self, request: Request) -> Reply:
        """Answer one request with a single call, for callers that record every call.

        Raises:
            FieldRefusedError: the endpoint refuses a part of the request, which it is not sent
                again: ask once more.
            TeacherError: as `complete`.
        """
        return self.complete(request)

    def prepare(self, requests: Sequence[Request]) -> None:  # noqa: B027  (most ask one by one)
        """Hear what will be asked next, each with its id; the replies may be fetched ahead.

        Raises:
            TeacherError: they cannot be fetched, and asking one by one would not be what was
                wanted.
        """

    def batches(self) -> BatchApi | None:
        """How it takes many requests at once, for answers within a day; None where it does not."""
        return None

    def close(self) -> None:  # noqa: B027  (most teachers hold nothing)
        """Release what the teacher holds: a model in memory, a connection pool."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
