"""Parts of a request that an endpoint refuses: learnt from its error, once, and left out.

Models and endpoints differ in what they accept: a temperature, a seed, a system message, a JSON
schema. No list of models stays true, so everything is sent at first. A refusal (an HTTP 4xx) that
names an optional part is a lesson: the part is left out or said in another way in all later calls,
and the user is told once. A refused call costs nothing at any provider.
"""

from __future__ import annotations

import json
import logging
import re
import threading
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pgkd.errors import FieldRefusedError, TeacherRequestError
from pgkd.teacher.base import Teacher

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pgkd.teacher.base import Reply, Request

Payload = dict[str, Any]
_Answer = TypeVar("_Answer")
_log = logging.getLogger(__name__)

_ASK_FOR_JSON = (
    "Answer with one JSON object that satisfies this JSON schema, and with nothing else:\n"
)
_TOO_MUCH = re.compile(r"\benums?\b|too many states|too complex|grammar", re.I)
_SYSTEM = re.compile(
    r"\bsystem\b.{0,40}\b(?:role|message|prompt|instruction)|\brole\b.{0,40}\bsystem\b"
    r"|developer instruction|roles must alternate",
    re.I | re.S,
)
# Names of models that think before they answer, so that the first bound leaves room already.
_THINKERS = re.compile(r"(?:^|[/.])(?:o\d|gpt-[5-9]|claude-[a-z]+-[5-9])")


@dataclass(frozen=True)
class Change:
    """What is different in all later requests.

    Attributes:
        told: what, in words.
        make: makes it; a payload without that part stays as it is.
        thinks: whether it shows that the model thinks before it answers.
    """

    told: str
    make: Callable[[Payload], Payload]
    thinks: bool = False


Rule = Callable[[str, Payload], Change | None]
"""From what an endpoint says, and the payload that it refuses, to a change that may help."""


class Refusals:
    """What one endpoint has refused so far. Safe between threads.

    Args:
        rules: what may be changed, by what the endpoint says; the first that applies is taken.
    """

    def __init__(self, *rules: Rule) -> None:
        self._rules = rules
        self._changes: tuple[Change, ...] = ()
        self._learning = threading.Lock()

    @property
    def told(self) -> tuple[str, ...]:
        """What is different from now on, in words."""
        return tuple(change.told for change in self._changes)

    def applied(self, payload: Payload) -> Payload:
        """A payload as far as the endpoint accepts it."""
        for change in self._changes:
            payload = change.make(payload)
        return payload

    def send(self, payload: Payload, post: Callable[[Payload], _Answer]) -> _Answer:
        """Send a payload as far as the endpoint accepts it.

        Raises:
            FieldRefusedError: it was refused, and another call will do without the refused part.
            TeacherError: what `post` raises.
        """
        known = self._changes
        for change in known:
            payload = change.make(payload)
        try:
            return post(payload)
        except TeacherRequestError as refusal:
            changes = self._learnt(refusal, payload, known)
            if not changes:
                raise
            told = "; ".join(change.told for change in changes)
            thinks = any(change.thinks for change in changes)
            raise FieldRefusedError(_lesson(refusal, told), thinks) from None

    def _learnt(
        self, refusal: TeacherRequestError, payload: Payload, known: tuple[Change, ...]
    ) -> Sequence[Change]:
        """What a refusal has taught, or other calls meanwhile; empty if it is worth no second try.

        Args:
            refusal: what the endpoint said.
            payload: what it refused.
            known: the changes that the payload has.
        """
        with self._learning:
            if len(self._changes) > len(known):
                return self._changes[len(known) :]
            for rule in self._rules:
                if refusal.complaint and (change := rule(refusal.complaint, payload)):
                    self._changes += (change,)
                    _log.warning("%s", _lesson(refusal, change.told))
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
                or an answer that is none.
        """
        while True:  # ends: each of these refusals has made a request smaller, or plainer
            try:
                return self.attempt(request)
            except FieldRefusedError as refusal:
                self.thinks = self.thinks or refusal.thinks

    @abstractmethod
    def attempt(self, request: Request) -> Reply:
        """See `Teacher.attempt`."""


def may_think(model: str) -> bool:
    """Whether a model of this name thinks before it answers, as far as the name tells."""
    return _THINKERS.search(model) is not None


def leave_out(*path: str, names: Sequence[str] = ()) -> Rule:
    """A rule: leave a field out whose name the endpoint mentions.

    Args:
        path: keys that lead to it.
        names: under which it is mentioned; default: the last key.
    """
    said = re.compile(rf"(?<![\w-])(?:{'|'.join(names or path[-1:])})(?![\w-])")
    change = Change(f"{(names or path[-1:])[0]} is left out", lambda p: _without(p, path))

    def rule(complaint: str, payload: Payload) -> Change | None:
        there = _without(payload, path) != payload
        return change if there and said.search(complaint) else None

    return rule


def fewer_enums(complaint: str, payload: Payload) -> Change | None:
    """A rule: a schema with a list of values that is too long, or not to the endpoint's taste.

    Only lists as long as the refused one are left out: the reader of a reply checks it anyway.
    """
    longest = max((len(values) for values in _enums(payload)), default=0)
    if not longest or not _TOO_MUCH.search(complaint):
        return None
    plural = "s" if longest > 1 else ""
    return Change(
        f"a schema does not list {longest} value{plural} or more",
        lambda p: _without_enums(p, longest),
    )


def about_system(complaint: str) -> bool:
    """Whether an endpoint complains of the system's part in a conversation."""
    return _SYSTEM.search(complaint) is not None


def asked_in_words(schema: Any) -> str:
    """What a prompt says in place of a schema that the endpoint does not take."""
    return _ASK_FOR_JSON + json.dumps(schema, ensure_ascii=False)


def _lesson(refusal: TeacherRequestError, told: str) -> str:
    return f"{str(refusal).rstrip(' .')}. From now on, {told}."


def _without(payload: Payload, path: Sequence[str]) -> Payload:
    key, *rest = path
    if key not in payload:
        return payload
    if not rest:
        return {name: value for name, value in payload.items() if name != key}
    return {**payload, key: _without(payload[key], rest)}


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
        kept = {name: value for name, value in part.items() if name != "enum"}
        return {"type": "string", **kept}  # Anthropic's form of an enum names no type
    return {name: _without_enums(value, longest) for name, value in part.items()}
