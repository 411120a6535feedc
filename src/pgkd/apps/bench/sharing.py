"""Replies that all cells of a grid share, metered for each.

`teacher.cache` of a run puts the cache above its ledger: what another run has paid for costs it
nothing. For a comparison that would be wrong: the arm that comes second would seem cheaper, and get
more for its budget. So here the cache lies below the ledger: the ledger of every cell says what the
arm costs alone, its budget counts so too, and the provider is asked once all the same.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from pgkd.teachers.base import Reply, Request, Teacher

if TYPE_CHECKING:
    from pgkd.usage.cache import ReplyCache


class SharedReplies(Teacher):
    """A teacher that is asked what no cell has asked before.

    Args:
        teacher: who is asked.
        cache: the replies so far.

    Attributes:
        asked: calls that have left.
        found: replies that were there.
    """

    def __init__(self, teacher: Teacher, cache: ReplyCache) -> None:
        self._copy_traits(teacher)
        self._teacher = teacher
        self._cache = cache
        self.asked = 0
        self.found = 0
        self._counting = Lock()

    def complete(self, request: Request) -> Reply:
        """The reply that was given before, or a new one.

        Raises:
            TeacherError: as the teacher's.
        """
        reply = self._cache.find(self._teacher, request)
        with self._counting:
            self.asked += reply is None
            self.found += reply is not None
        if reply is not None:
            return reply
        reply = self._teacher.complete(request)
        self._cache.save(self._teacher, request, reply)
        return reply

    def close(self) -> None:
        """Close the teacher."""
        self._teacher.close()
