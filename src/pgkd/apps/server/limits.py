"""How much a server takes, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, fields

from pgkd.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one worker process. Together they bound its memory.

    Attributes:
        body_bytes: of a request's body.
        texts: of one request.
        characters: of one text; the student reads the beginning only, the rest costs time all the
            same.
        waiting: texts accepted and not yet answered; beyond them a request is refused with 503.
        requests: in hand at once, their bodies still coming or not; beyond them 503 as well.
        head_seconds: for the head of a request to arrive, and for a client to read its answers.
        body_seconds: for its body.
        shutdown_seconds: for requests in hand, once the server was told to stop.
    """

    body_bytes: int = 1 << 20
    texts: int = 256
    characters: int = 20_000
    waiting: int = 512
    requests: int = 256
    head_seconds: float = 10.0
    body_seconds: float = 10.0
    shutdown_seconds: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise ConfigError(f"The limit '{field.name}' has to be above 0.")
        if self.texts > self.waiting:
            raise ConfigError(
                f"One request may hold {self.texts} texts, but only {self.waiting} may wait: "
                "raise the second or lower the first."
            )
