"""Trackers of MLflow, Weights & Biases and TensorBoard."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from pgkd.extras import require
from pgkd.integrations.tracking import Ending, TrackedRun, Tracker

_NAME = "pgkd"  # of the experiment or project, where no variable names one
_PARAMETERS = 100  # that a request to MLflow may hold
_STATUS = {"interrupted": "KILLED", "teacher failed": "FAILED"}


class MLflowTracker(Tracker):
    """Logs to MLflow, at MLFLOW_TRACKING_URI.

    The experiment is that of MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME, else ``pgkd``. The run
    gets ``settings.json`` and ``rounds.json`` as files, which hold no row and no text. It uses the
    client and not the fluent API, so that a run that the user has open stays as it is.

    Raises:
        MissingExtraError: the extra ``mlflow`` is not installed.
    """

    name = "mlflow"

    def __init__(self) -> None:
        # MLflow reports its own use, unless the variable forbids it or the user has set it.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = require("mlflow", extra="mlflow", job="Tracking with MLflow")
        self._client: Any = None
        self._id = ""

    def begin(self, run: TrackedRun) -> str:
        """Resume a run that still exists, or create one with its parameters."""
        self._client = self._mlflow.MlflowClient()
        if run.id is not None and self._exists(run.id):
            self._id = run.id
            self._client.update_run(run.id, status="RUNNING")
            return run.id
        name = os.environ.get("MLFLOW_RUN_NAME") or run.name
        tags = {"mlflow.source.name": "pgkd", "mlflow.source.type": "LOCAL"}
        made = self._client.create_run(self._experiment(), run_name=name, tags=tags)
        self._id = str(made.info.run_id)
        param = self._mlflow.entities.Param
        parameters = [param(name, str(value)) for name, value in run.settings.items()]
        for i in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self._id, params=parameters[i : i + _PARAMETERS])
        self._client.log_dict(self._id, dict(run.settings), "settings.json")
        return self._id

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """Metrics at the step of the round."""
        metric, at = self._mlflow.entities.Metric, int(time.time() * 1000)
        metrics = [metric(name, value, at, number) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, ending: Ending) -> None:
        """The best round as metrics of its own, and the reason of the stop as a tag."""
        for name, value in ending.summary.items():
            self._client.log_metric(self._id, name, value)
        self._client.set_tag(self._id, "pgkd.stopped_by", ending.stopped_by)
        self._client.log_dict(self._id, list(ending.rounds), "rounds.json")
        self._client.set_terminated(self._id, _STATUS.get(ending.stopped_by, "FINISHED"))

    def close(self, *, failed: bool) -> None:
        """Mark a run that broke off as failed."""
        if failed:
            self._client.set_terminated(self._id, "FAILED")

    def _exists(self, id_: str) -> bool:
        try:
            found = self._client.get_run(id_)
        except self._mlflow.exceptions.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise
        return bool(found.info.lifecycle_stage == "active")

    def _experiment(self) -> str:
        if id_ := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return id_
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _NAME
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)


class WandbTracker(Tracker):
    """Logs to Weights & Biases what pgkd logs, and nothing else.

    What wandb records by itself is off: the console, where texts are shown, the command line, the
    code and the machine. With PGKD_OFFLINE=1 or WANDB_MODE=offline the run is written to files,
    which ``wandb sync`` sends when somebody calls it.

    Raises:
        MissingExtraError: the extra ``wandb`` is not installed.
    """

    name = "wandb"

    def __init__(self) -> None:
        # wandb reports its own errors, unless the variable forbids it or the user has set it.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        self._wandb = require("wandb", extra="wandb", job="Tracking with Weights & Biases")
        self._run: Any = None
        self._failed = False

    def begin(self, run: TrackedRun) -> str:
        """Resume the run of this id, or create one."""
        mode = os.environ.get("WANDB_MODE")
        if os.environ.get("PGKD_OFFLINE") == "1" and mode != "disabled":
            mode = "offline"
        self._run = self._wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _NAME,
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
                login_timeout=20.0,  # seconds; as the next less than the timeout of a tracker
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
        """The best round and the reason of the stop, in the summary."""
        self._run.summary.update({**ending.summary, "stopped_by": ending.stopped_by})
        self._failed = ending.stopped_by in _STATUS

    def close(self, *, failed: bool) -> None:
        """Send the rest."""
        self._run.finish(exit_code=1 if failed or self._failed else 0)


class TensorBoardTracker(Tracker):
    """Writes event files to ``RUN/tensorboard``, which ``tensorboard --logdir runs`` shows.

    Raises:
        MissingExtraError: the extra ``tensorboard`` is not installed.
    """

    name = "tensorboard"

    def __init__(self) -> None:
        self._module = require("tensorboardX", extra="tensorboard", job="Tracking with TensorBoard")
        self._writer: Any = None

    def begin(self, run: TrackedRun) -> str:
        """Begin a file of events; a resumed run begins another one beside it."""
        folder = run.folder / "tensorboard"
        known = run.id is not None and folder.is_dir()
        # Names have a resolution of a second: two sessions that began in one would share a file.
        session = f".{len(list(folder.glob('events.*')))}"
        self._writer = self._module.SummaryWriter(str(folder), filename_suffix=session)
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
        """The best round and the reason of the stop, as a text."""
        figures = ", ".join(f"{name} {value:.4g}" for name, value in ending.figures.items())
        text = f"Stopped by: {ending.stopped_by}. Best: round {ending.best} ({figures})."
        self._writer.add_text("end", text, len(ending.rounds) - 1)

    def close(self, *, failed: bool) -> None:
        """Write the rest."""
        self._writer.close()
