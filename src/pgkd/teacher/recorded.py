"""A teacher that repeats what a run has recorded: the same replies, at no cost."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Self

from pgkd.errors import RunError, TeacherRequestError
from pgkd.teacher.base import Reply, Request, Teacher

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

    @classmethod
    def from_run(cls, run: Path) -> Self:
        """Read the replies of a run folder.

        Raises:
            RunError: the folder holds no record of calls, or it is damaged.
        """
        replies: defaultdict[str, list[Reply]] = defaultdict(list)
        path = run / "calls.jsonl"
        try:
            with path.open(encoding="utf-8") as file:
                for line in file:
                    record = json.loads(line)
                    if record["reply"] is not None:
                        replies[record["request_key"]].append(Reply.from_json(record["reply"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path} cannot be read as a record of calls: {error!r}") from error
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
