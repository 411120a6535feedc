"""Replies that any run has paid for, by what was asked: the same request is never paid twice.

One file a reply, in the user's cache folder. It holds the reply and not the prompt; its name is a
SHA-256 of the provider, the endpoint, the model and everything that shapes the reply. Requests
that are repeated on purpose differ by `Request.repeat`.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Literal

from pgkd.files import write_whole
from pgkd.teachers.base import Reply
from pgkd.weights.fetch import cache_folder

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.teachers.base import Request, Teacher

CacheMode = Literal["off", "on", "read", "refresh"]
_LARGEST = 20_000_000  # bytes of a file; no reply of ours is as long


def replies_folder() -> Path:
    """Where the replies of all runs are kept."""
    return cache_folder() / "replies"


class ReplyCache:
    """Replies on disk, shared between runs and processes.

    Args:
        folder: where they are.
        mode: ``"on"`` reads and writes, ``"read"`` never writes, ``"refresh"`` never reads and
            writes anew, ``"off"`` does neither.
    """

    def __init__(self, folder: Path, mode: CacheMode = "on") -> None:
        self._folder = folder
        self._mode = mode

    def find(self, teacher: Teacher, request: Request) -> Reply | None:
        """The reply of an earlier call like this; a damaged file is no reply."""
        if self._mode not in ("on", "read"):
            return None
        path = self._path(teacher, request)
        try:
            if path.stat().st_size > _LARGEST:
                return None
            return Reply.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def keep(self, teacher: Teacher, request: Request, reply: Reply) -> None:
        """Keep a reply for later runs; one that is cut off or refused is not worth it."""
        if self._mode not in ("on", "refresh") or reply.finish_reason != "stop":
            return
        path = self._path(teacher, request)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(reply.to_json()), alone=False)

    def _path(self, teacher: Teacher, request: Request) -> Path:
        whole = json.dumps([teacher.name, teacher.biller, teacher.model, request.key])
        name = hashlib.sha256(whole.encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"
