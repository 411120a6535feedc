"""From asks to kept texts: call, write down, read, repair, curate."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pgkd.curation import parse_samples, read_description, repair_request
from pgkd.errors import BudgetExhaustedError, TeacherAuthError, TeacherError
from pgkd.task import Example, Origin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pgkd.curation import Curation, Curator, Parsed
    from pgkd.distill.events import Hooks
    from pgkd.distill.store import RunFolder
    from pgkd.guidance.asking import Ask
    from pgkd.teacher.base import Reply, Request, Teacher

_FAILURES_IN_A_ROW = 3  # then the teacher is taken for down, and the run ends with what it has


class Writer:
    """Asks a teacher and keeps what passes curation.

    Args:
        teacher: who is asked; it writes down every reply before it returns it.
        curator: what passes; it remembers earlier texts.
        run: where the texts go.
        hooks: who is told.
        repairs: times that invalid items of one ask are asked for again.
    """

    def __init__(
        self, teacher: Teacher, curator: Curator, run: RunFolder, hooks: Hooks, *, repairs: int
    ) -> None:
        self._teacher = teacher
        self._curator = curator
        self._run = run
        self._hooks = hooks
        self._repairs = repairs
        self._failures = 0
        self.exhausted = ""
        """What the budget said when it was used up; empty before."""

    def describe(self, request: Request) -> str:
        """What the teacher says the texts of the task are; empty where it says nothing usable.

        Raises:
            TeacherError: as `write`.
        """
        reply = self._call("describe", request)
        description = read_description(reply.text) if reply is not None else ""
        self._hooks.on_described(description)
        return description

    def write(self, number: int, asks: Sequence[Ask]) -> list[Example]:
        """The texts of a round that are kept, in the order asked; those that the budget allows.

        Raises:
            TeacherError: the key is refused, or the teacher failed three times in a row.
        """
        kept: list[Example] = []
        for ask in asks:
            reply = self._call(ask.id, ask.request)
            if reply is not None:
                kept += self._keep(number, ask, reply)
            if self.exhausted:
                break
        return kept

    def _call(self, call: str, request: Request) -> Reply | None:
        """One call; a failed one is passed over, until failures pile up."""
        try:
            reply = self._teacher.complete(replace(request, id=call))
        except BudgetExhaustedError as error:
            self.exhausted = str(error)
            return None
        except TeacherError as error:
            self._failures += 1
            if isinstance(error, TeacherAuthError) or self._failures >= _FAILURES_IN_A_ROW:
                raise
            return None
        self._failures = 0
        return reply

    def _keep(self, number: int, ask: Ask, reply: Reply) -> list[Example]:
        self._hooks.on_reply(ask, reply)
        parsed = self._read(ask, reply)
        curation = self._curator.curate(parsed.samples, shown=[row.text for row in ask.shown])
        origin = Origin(number, ask.id, tuple(row.id for row in ask.shown))
        kept = [
            Example(sample.text, sample.label, f"{ask.id}-{i}", origin)
            for i, sample in enumerate(curation.kept, start=1)
        ]
        self._record(ask, parsed, curation, kept)
        return kept

    def _read(self, ask: Ask, reply: Reply) -> Parsed:
        """Parse a reply; what is invalid is asked for again, with the original request."""
        parsed = parse_samples(reply.text, ask.labels)
        request = ask.request
        for attempt in range(1, self._repairs + 1):
            missing = ask.count - len(parsed.samples)
            if not parsed.faults or missing <= 0:
                break
            request = repair_request(ask.request, reply, parsed.faults, missing=missing)
            again = self._call(f"{ask.id}-repair{attempt}", request)
            if again is None:
                break
            reply = again
            more = parse_samples(reply.text, ask.labels)
            # The first answer's faults stay on record: they are dropped texts, with their reasons.
            parsed = replace(
                parsed,
                samples=(*parsed.samples, *more.samples),
                faults=(*parsed.faults, *more.faults),
            )
            if not more.faults:
                break
        return parsed

    def _record(self, ask: Ask, parsed: Parsed, curation: Curation, kept: list[Example]) -> None:
        self._run.record_kept(kept)
        self._run.record_dropped(ask.id, parsed.faults, curation.dropped)
        numbered = [row for i, row in enumerate(ask.shown, start=1) if i in parsed.doubtful]
        self._run.record_doubts(ask.id, numbered)
        dropped = len(parsed.faults) + len(curation.dropped)
        self._hooks.on_curated(ask, len(kept), dropped)
