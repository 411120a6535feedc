"""Replies that any run has paid for, by request: the same request is never paid for twice.

One file a reply, in the user's cache folder. It contains the reply and not the prompt; its name is
a SHA-256 of the provider, the endpoint, the model and everything that shapes the reply. Requests
that are repeated on purpose differ by `Request.repeat`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pgkd.files import write_whole
from pgkd.teachers.base import Reply, Request, Teacher
from pgkd.weights.fetch import cache_folder

CacheMode = Literal["off", "on", "read", "refresh"]
_MAX_BYTES = 20_000_000  # of a file; no reply of ours is as long


def replies_folder() -> Path:
    """The folder of the replies of all runs."""
    return cache_folder() / "replies"


class ReplyCache:
    """Replies on disk, shared between runs and processes.

    Args:
        folder: their folder.
        mode: ``"on"`` reads and writes, ``"read"`` never writes, ``"refresh"`` never reads and
            overwrites, ``"off"`` does neither.
    """

    def __init__(self, folder: Path, mode: CacheMode = "on") -> None:
        self._folder = folder
        self._mode = mode

    def find(self, teacher: Teacher, request: Request) -> Reply | None:
        """The reply to an earlier request like this; None where there is none, or it is damaged."""
        if self._mode not in ("on", "read"):
            return None
        path = self._path(teacher, request)
        try:
            if path.stat().st_size > _MAX_BYTES:
                return None
            return Reply.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def save(self, teacher: Teacher, request: Request, reply: Reply) -> None:
        """Save a reply for later runs, unless it is cut off or a refusal."""
        if self._mode not in ("on", "refresh") or reply.finish_reason != "stop":
            return
        path = self._path(teacher, request)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(reply.to_json()), alone=False)

    def _path(self, teacher: Teacher, request: Request) -> Path:
        whole = json.dumps([teacher.name, teacher.biller, teacher.model, request.key])
        name = hashlib.sha256(whole.encode()).hexdigest()
        return self._folder / name[:2] / f"{name}.json"
