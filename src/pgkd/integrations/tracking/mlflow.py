"""MLflow: a run with its parameters and metrics. MLFLOW_TRACKING_URI says where.

Through the client and not the fluent API: a run that the user has open stays as it is.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from pgkd.extras import require
from pgkd.integrations.tracking.base import Ending, TrackedRun, Tracker

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPERIMENT = "pgkd"  # where neither variable names one
_PARAMETERS = 100  # that a request may hold
_STATUS = {"interrupted": "KILLED", "teacher failed": "FAILED"}


class MLflowTracker(Tracker):
    """Tells MLflow.

    Its experiment is that of MLFLOW_EXPERIMENT_ID or MLFLOW_EXPERIMENT_NAME, else ``pgkd``. The run
    gets ``settings.json`` and ``rounds.json`` as files, which hold no row and no text.

    Raises:
        MissingExtraError: the extra ``mlflow`` is not installed.
    """

    name = "mlflow"

    def __init__(self) -> None:
        # It would report its own use; whoever wants that sets the variable before.
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        self._mlflow = require("mlflow", extra="mlflow", job="Tracking with MLflow")
        self._client: Any = None
        self._id = ""

    def begin(self, run: TrackedRun) -> str:
        """Go on with a run that is still there, or create one with its parameters."""
        self._client = self._mlflow.MlflowClient()
        if run.id is not None and self._is_there(run.id):
            self._id = run.id
            self._client.update_run(run.id, status="RUNNING")
            return run.id
        name = os.environ.get("MLFLOW_RUN_NAME") or run.name
        tags = {"mlflow.source.name": "pgkd", "mlflow.source.type": "LOCAL"}
        made = self._client.create_run(self._experiment(), run_name=name, tags=tags)
        self._id = str(made.info.run_id)
        self._log_parameters(run.settings)
        self._client.log_dict(self._id, dict(run.settings), "settings.json")
        return self._id

    def log(self, number: int, figures: Mapping[str, float]) -> None:
        """Metrics at the step of the round."""
        metric, at = self._mlflow.entities.Metric, int(time.time() * 1000)
        metrics = [metric(name, value, at, number) for name, value in figures.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def end(self, ending: Ending) -> None:
        """The best round as metrics of its own, why the run stopped as a tag."""
        for name, value in ending.figures.items():
            self._client.log_metric(self._id, f"best/{name}", value)
        self._client.log_metric(self._id, "best/round", ending.best)
        self._client.set_tag(self._id, "pgkd.stopped_by", ending.stopped_by)
        self._client.log_dict(self._id, list(ending.rounds), "rounds.json")
        self._client.set_terminated(self._id, _STATUS.get(ending.stopped_by, "FINISHED"))

    def close(self, *, failed: bool) -> None:
        """A run that broke off is no running one."""
        if failed:
            self._client.set_terminated(self._id, "FAILED")

    def _is_there(self, id_: str) -> bool:
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
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or _EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        return str(self._client.create_experiment(name) if found is None else found.experiment_id)

    def _log_parameters(self, settings: Mapping[str, object]) -> None:
        param = self._mlflow.entities.Param
        parameters = [param(name, str(value)) for name, value in settings.items()]
        for i in range(0, len(parameters), _PARAMETERS):
            self._client.log_batch(self._id, params=parameters[i : i + _PARAMETERS])
