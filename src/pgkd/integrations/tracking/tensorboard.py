"""TensorBoard: event files in the run folder, which ``tensorboard --logdir runs`` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pgkd.extras import require
from pgkd.integrations.tracking.base import Ending, TrackedRun, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "tensorboard"


class TensorBoardTracker(Tracker):
    """Writes what TensorBoard shows into ``RUN/tensorboard``.

    Raises:
        MissingExtraError: the extra ``tensorboard`` is not installed.
    """

    name = "tensorboard"

    def __init__(self) -> None:
        self._module = require("tensorboardX", extra="tensorboard", job="Tracking with TensorBoard")
        self._writer: Any = None

    def begin(self, run: TrackedRun) -> str:
        """Begin a file of events; one that is there is gone on with in another one beside it."""
        folder = run.folder / FOLDER
        known = run.id is not None and folder.is_dir()
        # Its name tells the second only: two lives of a run that began in one would share a file.
        life = f".{len(list(folder.glob('events.*')))}"
        self._writer = self._module.SummaryWriter(str(folder), filename_suffix=life)
        if not known:
            lines = [f"| {name} | {value} |" for name, value in run.settings.items()]
            self._writer.add_text("settings", "\n".join(("| setting | |", "|---|---|", *lines)))
        return run.id if known and run.id else folder.name

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """A point of each curve."""
        for name, value in figures.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()

    def end(self, ending: Ending) -> None:
        """The best round and why the run stopped, as a text."""
        figures = ", ".join(f"{name} {value:.4g}" for name, value in ending.figures.items())
        told = f"Stopped by: {ending.stopped_by}. Best: round {ending.best} ({figures})."
        self._writer.add_text("end", told, len(ending.rounds) - 1)

    def close(self, *, failed: bool) -> None:
        """Write the rest."""
        self._writer.close()
