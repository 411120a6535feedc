"""From asks to kept texts: call, write down, read, repair, curate, and read once more."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import compress
from typing import TYPE_CHECKING, Any

from pgkd.errors import BudgetExhaustedError, TeacherAuthError, TeacherDownError, TeacherError
from pgkd.generation.rejection import Fault, Reason
from pgkd.generation.repair import repair_request
from pgkd.quoting import shown
from pgkd.tasks.classification.data.example import Example, Origin
from pgkd.tasks.classification.prompts.parsing import (
    Parsed,
    parse_samples,
    read_description,
    read_json,
)
from pgkd.teachers.base import Reply
from pgkd.usage.concurrency import in_order
from pgkd.usage.patient import with_breaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.events import Hooks
    from pgkd.generation.curator import Curation, Curator
    from pgkd.runs.folder import RunFolder
    from pgkd.tasks.classification.feedback.self_verification import SelfVerification, Verified
    from pgkd.tasks.classification.prompts.asking import Ask
    from pgkd.tasks.classification.students.base import Student
    from pgkd.teachers.base import Request, Teacher

_SHOWN = 200  # characters of what could not be used


@dataclass(frozen=True, slots=True)
class _Exchange:
    """What came of one ask: the first answer, all that could be read, and the last answer."""

    first: Reply | TeacherError
    parsed: Parsed
    last: Reply | TeacherError


class Writer:
    """Asks a teacher and keeps what passes curation.

    Args:
        teacher: who is asked; it writes down every reply before it returns it.
        curator: what passes; it remembers earlier texts.
        run: where the texts go.
        hooks: who is told.
        repairs: times that invalid items of one ask are asked for again.
        self_verification: by which `verify` goes; None keeps all.
    """

    def __init__(
        self,
        teacher: Teacher,
        curator: Curator,
        run: RunFolder,
        hooks: Hooks,
        *,
        repairs: int,
        self_verification: SelfVerification | None = None,
    ) -> None:
        self._teacher = with_breaker(teacher)
        self._self_verification = self_verification
        self._curator = curator
        self._run = run
        self._hooks = hooks
        self._repairs = repairs
        self.exhausted = ""
        """What the budget said when it was used up; empty before."""
        self.trouble = ""
        """What was wrong with the last answer of which nothing could be used, or not all."""

    def describe(self, request: Request) -> str:
        """What the teacher says the texts of the task are; empty where it says nothing usable.

        Raises:
            TeacherError: as `write`.
        """
        answer = self._ask("describe", request)
        self._note(answer)
        description = read_description(answer.text) if isinstance(answer, Reply) else ""
        self._hooks.on_described(description)
        return description

    def answer(self, call: str, request: Request) -> Any:
        """The JSON of an answer; None where there is none.

        Raises:
            TeacherError: as `write`.
        """
        answer = self._ask(call, request)
        self._note(answer)
        return read_json(answer.text) if isinstance(answer, Reply) else None

    def write(self, number: int, asks: Sequence[Ask]) -> list[Example]:
        """The texts of a round that pass curation, in the order asked; as the budget allows.

        As many requests are in flight at once as the teacher takes. Their answers are read in the
        order asked, whichever comes first, so that a run does not depend on who was faster.

        Raises:
            TeacherError: the key is refused, the teacher is down, or a batch of requests is
                refused.
        """
        self._teacher.prepare([replace(ask.request, id=ask.id) for ask in asks])
        kept: list[Example] = []
        answers = in_order(self._teacher, self._exchange, asks, on_end=self._hooks.on_calls_end)
        with closing(answers) as exchanges:
            for ask, exchange in zip(asks, exchanges, strict=True):
                self._note(exchange.first)
                if isinstance(exchange.first, TeacherError):
                    self.trouble = str(exchange.first)
                else:
                    kept += self._keep(number, ask, exchange.first, exchange.parsed)
                    self._note(exchange.last)
        return kept

    def verify(self, texts: Sequence[Example], student: Student) -> list[Example]:
        """What the teacher stands by when it reads what it wrote blind; what stays is recorded.

        Where the budget ends in between, the other texts are kept unread.

        Args:
            texts: as `write` brought them back.
            student: of the round before.

        Raises:
            TeacherError: as `write`.
        """
        if self._self_verification is None:
            self._run.record_kept(texts)
            return list(texts)
        found: list[Verified] = []
        written = [text for text in texts if text.is_written]
        try:
            for verified in self._self_verification.verify(written, student):
                found.append(verified)
                self._hooks.on_verified(verified)
        except TeacherError as error:
            self._note(error)
        read = {verified.text.id for verified in found}
        kept = [verified.weighed for verified in found]
        kept += [text for text in texts if text.id not in read]
        self._run.record_kept(kept)
        return kept

    def _exchange(self, ask: Ask) -> _Exchange:
        """Ask, parse, and ask again for what is invalid, with the original request."""
        first = last = self._ask(ask.id, ask.request)
        if not isinstance(first, Reply):
            return _Exchange(first, Parsed((), ()), first)
        parsed = self._parse(first, ask, ask.count)
        faults, request = parsed.faults, ask.request
        for attempt in range(1, self._repairs + 1):
            missing = ask.count - sum(ask.within(_labels(parsed)))
            if not faults or missing <= 0 or not isinstance(last, Reply):
                break
            schema = ask.schema_without(_labels(parsed))
            request = repair_request(ask.request, last, faults, missing=missing, schema=schema)
            last = self._ask(f"{ask.id}-repair{attempt}", request)
            if isinstance(last, Reply):
                more = self._parse(last, ask, missing)
                faults = more.faults
                # The first answer's faults stay on record: dropped texts, with their reasons.
                parsed = replace(
                    parsed,
                    samples=(*parsed.samples, *more.samples),
                    faults=(*parsed.faults, *more.faults),
                )
        return _Exchange(first, parsed, last)

    def _parse(self, answer: Reply, ask: Ask, count: int) -> Parsed:
        return parse_samples(
            answer.text, ask.labels, masks=self._curator.masks,
            count=None if ask.wanted else count,  # `Ask.within` counts class by class
            cut_off=answer.finish_reason == "length",
        )  # fmt: skip

    def _ask(self, call: str, request: Request) -> Reply | TeacherError:
        self._hooks.on_call(call)
        try:
            return self._teacher.complete(replace(request, id=call))
        except TeacherError as error:
            return error

    def _note(self, answer: Reply | TeacherError) -> None:
        """Pass a failure over, unless no other request can end well."""
        if isinstance(answer, BudgetExhaustedError):
            self.exhausted = str(answer)
        elif isinstance(answer, TeacherAuthError | TeacherDownError):
            raise answer

    def _keep(self, number: int, ask: Ask, reply: Reply, parsed: Parsed) -> list[Example]:
        self._hooks.on_reply(ask, reply)
        samples = list(compress(parsed.samples, ask.within(_labels(parsed))))
        if (surplus := len(parsed.samples) - len(samples)) > 0:
            detail = f"the reply holds {surplus} samples more than were asked for of their classes"
            fault = Fault(None, Reason.TOO_MANY, detail, parsed.samples[-1].text[:200])
            parsed = replace(parsed, faults=(*parsed.faults, fault))
        curation = self._curator.curate(samples, shown=[row.text for row in ask.shown])
        kept = [
            Example(s.text, s.label, f"{ask.id}-{i}", Origin(number, ask.id, ask.parents(s.label)))
            for i, s in enumerate(curation.kept, start=1)
        ]
        self._record(ask, parsed, curation)
        return kept

    def _record(self, ask: Ask, parsed: Parsed, curation: Curation) -> None:
        self._run.record_dropped(ask.id, parsed.faults, curation.dropped)
        numbered = [row for i, row in enumerate(ask.shown, start=1) if i in parsed.doubtful]
        self._run.record_doubts(ask.id, numbered)
        for drop in curation.dropped:
            self._unused(drop.reason, drop.sample.text)
        for fault in parsed.faults:
            self._unused(fault.detail, fault.raw)
        dropped = len(parsed.faults) + len(curation.dropped)
        self._hooks.on_curated(ask, len(curation.kept), dropped)

    def _unused(self, why: str, what: str) -> None:
        self.trouble = f"{why}: '{shown(what, _SHOWN)}'"


def _labels(parsed: Parsed) -> list[str]:
    return [sample.label for sample in parsed.samples]
