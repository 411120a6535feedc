"""The contract of a tracker: what it hears of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pgkd.teachers.base import Teacher

Setting = str | int | float | bool


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """A run that is about to begin, or to go on.

    Attributes:
        name: of the run folder.
        folder: the run folder; a tracker that writes files may write them there.
        settings: by dotted names, as `told_settings` tells them.
        id: what `Tracker.begin` returned in an earlier life of the run; None in the first.
    """

    name: str
    folder: Path
    settings: Mapping[str, Setting]
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        best: number of the round whose student was kept.
        stopped_by: why, a `StopReason`.
        figures: of the best round, as `Tracker.log` had them; empty where no round ended.
        rounds: the metrics of every round as plain data, those of each class among them.
    """

    best: int
    stopped_by: str
    figures: Mapping[str, float]
    rounds: Sequence[Mapping[str, Any]]


class Tracker(ABC):
    """Tells another tool of a run. A plug-in implements `begin`, `log` and `end`.

    Its methods are called one after the other, in a thread of their own. What they raise ends the
    tracking and not the run. Where the tool is, and its key, it knows from the environment.
    """

    name: str = "tracker"

    @abstractmethod
    def begin(self, run: TrackedRun) -> str:
        """The run begins, or goes on under its id.

        Returns:
            Its id with the tool. Another one than before means that the tool knows nothing of it:
            it is then told of every round once more.
        """

    def begin_round(self, number: int) -> None:  # noqa: B027  (most wait for its end)
        """A round begins that the tool does not know yet."""

    @abstractmethod
    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """A round has ended that the tool does not know yet.

        Args:
            number: of the round.
            figures: by names such as ``validation/accuracy``; sums are over all rounds so far.
        """

    @abstractmethod
    def end(self, ending: Ending) -> None:
        """The run has ended. An interrupted one may go on another day."""

    def close(self, *, failed: bool) -> None:  # noqa: B027  (some hold nothing)
        """Nothing more comes.

        Args:
            failed: `end` was not called, for the run broke off.
        """

    def traced(self, teacher: Teacher) -> Teacher:
        """The teacher, its calls watched; or as it is."""
        return teacher
