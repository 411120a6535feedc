"""Weights & Biases: a run with its config, history and summary. WANDB_* say where and whose."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pgkd.extras import require
from pgkd.integrations.tracking.base import Ending, TrackedRun, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROJECT = "pgkd"  # where WANDB_PROJECT names none
_FAILURES = ("interrupted", "teacher failed")


class WandbTracker(Tracker):
    """Tells Weights & Biases, and that only what pgkd tells it.

    What it takes down by itself stays off: the console, where texts are shown, and the command
    line, the code and the machine. PGKD_OFFLINE=1 writes the run to files, which `wandb sync` sends
    when somebody calls it; so does WANDB_MODE=offline.

    Raises:
        MissingExtraError: the extra ``wandb`` is not installed.
    """

    name = "wandb"

    def __init__(self) -> None:
        # It would report its own errors; whoever wants that sets the variable before.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._wandb = require("wandb", extra="wandb", job="Tracking with Weights & Biases")
        self._run: Any = None
        self._failed = False

    def begin(self, run: TrackedRun) -> str:
        """Go on with the run of this id, or begin one."""
        offline = os.environ.get("PGKD_OFFLINE") == "1"
        mode = os.environ.get("WANDB_MODE")
        if offline and mode != "disabled":
            mode = "offline"
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _PROJECT,
            name=os.environ.get("WANDB_NAME") or run.name,
            id=run.id or os.environ.get("WANDB_RUN_ID"),
            resume=None if mode in ("offline", "disabled") else "allow",
            mode=mode,
            dir=os.environ.get("WANDB_DIR") or str(run.folder),
            config=dict(run.settings),
            reinit="create_new",  # a run that the user has open stays as it is
            settings=self._wandb.Settings(
                console="off",
                save_code=False,
                disable_code=True,
                disable_git=True,
                disable_job_creation=True,
                silent=True,
                login_timeout=20.0,  # seconds; and the next: less than a tracker has
                init_timeout=25.0,
                x_disable_meta=True,
                x_disable_stats=True,
                x_disable_machine_info=True,
                x_save_requirements=False,
            ),
        )
        return str(self._run.id)

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """A line of the history, at the step of the round."""
        self._run.log(dict(figures), step=number)

    def end(self, ending: Ending) -> None:
        """The best round and why the run stopped, in the summary."""
        best = {f"best/{name}": value for name, value in ending.figures.items()}
        self._run.summary.update(
            {**best, "best/round": ending.best, "stopped_by": ending.stopped_by}
        )
        self._failed = ending.stopped_by in _FAILURES

    def close(self, *, failed: bool) -> None:
        """Send the rest."""
        self._run.finish(exit_code=1 if failed or self._failed else 0)
