"""Parts of a request that an endpoint refuses: learnt from its error, once, and left out.

Models and endpoints differ in what they accept: a temperature, a seed, a system message, a JSON
schema. No list of models stays up to date, so everything is sent at first. When a refusal (an HTTP
4xx) names an optional part, later calls leave that part out or express it in another way, and the
user gets one warning. No provider charges for a refused call.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pgkd.errors import FieldRefusedError, TeacherRequestError
from pgkd.teachers.base import Reply, Request, Teacher

Payload = dict[str, Any]
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)

_TOO_COMPLEX = re.compile(r"\benums?\b|too many states|too complex|grammar", re.I)
_SYSTEM = re.compile(
    r"\bsystem\b.{0,40}\b(?:role|message|prompt|instruction)|\brole\b.{0,40}\bsystem\b"
    r"|developer instruction|roles must alternate",
    re.I | re.S,
)
# Names of models that think before they answer: their first bound allows for it already.
_THINKERS = re.compile(r"(?:^|[/.])(?:o\d|gpt-[5-9]|claude-[a-z]+-[5-9])")


@dataclass(frozen=True)
class Workaround:
    """What is different in all later requests.

    Attributes:
        summary: the difference, in words.
        apply: applies it; a payload without that part stays as it is.
        thinks: whether it shows that the model thinks before it answers.
    """

    summary: str
    apply: Callable[[Payload], Payload]
    thinks: bool = False


Rule = Callable[[str, Payload], Workaround | None]
"""Maps an endpoint's complaint and the payload that it refuses to a change that may help."""


class Refusals:
    """What one endpoint has refused so far. Thread-safe.

    Args:
        rules: changes that may help; the first rule that matches a complaint is used.
    """

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self._changes: tuple[Workaround, ...] = ()
        self._learning = threading.Lock()

    @property
    def summaries(self) -> tuple[str, ...]:
        """The differences by now, in words."""
        return tuple(change.summary for change in self._changes)

    def apply(self, payload: Payload) -> Payload:
        """A payload as far as the endpoint accepts it."""
        for change in self._changes:
            payload = change.apply(payload)
        return payload

    def send(self, payload: Payload, post: Callable[[Payload], _Answer]) -> _Answer:
        """Post a payload as far as the endpoint accepts it.

        Raises:
            FieldRefusedError: it was refused, and another call will do without the refused part.
            TeacherError: what `post` raises.
        """
        known = self._changes
        for change in known:
            payload = change.apply(payload)
        try:
            return post(payload)
        except TeacherRequestError as refusal:
            changes = self._learn(refusal, payload, known)
            if not changes:
                raise
            summary = "; ".join(change.summary for change in changes)
            thinks = any(change.thinks for change in changes)
            raise FieldRefusedError(_lesson(refusal, summary), thinks) from None

    def _learn(
        self, refusal: TeacherRequestError, payload: Payload, known: tuple[Workaround, ...]
    ) -> Sequence[Workaround]:
        """Changes that this refusal teaches, or others taught since `known` was applied."""
        with self._learning:
            if len(self._changes) > len(known):
                return self._changes[len(known) :]
            for rule in self._rules:
                if refusal.complaint and (change := rule(refusal.complaint, payload)):
                    self._changes += (change,)
                    _log.warning("%s", _lesson(refusal, change.summary))
                    return (change,)
        return ()


class AdaptingTeacher(Teacher):
    """A teacher that learns what its endpoint refuses. A subclass implements `attempt`."""

    refusals: Refusals

    def complete(self, request: Request) -> Reply:
        """Answer one request, without the parts that the endpoint refuses.

        Raises:
            TeacherAuthError: the key is refused.
            TeacherRateLimitError: too many requests, also after the retries.
            TeacherRequestError: the endpoint refuses this request.
            TeacherUnavailableError: no connection, a timeout or a server error after the retries;
                or the answer is unusable.
        """
        while True:  # finite: after each of these refusals the request is smaller or plainer
            try:
                return self.attempt(request)
            except FieldRefusedError as refusal:
                self.thinks = self.thinks or refusal.thinks

    @abstractmethod
    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""


def may_think(model: str) -> bool:
    """Whether a model thinks before it answers, judging by its name."""
    return _THINKERS.search(model) is not None


def leave_out(*path: str, names: Sequence[str] = ()) -> Rule:
    """A rule: leave a field out whose name the endpoint mentions.

    Args:
        path: keys that lead to it.
        names: under which it is mentioned; default: the last key.
    """
    names = names or path[-1:]
    mentioned = re.compile(rf"(?<![\w-])(?:{'|'.join(names)})(?![\w-])")
    change = Workaround(f"{names[0]} is left out", lambda payload: without(payload, *path))

    def rule(complaint: str, payload: Payload) -> Workaround | None:
        return change if change.apply(payload) != payload and mentioned.search(complaint) else None

    return rule


def fewer_enums(complaint: str, payload: Payload) -> Workaround | None:
    """A rule: drop lists of allowed values that are too long for the endpoint.

    Shorter lists stay. The reader of a reply checks its values in any case.
    """
    longest = max((len(values) for values in _enums(payload)), default=0)
    if not longest or not _TOO_COMPLEX.search(complaint):
        return None
    plural = "s" if longest > 1 else ""
    return Workaround(
        f"a schema does not list {longest} value{plural} or more",
        lambda p: _without_enums(p, longest),
    )


def is_about_system(complaint: str) -> bool:
    """Whether an endpoint complains about the system message."""
    return _SYSTEM.search(complaint) is not None


def schema_prompt(schema: Any) -> str:
    """The part of a prompt that replaces a schema which the endpoint does not accept."""
    return (
        "Answer with one JSON object that satisfies this JSON schema, and with nothing else:\n"
        + json.dumps(schema, ensure_ascii=False)
    )


def without(payload: Payload, key: str, *rest: str) -> Payload:
    """A payload without the field to which these keys lead."""
    if key not in payload:
        return payload
    if rest:
        return {**payload, key: without(payload[key], *rest)}
    return {name: value for name, value in payload.items() if name != key}


def _lesson(refusal: TeacherRequestError, summary: str) -> str:
    return f"{str(refusal).rstrip(' .')}. From now on, {summary}."


def _enums(part: Any) -> Iterator[list[Any]]:
    """The lists of values in the schemas of a payload, wherever these are."""
    if isinstance(part, list):
        for item in part:
            yield from _enums(item)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "enum" and isinstance(value, list):
                yield value
            else:
                yield from _enums(value)


def _without_enums(part: Any, longest: int) -> Any:
    if isinstance(part, list):
        return [_without_enums(item, longest) for item in part]
    if not isinstance(part, dict):
        return part
    values = part.get("enum")
    if isinstance(values, list) and len(values) >= longest:
        return {
            "type": "string",
            **without(part, "enum"),
        }  # Anthropic's form of an enum has no type
    return {name: _without_enums(value, longest) for name, value in part.items()}
