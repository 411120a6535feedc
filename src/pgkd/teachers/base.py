"""The contract of a teacher: one method, from a `Request` to a `Reply`; and of its batches."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, Self

from pgkd.errors import TeacherError

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length", "refusal", "other"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the reply is sampled. Providers that lack a setting ignore it."""

    temperature: float = 0.8
    top_p: float = 0.95
    max_tokens: int = 1024
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A prompt to a teacher.

    Attributes:
        messages: the conversation, static parts first so that prefix caches hit.
        schema: JSON schema that the reply's text has to satisfy, or None for free text.
        sampling: how the reply is sampled.
        purpose: what it is for (``"describe"``, ``"write"``, ``"repair"``,
            ``"label"``, ``"audit"``); for the ledger only.
        id: its name in the run, such as ``r3-0007`` of round 3; for the ledger only.
        repeat: tells equal requests apart that are repeated to sample more than one reply.
        choices: the only replies wanted. A teacher with `scores_choices` returns how likely each
            is; others ignore them.
        wants_logprob: whether the reply should have its log-probability, where the provider
            supports that.
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
        messages = [_plain(message) for message in self.messages]
        data = _plain(self) | {"messages": messages, "sampling": _plain(self.sampling)}
        del data["_key"]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Request:
        """Rebuild from `to_json`'s data."""
        messages = tuple(Message(**message) for message in data["messages"])
        return cls(**{**data, "messages": messages, "sampling": Sampling(**data["sampling"])})

    @property
    def key(self) -> str:
        """SHA-256 of everything that shapes the reply: equal requests have equal keys."""
        if not self._key:  # a call needs it four times, and a prompt is long
            object.__setattr__(self, "_key", self._hash())
        return self._key

    def chat_payload(self, **schema_options: object) -> dict[str, Any]:
        """The request in the format of OpenAI's chat completions, without the model.

        Args:
            schema_options: next to the schema, such as ``strict``.
        """
        sampling = self.sampling
        payload: dict[str, Any] = {
            "messages": [_plain(message) for message in self.messages],
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
        }
        if sampling.seed is not None:
            payload["seed"] = sampling.seed
        if self.wants_logprob:
            payload["logprobs"] = True
        if self.schema is not None:
            schema = {"name": "answer", "schema": self.schema, **schema_options}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        return payload

    def split_system(self) -> tuple[list[str], list[Message]]:
        """The texts of the system messages, and the other messages."""
        system = [m.content for m in self.messages if m.role == "system"]
        return system, [m for m in self.messages if m.role != "system"]

    def _hash(self) -> str:
        content = {k: v for k, v in self.to_json().items() if k not in ("purpose", "id")}
        for later in ("choices", "wants_logprob"):  # keys of older ledgers and caches stay valid
            if not content[later]:
                del content[later]
        canonical = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    """A teacher's answer. The text is untrusted.

    Attributes:
        text: the answer as it came; whether it fits the schema is for its reader to check.
        model: the model that answered, as the provider names it.
        input_tokens: tokens of the prompt, None where the provider does not say.
        output_tokens: tokens of the answer, None where the provider does not say.
        seconds: wall time of the call.
        finish_reason: ``"length"`` means that the text is cut off.
        scores: log-probability of each of the request's choices, given that it is one of them;
            None where the teacher has none.
        logprob: log-probability of the text, where it was wanted and the provider returns it.
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
            TypeError, ValueError: the data is malformed.
        """
        reply = cls(**data)
        if reply.scores is None:
            return reply
        return replace(reply, scores=tuple(map(float, reply.scores)))


def _plain(record: Message | Sampling | Request | Reply) -> dict[str, Any]:
    """The fields of a record; `asdict` would copy deeply, call by call."""
    return {name: getattr(record, name) for name in record.__slots__}


class Teacher(ABC):
    """An LLM to learn from. A plug-in implements `complete`, and `close` if it has resources."""

    name: str = "teacher"
    model: str = ""
    """The model requested, as its price list names it."""
    biller: str | None = None
    """Whose prices apply: a provider by genai-prices' name or the URL of an API; None is free,
    because the model runs on the user's own machine."""
    concurrency: int = 1
    """Calls that it can take at once, from several threads."""
    scores_choices: bool = False
    """Whether its replies to a request with `choices` have the scores of them all."""
    thinks: bool = False
    """Whether its model is known to think before it answers; its bounds then allow for it."""

    def _copy_traits(self, other: Teacher) -> None:
        """Take the name, the prices and the abilities of the teacher that this one wraps."""
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
                again: try once more.
            TeacherError: as `complete`.
        """
        return self.complete(request)

    def prepare(self, requests: Sequence[Request]) -> None:  # noqa: B027  (most do nothing)
        """Receive the next requests, each with its id; the replies may be fetched ahead.

        Raises:
            TeacherError: they cannot be fetched, and single calls are not what was wanted.
        """

    def batches(self) -> BatchApi | None:
        """The provider's batches, answered within a day; None where it has none."""
        return None

    def close(self) -> None:  # noqa: B027  (most have nothing to release)
        """Release resources: a model in memory, a connection pool."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class BatchState:
    """The state of a batch at the provider.

    Attributes:
        ended: all its requests have ended, well or badly, and the results can be read.
        finished: requests that have ended so far.
        refusal: why the provider refused the batch as a whole; empty where it did not.
    """

    ended: bool
    finished: int = 0
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class FoundBatch:
    """The result of searching the provider for a batch by its tag.

    Attributes:
        id: the provider's name of it; None where there is none.
        undecided: a batch that may be the one shows its tag only when it has ended.
    """

    id: str | None = None
    undecided: bool = False


class BatchApi(Protocol):
    """Batches of one provider. Every method raises `TeacherError` where the provider fails."""

    most_requests: int
    """Requests that a batch may have."""
    most_bytes: int
    """Bytes that they may have together, as JSON."""

    def body(self, request: Request) -> dict[str, Any]:
        """A request as the provider takes it."""

    def submit(self, tag: str, bodies: Mapping[str, dict[str, Any]]) -> str:
        """Submit a batch; returns the provider's name of it.

        Args:
            tag: our name of the batch, by which `find` recognises it.
            bodies: `body` of each request, by its name, which begins with the tag.
        """

    def state(self, id_: str) -> BatchState | None:
        """The state of a batch; None where the provider does not know it."""

    def results(self, id_: str) -> Generator[tuple[str, Reply | TeacherError]]:
        """The requests of a batch that has ended, by name, and how each ended; in any order."""

    def find(self, tag: str, since: datetime, size: int) -> FoundBatch:
        """Search for a batch whose name never arrived.

        Args:
            tag: that it was submitted with.
            since: it was not submitted before.
            size: requests that it has.
        """
