"""MLflow itself, with a store of its own on this machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integrations.tracking.conftest import (
    Writing,
    assert_keeps_secrets,
    distil,
    files_below,
)
from tests.integrations.tracking.test_tracking import FailureHook

if TYPE_CHECKING:
    from pathlib import Path

    from pgkd.config import Config

mlflow = pytest.importorskip("mlflow", reason="the extra 'mlflow' is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the store, which MLflow still takes where it is asked to."""
    path = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", path.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return path


def runs(experiment: str = "pgkd") -> list[Any]:
    client = mlflow.MlflowClient()
    found = client.get_experiment_by_name(experiment)
    return list(client.search_runs([found.experiment_id]))


def test_a_run_is_there_with_its_settings_rounds_and_end(private: Config, folder: Path) -> None:
    failures = FailureHook()
    run = distil(private, track=["mlflow"], hooks=[failures]).run_
    assert failures.seen == []
    [tracked] = runs()
    client, result = mlflow.MlflowClient(), run.read_json("result.json")
    assert tracked.info.run_name == "run"
    assert tracked.info.status == "FINISHED"
    assert tracked.data.params["student.kind"] == "linear"
    assert tracked.data.params["rounds"] == "2"
    history = client.get_metric_history(tracked.info.run_id, "validation/macro_f1")
    expected = [(r["round"], r["validation"]["macro_f1"]) for r in result["rounds"]]
    assert [(m.step, m.value) for m in history] == [
        (n, pytest.approx(value, abs=1e-6)) for n, value in expected
    ]
    assert tracked.data.metrics["best/round"] == result["best"]
    assert tracked.data.metrics["texts/synthetic"] == result["rounds"][-1]["synthetic"]
    assert tracked.data.tags["pgkd.stopped_by"] == "rounds"
    rounds = json.loads(next(folder.rglob("rounds.json")).read_text(encoding="utf-8"))
    assert rounds == result["rounds"]
    assert {f.path for f in client.list_artifacts(tracked.info.run_id)} == {
        "rounds.json", "settings.json",
    }  # fmt: skip
    assert_keeps_secrets(files_below(folder), run)


def test_a_resumed_run_goes_on_in_the_same_run(private: Config, folder: Path) -> None:
    with pytest.raises(SystemExit):
        distil(private, Writing(after=3), track=["mlflow"])
    [cut] = runs()
    assert cut.info.status == "FAILED"
    distil(private, track=["mlflow"])
    [whole] = runs()
    assert whole.info.run_id == cut.info.run_id
    assert whole.info.status == "FINISHED"
    history = mlflow.MlflowClient().get_metric_history(whole.info.run_id, "validation/accuracy")
    assert sorted(metric.step for metric in history) == [0, 1, 2]


def test_a_run_that_somebody_deleted_is_begun_anew(private: Config, folder: Path) -> None:
    distil(private, track=["mlflow"])
    mlflow.MlflowClient().delete_run(runs()[0].info.run_id)
    failures = FailureHook()
    distil(private, track=["mlflow"], hooks=[failures])
    assert failures.seen == []
    [again] = runs()
    assert again.data.metrics["best/round"] >= 0
    assert len(mlflow.MlflowClient().get_metric_history(again.info.run_id, "texts/accepted")) == 3


def test_the_experiment_and_an_open_run_are_the_users(
    config: Config, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tickets")
    with mlflow.start_run() as mine:
        distil(config, track=["mlflow"], rounds=0)
        assert mlflow.active_run().info.run_id == mine.info.run_id
    by_name = {run.info.run_name: run for run in runs("tickets")}
    assert len(by_name) == 2
    assert mlflow.get_run(mine.info.run_id).data.metrics == {}


@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
def test_a_database_file_is_made_where_nothing_else_is_said(config: Config, tmp_path: Path) -> None:
    failures = FailureHook()
    run = distil(config, track=["mlflow"], hooks=[failures]).run_
    assert failures.seen == []
    assert (tmp_path / "mlflow.db").is_file()
    [tracked] = runs()
    assert tracked.data.metrics["best/round"] == run.read_json("result.json")["best"]
