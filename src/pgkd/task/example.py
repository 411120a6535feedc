"""A text with its label and where both came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """How a written text came to be.

    Attributes:
        round: round of the loop that asked for it, from 1.
        request: id of the teacher request, as in the run's ledger.
        parents: ids of the real examples that the prompt showed. Cross-validation needs them: a
            row held out has to take along every text that was written from a look at it.
    """

    round: int
    request: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text.

    Attributes:
        text: the text, never empty.
        label: a class name of the taxonomy.
        id: stable within a run: ``train:17`` is the file's 17th data row, ``r2-0005-1`` the second
            text of request 5 in round 2.
        origin: None for the user's own rows.
    """

    text: str
    label: str
    id: str
    origin: Origin | None = None

    @property
    def is_real(self) -> bool:
        """Whether the user gave this row; False where a teacher wrote it."""
        return self.origin is None

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a JSON line."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Example:
        """Rebuild from `to_json`'s data."""
        origin = data.get("origin")
        if origin is not None:
            origin = Origin(origin["round"], origin["request"], tuple(origin["parents"]))
        return cls(data["text"], data["label"], data["id"], origin)
