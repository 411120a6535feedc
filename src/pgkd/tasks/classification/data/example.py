"""A text with its label and where both came from."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Origin:
    """How a text of the teacher came to be, or how a text of the pool came to its label.

    Attributes:
        round: round of the loop that asked for it, from 1.
        request: id of the teacher request, as in the run's ledger.
        parents: ids of the real examples that the prompt showed. Cross-validation needs them: a
            row held out has to take along every text that was written from a look at it.
        labelled: whether the text is the user's own, of the unlabelled pool, and only the label is
            the teacher's.
        confidence: probability of the label, as far as the teacher tells: of the one that it gave,
            or when it read its own text blind. None where it was not asked.
    """

    round: int
    request: str
    parents: tuple[str, ...] = ()
    labelled: bool = False
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A labelled text.

    Attributes:
        text: the text, never empty.
        label: a class name of the taxonomy.
        id: stable within a run: ``train:17`` is the file's 17th data row, ``pool:17`` the pool's,
            ``r2-0005-1`` the first text of request 5 in round 2.
        origin: None for the user's own rows.
        human_verified: whether a person has looked at a written text and stands by its class.
    """

    text: str
    label: str
    id: str
    origin: Origin | None = None
    human_verified: bool = False

    @property
    def is_real(self) -> bool:
        """Whether the user gave this row; False where a teacher wrote the text or its label."""
        return self.origin is None

    @property
    def is_written(self) -> bool:
        """Whether a teacher wrote the text, and not its label alone."""
        return self.origin is not None and not self.origin.labelled

    def to_json(self) -> dict[str, Any]:
        """Plain data, for a JSON line; who verified it is told elsewhere (reviews.jsonl)."""
        data = asdict(self)
        del data["human_verified"]
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Example:
        """Rebuild from `to_json`'s data."""
        origin = data.get("origin")
        if origin is not None:
            origin = Origin(**{**origin, "parents": tuple(origin["parents"])})
        return cls(data["text"], data["label"], data["id"], origin)
