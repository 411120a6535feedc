"""A teacher whose calls are on the books."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pgkd.errors
from pgkd.errors import TeacherError
from pgkd.teacher.base import Reply, Request, Teacher

if TYPE_CHECKING:
    from pgkd.teacher.account.ledger import Call, Ledger


class AccountedTeacher(Teacher):
    """Asks a teacher through a ledger: what was answered before is not asked again.

    A run that is resumed asks the same requests in the same order, and gets from the ledger what
    its earlier life was answered; the first request that has no end there goes to the teacher.

    Args:
        teacher: who is asked; closing it stays with who made it.
        ledger: where every call is written down, before it leaves and before its reply is used.
    """

    def __init__(self, teacher: Teacher, ledger: Ledger) -> None:
        self.name = teacher.name
        self._teacher = teacher
        self._ledger = ledger

    def complete(self, request: Request) -> Reply:
        """Answer one request, from the ledger or from the teacher.

        Raises:
            TeacherError: no reply came, now or when the run went on without it.
        """
        settled = self._ledger.settled(request)
        if settled is not None:
            return _again(settled)
        n = self._ledger.begin(request, self.name)
        try:
            reply = self._teacher.complete(request)
        except TeacherError as error:
            self._ledger.fail(n, error)
            raise
        self._ledger.finish(n, reply)
        return reply


def _again(call: Call) -> Reply:
    """The end of an earlier call once more: its reply, or its failure."""
    if call.reply is not None:
        return call.reply
    kind = getattr(pgkd.errors, call.error_kind or "", TeacherError)
    known = isinstance(kind, type) and issubclass(kind, TeacherError)
    raise (kind if known else TeacherError)(call.error or "")
