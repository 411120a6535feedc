"""From prompts to accepted examples: ask, parse, repair, curate, record.

A reply is on disk, in the ledger, before it is read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

from pgkd.curation import Curator, Reason
from pgkd.errors import BudgetExhaustedError, TeacherAuthError, TeacherDownError, TeacherError
from pgkd.task import Example, Origin, Parsed, Prompt, Rejected
from pgkd.teachers.base import Message, Reply
from pgkd.text import shown
from pgkd.usage.retry import in_order, with_breaker

if TYPE_CHECKING:
    from pgkd.events import Hooks
    from pgkd.runs.folder import RunFolder
    from pgkd.task import Model
    from pgkd.teachers.base import Request, Teacher

_QUOTED = 200  # characters of what could not be used
_ANSWER = 4000  # characters of a faulty reply that are sent back
_FAULTS = 10  # that a repair names one by one


@dataclass(frozen=True, slots=True)
class _Exchange:
    """The first reply to a prompt, all that could be read, and the last reply."""

    first: Reply | TeacherError
    parsed: Parsed
    last: Reply | TeacherError


class Synthesizer:
    """Asks the teacher for examples and accepts what passes curation.

    Args:
        teacher: who is asked; it records every reply before it returns it.
        curator: what passes; it remembers earlier examples.
        run: where examples and rejections are recorded.
        hooks: hear what happens.
        repairs: times that the invalid part of a reply is asked for again.
    """

    def __init__(
        self, teacher: Teacher, curator: Curator, run: RunFolder, hooks: Hooks, *, repairs: int
    ) -> None:
        self._teacher = with_breaker(teacher)
        self._curator = curator
        self._run = run
        self._hooks = hooks
        self._repairs = repairs
        self.exhausted = ""
        """What the budget said when it was used up; empty before."""
        self.last_error = ""
        """What was wrong with the last reply that could not be used, or not all of it."""

    def synthesize(self, number: int, prompts: Sequence[Prompt], student: Model) -> list[Example]:
        """The examples of a round that are accepted, in the order of the prompts.

        As many requests are in flight at once as the teacher takes. Their replies are read in the
        order of the prompts, so that a run does not depend on which came first.

        Raises:
            TeacherError: the key is refused, the teacher is down, or a batch of requests is
                refused.
        """
        accepted = self._verify(self._collect(number, prompts), student)
        self._run.record_accepted(accepted)
        return accepted

    def ask(self, call: str, request: Request) -> Reply | None:
        """The reply to a single request; None where it failed.

        Raises:
            TeacherError: as `synthesize`.
        """
        answer = self._send(call, request)
        self._check(answer)
        return answer if isinstance(answer, Reply) else None

    def _verify(self, examples: list[Example], student: Model) -> list[Example]:
        """What a task makes of a round's examples once they are all there."""
        return examples

    def _collect(self, number: int, prompts: Sequence[Prompt]) -> list[Example]:
        self._teacher.prepare([replace(prompt.request, id=prompt.id) for prompt in prompts])
        accepted: list[Example] = []
        replies = in_order(self._teacher, self._exchange, prompts, on_end=self._hooks.on_calls_end)
        with closing(replies) as exchanges:
            for prompt, exchange in zip(prompts, exchanges, strict=True):
                self._check(exchange.first)
                if isinstance(exchange.first, TeacherError):
                    self.last_error = str(exchange.first)
                else:
                    accepted += self._accept(number, prompt, exchange.first, exchange.parsed)
                    self._check(exchange.last)
        return accepted

    def _exchange(self, prompt: Prompt) -> _Exchange:
        """Ask, parse, and ask again for what is invalid, with the original request."""
        first = last = self._send(prompt.id, prompt.request)
        if not isinstance(first, Reply):
            return _Exchange(first, Parsed(), first)
        parsed = prompt.parse(first, prompt.count)
        faults = parsed.rejected
        for attempt in range(1, self._repairs + 1):
            missing = prompt.count - sum(prompt.select(parsed.accepted))
            if not faults or missing <= 0 or not isinstance(last, Reply):
                break
            schema = prompt.repair_schema(parsed.accepted, missing)
            request = repair_request(prompt.request, last, faults, missing=missing, schema=schema)
            last = self._send(f"{prompt.id}-repair{attempt}", request)
            if isinstance(last, Reply):
                more = prompt.parse(last, missing)
                faults = more.rejected
                # The faults of the first reply stay on record.
                parsed = replace(
                    parsed,
                    accepted=(*parsed.accepted, *more.accepted),
                    rejected=(*parsed.rejected, *more.rejected),
                )
        return _Exchange(first, parsed, last)

    def _send(self, call: str, request: Request) -> Reply | TeacherError:
        self._hooks.on_call(call)
        try:
            return self._teacher.complete(replace(request, id=call))
        except TeacherError as error:
            return error

    def _check(self, answer: Reply | TeacherError) -> None:
        """Pass over a failure, unless no other request can end well."""
        if isinstance(answer, BudgetExhaustedError):
            self.exhausted = str(answer)
        elif isinstance(answer, TeacherAuthError | TeacherDownError):
            raise answer

    def _accept(self, number: int, prompt: Prompt, reply: Reply, parsed: Parsed) -> list[Example]:
        self._hooks.on_reply(prompt, reply)
        valid = list(compress(parsed.accepted, prompt.select(parsed.accepted)))
        rejected = list(parsed.rejected)
        if (surplus := len(parsed.accepted) - len(valid)) > 0:
            detail = f"the reply holds {surplus} samples more than were asked for"
            first = parsed.accepted[-1].text[:_QUOTED]
            rejected.append(Rejected(Reason.TOO_MANY, detail, first))
        curated, dropped = self._curator.curate(valid, shown=[row.text for row in prompt.shown])
        rejected += dropped
        accepted = [
            replace(
                example,  # type: ignore[type-var]
                id=f"{prompt.id}-{i}",
                origin=Origin(number, prompt.id, prompt.parents(example)),
            )
            for i, example in enumerate(curated, start=1)
        ]
        self._record(prompt, len(accepted), rejected, parsed.doubted)
        return accepted

    def _record(
        self,
        prompt: Prompt,
        accepted: int,
        rejected: Sequence[Rejected],
        doubted: Sequence[Example] = (),
    ) -> None:
        self._run.record_rejected(prompt.id, rejected)
        self._run.record_doubts(prompt.id, doubted)
        for each in rejected:
            quoted = each.raw if each.example is None else each.example.text
            why = each.detail if each.example is None else each.reason
            self.last_error = f"{why}: '{shown(quoted, _QUOTED)}'"
        self._hooks.on_curated(prompt, accepted, len(rejected))


