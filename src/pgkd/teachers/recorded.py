"""A teacher that repeats what a run has recorded: the same replies, at no cost."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Self

from pgkd.errors import TeacherRequestError
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.usage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class RecordedTeacher(Teacher):
    """Answers each request as it was answered before.

    Args:
        replies: replies by `Request.key`; where one request was sent more than once, its replies
            come in the order of the recording.
    """

    name = "recorded"

    def __init__(self, replies: Mapping[str, Sequence[Reply]]) -> None:
        self._replies = {key: list(found) for key, found in replies.items()}
        # Asked as the teacher that was recorded, else the requests are others.
        self.scores_choices = any(
            reply.scores is not None for found in replies.values() for reply in found
        )

    @classmethod
    def from_run(cls, run: Path) -> Self:
        """Read the replies of a run folder.

        Raises:
            RunError: the folder holds no record of calls, or it is damaged.
        """
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