def repair_request(
    original: Request,
    reply: Reply,
    faults: Sequence[Rejected],
    *,
    missing: int,
    schema: dict[str, Any] | None = None,
) -> Request:
    """A request for the examples that are missing.

    It begins with all of the original request: an error message alone would leave the teacher to
    guess what was asked.

    Args:
        original: the request that was answered.
        reply: the answer.
        faults: what was wrong with it.
        missing: examples still wanted.
        schema: of the answer; default: the original's, for so many samples.
    """
    listed = "\n".join(f"- {_describe(fault)}" for fault in faults[:_FAULTS])
    plural = "s" if missing > 1 else ""
    text = (
        f"Some of your answer cannot be used:\n{listed}\n"
        f"Answer again with {missing} new valid sample{plural} only, "
        "in the same JSON form, following all rules of the request above."
    )
    answer = Message("assistant", reply.text[:_ANSWER] or "{}")
    messages = (*original.messages, answer, Message("user", text))
    schema = schema or _with_count(original.schema, missing)
    sampling = original.sampling
    if sampling.seed is not None:
        sampling = replace(sampling, seed=(sampling.seed + 1) % 2**31)
    return replace(original, messages=messages, schema=schema, sampling=sampling, purpose="repair")


def _describe(fault: Rejected) -> str:
    where = "the answer" if fault.position is None else f"sample {fault.position + 1}"
    return f"{where}: {fault.detail}"


def _with_count(schema: dict[str, Any] | None, count: int) -> dict[str, Any] | None:
    """The schema of the original request, for so many samples."""
    if schema is None or "samples" not in schema.get("properties", {}):
        return schema
    samples = {**schema["properties"]["samples"], "minItems": count, "maxItems": count}
    return {**schema, "properties": {**schema["properties"], "samples": samples}}
